//! What telling of one request costs: counted, with Istio's default line written, and with a filter that keeps it away.
//!
//! `cargo bench -p mesh-telemetry --bench record`

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::hint::black_box;

use mesh_telemetry::cel::Expression;
use mesh_telemetry::format::{DEFAULT_TEXT, Template};
use mesh_telemetry::metrics::{MetricPlan, Metrics, Sample};
use prometheus::Registry;
use sample::{end, record, service};
use tokio::time::Instant;

fn main() {
    let recorder = Metrics::new(&Registry::new()).recorder();
    let (source, destination) = (recorder.end(end("client")), recorder.end(end("server")));
    let service = service();
    let record = record(source.end(), destination.end(), &service);
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
