//! What is told of a request costs no memory of its own: Istio's default line, the standard metrics, messages of gRPC.

use std::time::{Duration, SystemTime};

use http::{Method, Version};
use mesh_model::l7::telemetry::LogFormat;
use mesh_net::counting::{Counting, allocations};
use mesh_telemetry::flags::ResponseFlags;
use mesh_telemetry::format::Format;
use mesh_telemetry::metrics::{MetricPlan, Metrics, Sample};
use mesh_telemetry::record::{Connection, Record, Request, Response, Upstream};
use mesh_telemetry::{End, Messages, ServiceName};
use prometheus::Registry;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn end(name: &str) -> End {
    End {
        workload: Some(name.into()),
        canonical_service: Some(name.into()),
        canonical_revision: Some("v1".into()),
        namespace: Some("shop".into()),
        principal: format!("spiffe://cluster.local/ns/shop/sa/{name}").parse().ok(),
        cluster: Some("Kubernetes".into()),
        ..End::default()
    }
}

fn record<'a>(
    method: &'a Method,
    source: &'a End,
    destination: &'a End,
    service: &'a ServiceName,
) -> Record<'a> {
    let address = |text: &str| text.parse().expect("an address");
    Record {
        began: SystemTime::now(),
        duration: Duration::from_micros(730),
        request_duration: Some(Duration::ZERO),
        answered_after: Some(Duration::from_micros(700)),
        service_time: Some(Duration::from_micros(650)),
        request: Some(Request {
            method,
            path: "/items?limit=10",
            authority: "server.shop",
            scheme: "http",
            version: Version::HTTP_11,
            grpc: true,
            id: Some("7ec25152-ca8e-923b-a736-49838ce316f4"),
            user_agent: Some("curl/8.5.0"),
            forwarded_for: Some("10.0.0.7"),
            headers: None,
            messages: Some(3),
        }),
        response: Response {
            code: 200,
            flags: ResponseFlags::NONE,
            details: "via_upstream",
            grpc_status: Some(0),
            messages: Some(4),
            ..Response::default()
        },
        received: 0,
        sent: 1234,
        received_whole: 180,
        sent_whole: 1400,
        connection: Connection {
            peer: address("10.0.0.7:40210"),
            local: address("10.96.0.10:80"),
            mutual_tls: true,
            server_name: None,
        },
        source,
        destination,
        service: Some(service),
        upstream: Upstream {
            address: Some(address("10.0.0.9:8080")),
            local: Some(address("10.0.0.8:41000")),
            cluster: Some("inbound-vip|80|http|server.shop.svc.cluster.local"),
            attempts: 1,
            ..Upstream::default()
        },
        route: Some("default"),
        trace: None,
    }
}

/// Runs it once to warm up, and counts what the next thousand take.
fn costs(mut one: impl FnMut()) -> u64 {
    one();
    let before = allocations();
    for _ in 0..1000 {
        one();
    }
    allocations() - before
}

#[test]
fn telling_of_a_request_allocates_nothing() {
    let recorder = Metrics::new(&Registry::new()).recorder();
    let (source, destination) = (recorder.end(end("client")), recorder.end(end("server")));
    let service = ServiceName {
        hostname: "server.shop.svc.cluster.local".into(),
        name: "server".into(),
        namespace: "shop".into(),
    };
    let record = record(&Method::GET, source.end(), destination.end(), &service);
    let plan = MetricPlan::standard();
    let sample = Sample {
        record: &record,
        source: &source,
        destination: &destination,
        service: None,
        plan: &plan,
    };
    assert_eq!(costs(|| recorder.request(&sample)), 0, "the standard metrics");
    let mut out = Vec::with_capacity(4096);
    let text = Format::compile(&LogFormat::Default).unwrap();
    let mut line = || {
        out.clear();
        text.write(&record, &mut out);
    };
    assert_eq!(costs(&mut line), 0, "the default text");
    assert!(out.ends_with(b"default\n"));
    let frames = [0, 0, 0, 0, 3, 1, 2, 3].repeat(100);
    let mut messages = Messages::default();
    assert_eq!(costs(|| messages.read(&frames)), 0, "messages of gRPC");
    assert!(costs(|| drop(Box::new(1))) > 0, "what allocates is counted");
}
