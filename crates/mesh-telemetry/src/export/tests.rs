use std::time::UNIX_EPOCH;

use http::StatusCode;
use mesh_proto::opentelemetry::proto::collector::logs::v1::ExportLogsServiceRequest;
use mesh_proto::opentelemetry::proto::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use mesh_types::NamespacedHostname;
use prost::Message as _;

use super::*;
use crate::format::Template;
use crate::testing::Story;
use crate::trace::{SpanContext, SpanId, TraceId};

fn collector() -> ServicePort {
    ServicePort {
        service: NamespacedHostname::new("telemetry", "collector.telemetry.svc.cluster.local"),
        port: 4317,
    }
}

fn span(id: u64) -> Span {
    Span {
        context: SpanContext {
            trace_id: TraceId::new(7).unwrap(),
            span_id: SpanId::new(id).unwrap(),
            parent: SpanId::new(99),
            sampled: true,
        },
        name: "server:9080/*".into(),
        start: UNIX_EPOCH + Duration::from_millis(1500),
        duration: Duration::from_micros(250),
        error: true,
        tags: vec![("http.method".into(), "GET".to_owned())],
    }
}

fn reporter() -> Reporter {
    Reporter {
        node: "waypoint~10.0.0.1~w.shop~shop.svc.cluster.local".into(),
        canonical_service: "waypoint".into(),
        namespace: "shop".into(),
        ..Reporter::default()
    }
}

/// A collector that gives these answers, one after the other, and then takes everything.
#[derive(Clone, Default)]
struct Fake(Rc<Book>);

#[derive(Default)]
struct Book {
    answers: RefCell<VecDeque<Result<Bytes, DeliveryError>>>,
    took: RefCell<Vec<(String, Bytes)>>,
}

impl Deliver for Fake {
    async fn grpc(
        &self,
        _: &ServicePort,
        method: &'static str,
        message: Bytes,
    ) -> Result<Bytes, DeliveryError> {
        self.0.took.borrow_mut().push((method.to_owned(), message));
        self.0
            .answers
            .borrow_mut()
            .pop_front()
            .unwrap_or(Ok(Bytes::new()))
    }

