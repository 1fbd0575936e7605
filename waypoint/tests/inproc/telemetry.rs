//! What is told of requests: counted, written and sent to a real collector of the test's own.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use mesh_hbone::request::WorkloadKind;
use mesh_hbone::{Baggage, ConnectRequest, Hop};
use mesh_model::l7::PolicyKind;
use mesh_model::l7::telemetry::{
    AccessLogging, LogFormat, LogSink, LoggedTo, MetricOverride, Metrics, TraceExporter, Tracing,
};
use mesh_net::DialOptions;
use mesh_proto::opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;
use mesh_testkit::objects::identity;
use mesh_testkit::{pod, service};
use mesh_tls::ExpectedPeers;
use mesh_types::{NextHop, WorkloadUid};
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::lab::wires::{Says, Unary};
use super::lab::{App, Lab, get, http1, http2, in_lab, post, read};
use super::security::policy;
use super::{at, shop};

/// One request through a tunnel of the client `client`, whose node says this of it.
async fn ask(lab: &Lab, baggage: Option<Baggage>, headers: &[(&'static str, &str)]) -> String {
    let waypoint = lab.open_hbone();
    let pool = lab.client("client");
    let hop = Hop {
        next: NextHop::new(waypoint),
        netns: None,
        dial: DialOptions::default(),
        source: identity("shop", "client"),
        source_ip: IpAddr::from([127, 0, 0, 1]),
        expected: ExpectedPeers::one(&identity("shop", "waypoint")),
        instance: WorkloadUid::new("waypoint"),
    };
    let mut request = ConnectRequest::to("10.96.0.1:80".parse().unwrap());
    request.headers.baggage = baggage;
    let mut http = http1(pool.tunnel(&hop, &request).await.unwrap().into_io()).await;
    let mut request = get("/items?n=1");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let answer = read(http.send_request(request).await.unwrap()).await;
    assert_eq!(answer.status, 200);
    answer.body
}

fn said() -> Option<Baggage> {
    Some(Baggage {
        namespace: Some("shop".into()),
        workload: Some((WorkloadKind::Deployment, "buyer".into())),
        service: Some("buyer".into()),
        revision: Some("v2".into()),
        cluster: Some("east".into()),
        ..Baggage::default()
    })
}

async fn line_of(lab: &Lab, name: &str) -> String {
    loop {
        let text = lab.metrics();
        let line = text.lines().find(|line| line.starts_with(name));
        if let Some(line) = line {
            return line.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn a_request_is_counted_with_both_ends_named() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        ask(&lab, said(), &[]).await;
        let line = line_of(&lab, "istio_requests_total").await;
        for label in [
            "reporter=\"waypoint\"",
            "source_workload=\"buyer\"",
            "source_canonical_revision=\"v2\"",
            "source_workload_namespace=\"shop\"",
            "source_principal=\"spiffe://cluster.local/ns/shop/sa/client\"",
            "source_cluster=\"east\"",
            "destination_service_name=\"shop\"",
            "destination_service_namespace=\"shop\"",
            "request_protocol=\"http\"",
            "response_code=\"200\"",
            "response_flags=\"-\"",
            "connection_security_policy=\"mutual_tls\"",
        ] {
            assert!(line.contains(label), "{label} is not in {line}");
        }
        assert!(line.ends_with(" 1"), "{line}");
    });
}

/// What a node says of a client that is not the certificate's is not believed: the mesh is asked instead.
#[test]
fn baggage_that_lies_is_not_believed() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let client = pod("buyer-1").at("127.0.0.1").with_account("client");
        lab.apply([client.into()]);
        let lie = Baggage {
            namespace: Some("bank".into()),
            ..said().unwrap()
        };
        ask(&lab, Some(lie), &[]).await;
        let line = line_of(&lab, "istio_requests_total").await;
        assert!(line.contains("source_workload_namespace=\"shop\""), "{line}");
        assert!(
            line.contains("source_principal=\"spiffe://cluster.local/ns/shop/sa/client\""),
            "{line}"
        );
        assert!(
            !line.contains("buyer\",source_canonical_service=\"buyer\"") && !line.contains("east"),
            "{line}"
        );
        assert!(!line.contains("source_workload=\"unknown\""), "{line}");
    });
}

