//! What is told of a request costs no memory of its own: Istio's default line, the standard metrics, messages of gRPC.

mod sample;

use std::time::Duration;

use mesh_model::l7::telemetry::LogFormat;
use mesh_net::counting::{Counting, allocations};
use mesh_telemetry::format::Format;
use mesh_telemetry::metrics::{MetricPlan, Metrics, Sample};
use mesh_telemetry::record::{Record, Request};
use mesh_telemetry::{End, Messages, ServiceName};
use prometheus::Registry;
use sample::{end, record, service};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A call of gRPC, with all that may be told of it.
fn call<'a>(source: &'a End, destination: &'a End, service: &'a ServiceName) -> Record<'a> {
    let mut record = record(source, destination, service);
    record.request_duration = Some(Duration::ZERO);
    record.request = record.request.map(|request| Request {
        grpc: true,
        forwarded_for: Some("10.0.0.7"),
        messages: Some(3),
        ..request
    });
    record.response.grpc_status = Some(0);
    record.response.messages = Some(4);
    record.upstream.local = "10.0.0.8:41000".parse().ok();
    record
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
    let service = service();
    let record = call(source.end(), destination.end(), &service);
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
