//! Metrics: the registry, its text exposition, and what is true of every process.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{StatusCode, header};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Encoder, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::admin::{self, Response, Routes};

/// A registry that holds what every process of ours reports: `istio_build` and the descriptor counts.
///
/// # Panics
/// Never: the names are constants and the registry is new.
#[must_use]
pub fn registry(component: &str, version: &str) -> Registry {
    let registry = Registry::new();
    let build = IntGaugeVec::new(
        Opts::new("istio_build", "Istio component build info"),
        &["component", "tag"],
    )
    .expect("constant names are valid");
    build.with_label_values(&[component, version]).set(1);
    for collector in [
        Box::new(build) as Box<dyn Collector>,
        Box::new(Descriptors::new()),
    ] {
        registry
            .register(collector)
            .expect("a new registry has no duplicates");
    }
    registry
}

/// `GET /metrics` and `GET /stats/prometheus`: the text format, gzipped when the scraper takes it.
#[must_use]
pub fn routes(registry: &Registry) -> Routes {
    let (a, b) = (registry.clone(), registry.clone());
    Routes::new()
        .get("/metrics", "Prometheus metrics", move |request| {
            std::future::ready(answer(&a, &request))
        })
        .get("/stats/prometheus", "Prometheus metrics", move |request| {
            std::future::ready(answer(&b, &request))
        })
}

fn answer(registry: &Registry, request: &admin::Request) -> Response {
    let encoder = TextEncoder::new();
    let mut body = Vec::with_capacity(16 * 1024);
    if let Err(e) = encoder.encode(&registry.gather(), &mut body) {
        return admin::text(StatusCode::INTERNAL_SERVER_ERROR, format!("metrics: {e}\n"));
    }
    let mut response = admin::bytes(StatusCode::OK, encoder.format_type(), Bytes::new());
    if request.accepts_gzip()
        && let Some(compressed) = gzip(&body)
    {
        body = compressed;
        let gzip = http::HeaderValue::from_static("gzip");
        response.headers_mut().insert(header::CONTENT_ENCODING, gzip);
    }
    *response.body_mut() = Bytes::from(body).into();
    response
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

/// `process_open_fds` and `process_max_fds`, read when scraped.
struct Descriptors {
    open: IntGauge,
    max: IntGauge,
}

impl Descriptors {
    fn new() -> Self {
        let gauge = |name, help| IntGauge::new(name, help).expect("constant names are valid");
        Self {
            open: gauge("process_open_fds", "Number of open file descriptors"),
            max: gauge("process_max_fds", "Maximum number of open file descriptors"),
        }
    }
}

impl Collector for Descriptors {
    fn desc(&self) -> Vec<&Desc> {
        [self.open.desc(), self.max.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the directory itself.
            let open = entries.count().saturating_sub(1);
            self.open.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        if let Some(max) = std::fs::read_to_string("/proc/self/limits")
            .ok()
            .as_deref()
            .and_then(max_fds)
        {
            self.max.set(max);
        }
        [self.open.collect(), self.max.collect()].concat()
    }
}

/// The soft limit in `/proc/self/limits` (proc(5)).
fn max_fds(limits: &str) -> Option<i64> {
    let line = limits.lines().find_map(|l| l.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests;