#[test]
fn a_client_that_is_not_known_yet_delays_the_record_and_not_the_request() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        ask(&lab, None, &[]).await;
        assert!(!lab.metrics().contains("istio_requests_total"), "it waits");
        let client = pod("buyer-1").at("127.0.0.1").with_account("client");
        lab.apply([client.into()]);
        let line = line_of(&lab, "istio_requests_total").await;
        let principal = "source_principal=\"spiffe://cluster.local/ns/shop/sa/client\"";
        assert!(line.contains(principal), "{line}");
        assert!(!line.contains("source_workload=\"unknown\""), "{line}");
    });
}

#[test]
fn metrics_are_counted_as_users_want() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let tags = vec![
            ("source_version".into(), None),
            (
                "path".into(),
                Some("request.url_path + request.headers['x-team']".into()),
            ),
        ];
        lab.serve([policy(
            "metrics",
            PolicyKind::Metrics(Metrics {
                overrides: vec![MetricOverride {
                    metric: None,
                    disabled: None,
                    tags,
                }],
            }),
        )]);
        ask(&lab, said(), &[("x-team", "blue")]).await;
        let line = line_of(&lab, "istio_requests_total").await;
        assert!(line.contains("path=\"/itemsblue\""), "{line}");
        assert!(!line.contains("source_version"), "{line}");
    });
}

#[test]
fn lines_go_to_a_file_in_the_format_that_is_wanted() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let path = std::env::temp_dir().join(format!("lateen-access-{}.log", std::process::id()));
        let format = "%REQ(:METHOD)% %REQ(X-TEAM)% %RESP(X-APP)% %RESPONSE_CODE% %DOWNSTREAM_PEER_URI_SAN%\n";
        lab.serve([policy(
            "log",
            PolicyKind::AccessLogging(AccessLogging {
                sinks: vec![LoggedTo {
                    sink: LogSink::File {
                        path: path.display().to_string().into(),
                        format: LogFormat::Text(format.into()),
                    },
                    filter: Some("request.headers['x-team'] == 'blue'".into()),
                }],
            }),
        )]);
        ask(&lab, said(), &[("x-team", "red")]).await;
        ask(&lab, said(), &[("x-team", "blue")]).await;
        let text = loop {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if text.ends_with('\n') {
                break text;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            text,
            "GET blue web 200 spiffe://cluster.local/ns/shop/sa/client\n"
        );
    });
}

#[test]
fn a_span_reaches_its_collector_between_its_parent_and_its_child() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let ip = lab.ip(7);
        lab.apply([
            service("collector").at("10.96.0.7").port(80, 4317).into(),
            pod("collector").at(&ip).serving("collector", 80, 4317).into(),
        ]);
        let collector = Unary::start(format!("{ip}:4317").parse().unwrap()).await;
        collector.says(Says::Message(Bytes::new()));
        lab.serve([policy(
            "tracing",
            PolicyKind::Tracing(Tracing {
                exporter: Some(TraceExporter::OtlpGrpc(at("collector"))),
                sampling: 0,
                disabled: false,
                no_propagation: false,
                tags: Vec::new(),
                not_by_request_id: false,
                no_istio_tags: false,
                path_limit: 0,
            }),
        )]);
        let came = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let told = ask(&lab, said(), &[("traceparent", came)]).await;
        let went = told
            .lines()
            .find_map(|line| line.strip_prefix("traceparent: "))
            .unwrap();
        let (method, message) = loop {
            if let Some(asked) = collector.asked().pop() {
                break asked;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        assert_eq!(
            method,
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        );
        let request = ExportTraceServiceRequest::decode(message).unwrap();
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(hex(&span.parent_span_id), "00f067aa0ba902b7");
        assert_eq!(
            went,
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", hex(&span.span_id))
        );
        assert_eq!(span.name, "shop.shop.svc.cluster.local:80/*");
    });
}