    async fn http(
        &self,
        _: &ServicePort,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<StatusCode, DeliveryError> {
        self.0
            .took
            .borrow_mut()
            .push((format!("{path} {content_type}"), body));
        let answer = self
            .0
            .answers
            .borrow_mut()
            .pop_front()
            .unwrap_or(Ok(Bytes::new()));
        answer.map(|_| StatusCode::ACCEPTED)
    }
}

async fn deliver(destination: Destination, fill: impl FnOnce(&Queue), fake: &Fake) -> (u64, u64, u64) {
    let exported = Exported::new(&Registry::new());
    let queue = Queue::new(destination, &exported);
    fill(&queue);
    let driver = drive(queue.clone(), fake.clone(), Rc::new(reporter()), || 0.5);
    let end = async {
        sleep(Duration::from_secs(60)).await;
        queue.close();
    };
    tokio::join!(driver, end);
    let counts = &queue.counts;
    (counts.sent.get(), counts.full.get(), counts.refused.get())
}

#[tokio::test(start_paused = true)]
async fn spans_by_otlp() {
    let fake = Fake::default();
    let destination = Destination::Spans(SpanProtocol::OtlpGrpc, collector());
    let counts = deliver(destination, |queue| queue.span(span(1)), &fake).await;
    assert_eq!(counts, (1, 0, 0));
    let (method, message) = fake.0.took.borrow()[0].clone();
    assert_eq!(
        method,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
    );
    let request = ExportTraceServiceRequest::decode(message).unwrap();
    let resource = request.resource_spans[0].resource.clone().unwrap();
    assert_eq!(resource.attributes[0].key, "service.name");
    let got = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(got.trace_id[..], 7_u128.to_be_bytes());
    assert_eq!(got.parent_span_id[..], 99_u64.to_be_bytes());
    assert_eq!(got.start_time_unix_nano, 1_500_000_000);
    assert_eq!(got.end_time_unix_nano, 1_500_250_000);
    assert_eq!((got.kind, got.name.as_str()), (2, "server:9080/*"));
    assert_eq!(got.status.as_ref().unwrap().code, 2);
}

#[tokio::test(start_paused = true)]
async fn spans_by_otlp_over_http_and_by_zipkin() {
    let fake = Fake::default();
    let destination = Destination::Spans(SpanProtocol::OtlpHttp("/v1/traces".into()), collector());
    deliver(destination, |queue| queue.span(span(1)), &fake).await;
    let destination = Destination::Spans(SpanProtocol::Zipkin("/api/v2/spans".into()), collector());
    deliver(destination, |queue| queue.span(span(2)), &fake).await;
    let took = fake.0.took.borrow();
    assert_eq!(took[0].0, "/v1/traces application/x-protobuf");
    assert_eq!(took[1].0, "/api/v2/spans application/json");
    assert_eq!(
        std::str::from_utf8(&took[1].1).unwrap(),
        "[{\"duration\":250,\"id\":\"0000000000000002\",\"kind\":\"SERVER\",\"localEndpoint\":{\"serviceName\":\
         \"waypoint.shop\"},\"name\":\"server:9080/*\",\"parentId\":\"0000000000000063\",\"tags\":{\"http.method\":\
         \"GET\"},\"timestamp\":1500000,\"traceId\":\"00000000000000000000000000000007\"}]"
    );
}

#[tokio::test(start_paused = true)]
async fn log_records() {
    let fake = Fake::default();
    let story = Story::new();
    let body = Template::compile("%REQ(:METHOD)%").unwrap();
    let attributes = [("code".into(), Template::compile("%RESPONSE_CODE%").unwrap())];
    let record = LogRecord::new(&story.record(), &body, &attributes);
    deliver(Destination::Logs(collector()), |queue| queue.log(record), &fake).await;
    let (method, message) = fake.0.took.borrow()[0].clone();
    assert_eq!(
        method,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
    );
    let request = ExportLogsServiceRequest::decode(message).unwrap();
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(record.time_unix_nano, 1_640_240_695_527_000_000);
    assert!(format!("{:?}", record.body).contains("GET"));
    assert_eq!(record.attributes[0].key, "code");
}

#[tokio::test(start_paused = true)]
async fn what_may_work_later_is_sent_again_and_what_never_will_is_not() {
    let fake = Fake::default();
    let later = || Err(DeliveryError::Later("not now".to_owned()));
    fake.0.answers.borrow_mut().extend([later(), later()]);
    let destination = Destination::Spans(SpanProtocol::OtlpGrpc, collector());
    let counts = deliver(destination.clone(), |queue| queue.span(span(1)), &fake).await;
    assert_eq!((counts, fake.0.took.borrow().len()), ((1, 0, 0), 3));

    let fake = Fake::default();
    let never = Err(DeliveryError::Never("never".to_owned()));
    fake.0.answers.borrow_mut().push_back(never);
    let counts = deliver(destination.clone(), |queue| queue.span(span(1)), &fake).await;
    assert_eq!((counts, fake.0.took.borrow().len()), ((0, 0, 1), 1));

    let fake = Fake::default();
    fake.0.answers.borrow_mut().extend((0..9).map(|_| later()));
    let counts = deliver(destination.clone(), |queue| queue.span(span(1)), &fake).await;
    assert_eq!((counts, fake.0.took.borrow().len()), ((0, 0, 1), 4));

    let fake = Fake::default();
    let part = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 1,
            error_message: "too old".to_owned(),
        }),
    };
    fake.0
        .answers
        .borrow_mut()
        .push_back(Ok(part.encode_to_vec().into()));
    let counts = deliver(destination, |queue| queue.span(span(1)), &fake).await;
    assert_eq!((counts, fake.0.took.borrow().len()), ((0, 0, 1), 1));
}

#[tokio::test(start_paused = true)]
async fn batches_and_a_full_queue() {
    let fake = Fake::default();
    let destination = Destination::Spans(SpanProtocol::OtlpGrpc, collector());
    let fill = |queue: &Queue| (1..=LONGEST as u64 + 5).for_each(|n| queue.span(span(n)));
    let counts = deliver(destination, fill, &fake).await;
    assert_eq!(counts, (LONGEST as u64, 5, 0));
    assert_eq!(fake.0.took.borrow().len(), LONGEST / BATCH);
}
