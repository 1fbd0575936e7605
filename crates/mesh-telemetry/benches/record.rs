//! What telling of one request costs: counted, with Istio's default line written, and with a filter that keeps it away.
//!
//! `cargo bench -p mesh-telemetry --bench record`

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use http::{Method, Version};
use mesh_telemetry::cel::Expression;
use mesh_telemetry::flags::ResponseFlags;
use mesh_telemetry::format::{DEFAULT_TEXT, Template};
use mesh_telemetry::metrics::{MetricPlan, Metrics, Sample};
use mesh_telemetry::record::{Connection, Record, Request, Response, Upstream};
use mesh_telemetry::{End, ServiceName};
use prometheus::Registry;
use tokio::time::Instant;

fn main() {
    let recorder = Metrics::new(&Registry::new()).recorder();
    let end = |name: &str| End {
        workload: Some(name.into()),
        canonical_service: Some(name.into()),
        canonical_revision: Some("v1".into()),
        namespace: Some("shop".into()),
        principal: format!("spiffe://cluster.local/ns/shop/sa/{name}").parse().ok(),
        cluster: Some("Kubernetes".into()),
        ..End::default()
    };
    let (source, destination) = (recorder.end(end("client")), recorder.end(end("server")));
    let service = ServiceName {
        hostname: "server.shop.svc.cluster.local".into(),
        name: "server".into(),
        namespace: "shop".into(),
    };
    let method = Method::GET;
    let address = |text: &str| text.parse().expect("an address");
    let record = Record {
        began: SystemTime::now(),
        duration: Duration::from_micros(730),
        request_duration: None,
        answered_after: Some(Duration::from_micros(700)),
        service_time: Some(Duration::from_micros(650)),
        request: Some(Request {
            method: &method,
            path: "/items?limit=10",
            authority: "server.shop",
            scheme: "http",
            version: Version::HTTP_11,
            grpc: false,
            id: Some("7ec25152-ca8e-923b-a736-49838ce316f4"),
            user_agent: Some("curl/8.5.0"),
            forwarded_for: None,
            headers: None,
            messages: None,
        }),
        response: Response {
            code: 200,
            flags: ResponseFlags::NONE,
            details: "via_upstream",
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
        source: source.end(),
        destination: destination.end(),
        service: Some(&service),
        upstream: Upstream {
            address: Some(address("10.0.0.9:8080")),
            cluster: Some("inbound-vip|80|http|server.shop.svc.cluster.local"),
            attempts: 1,
            ..Upstream::default()
        },
        route: Some("default"),
        trace: None,
    };
    let plan = MetricPlan::standard();
    let sample = Sample {
        record: &record,
        source: &source,
        destination: &destination,
        service: None,
        plan: &plan,
    };
    measure("counted", || recorder.request(black_box(&sample)));
    let line = Template::compile(DEFAULT_TEXT).expect("a format");
    let mut out = Vec::with_capacity(4096);
    measure("default line written", || {
        out.clear();
        line.write(black_box(&record), &mut out);
    });
    let filter = Expression::filter("response.code >= 400 || !connection.mtls").expect("a filter");
    measure("filter evaluated", || {
        black_box(filter.is_true(black_box(&record)));
    });
}

fn measure(what: &str, mut one: impl FnMut()) {
    const ROUNDS: u32 = 1_000_000;
    for _ in 0..ROUNDS / 10 {
        one();
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        one();
    }
    let nanos = start.elapsed().as_nanos() / u128::from(ROUNDS);
    println!("{what}: {nanos} ns");
}