fn grpc(path: &str, body: &'static [u8]) -> http::Request<http_body_util::Full<Bytes>> {
    let mut request = post(&format!("http://shop{path}"), body);
    let kind = "application/grpc".parse().unwrap();
    request.headers_mut().insert("content-type", kind);
    request
}

#[test]
fn messages_of_grpc_are_counted_both_ways() {
    in_lab(|lab| async move {
        shop(&lab, App::Http2).await;
        let address = lab.open_plain("shop", 80);
        let mut http = http2(TcpStream::connect(address).await.unwrap()).await;
        let two = b"\0\0\0\0\x01m\0\0\0\0\0";
        read(http.send_request(grpc("/shop.Cart/Add", two)).await.unwrap()).await;
        let line = line_of(&lab, "istio_request_messages_total").await;
        assert!(line.ends_with(" 2"), "{line}");
        // What a call that goes on does not know is no label.
        assert!(line.contains("destination_service_name=\"shop\""), "{line}");
        for label in [
            "request_protocol",
            "response_code",
            "response_flags",
            "connection_security_policy",
        ] {
            assert!(!line.contains(label), "{line}");
        }
        line_of(&lab, "istio_response_messages_total").await;
        let line = line_of(&lab, "istio_requests_total").await;
        assert!(line.contains("request_protocol=\"grpc\""), "{line}");
    });
}

#[test]
fn messages_of_a_call_that_goes_on_are_counted() {
    in_lab(|lab| async move {
        shop(&lab, App::Http2).await;
        let address = lab.open_plain("shop", 80);
        let mut http = http2(TcpStream::connect(address).await.unwrap()).await;
        let answer = http
            .send_request(grpc("/messages", b"\0\0\0\0\x01m"))
            .await
            .unwrap();
        let counted = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
        let reading = tokio::task::spawn_local(read(answer));
        let early = line_of(&lab, "istio_response_messages_total").await;
        assert!(counted(&early) > 0, "{early}");
        assert!(lab.metrics().contains("istio_request_messages_total"));
        assert!(!lab.metrics().contains("istio_requests_total"), "it is not over");
        reading.abort();
        line_of(&lab, "istio_requests_total").await;
        let all = line_of(&lab, "istio_response_messages_total").await;
        assert!(counted(&all) >= counted(&early), "{all} after {early}");
        assert!(
            line_of(&lab, "istio_request_messages_total")
                .await
                .ends_with(" 1")
        );
    });
}

/// Every byte of HTTP/1.1 that this client writes and reads.
#[test]
fn bytes_are_those_of_the_wire() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let address = lab.open_plain("shop", 80);
        let fixed =
            "POST /a?b=c HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        let chunked = "POST /trailers HTTP/1.1\r\nHost: shop\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let (mut written, mut read) = (0, 0);
        for (n, request) in [fixed, chunked].into_iter().enumerate() {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            let reports = lab.reports(n + 1).await;
            assert_eq!(reports[n].received, 5, "the body alone");
            let text = String::from_utf8(answer).unwrap();
            // What hyper says of the connection is not ours to know.
            written += request.len();
            read += text.replace("connection: close\r\n", "").len();
        }
        let sum = |name: &str| {
            let text = lab.metrics();
            let line = text
                .lines()
                .find(|line| line.starts_with(&format!("{name}_sum")))
                .unwrap()
                .to_owned();
            line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
        };
        assert_eq!(sum("istio_request_bytes"), written);
        assert_eq!(sum("istio_response_bytes"), read);
    });
}
