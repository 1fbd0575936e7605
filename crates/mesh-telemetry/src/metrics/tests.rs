use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_model::l7::telemetry::MetricOverride;
use prometheus::{Encoder, TextEncoder};

use super::*;
use crate::record::{End, Record};
use crate::testing::Story;

fn text(registry: &Registry) -> String {
    let mut out = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn lines(registry: &Registry, name: &str) -> Vec<String> {
    let text = text(registry);
    let of_name = |line: &&str| line.starts_with(name) && !line.starts_with('#');
    text.lines().filter(of_name).map(ToOwned::to_owned).collect()
}

struct Lab {
    registry: Registry,
    metrics: Metrics,
    recorder: Recorder,
    story: Story,
    plan: Arc<MetricPlan>,
}

impl Lab {
    fn new() -> Self {
        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        Self {
            recorder: metrics.recorder(),
            metrics,
            registry,
            story: Story::new(),
            plan: MetricPlan::standard(),
        }
    }

    fn with(overrides: &[MetricOverride]) -> Self {
        let (plan, wrong) = MetricPlan::compile(overrides);
        assert_eq!(wrong, []);
        Self { plan, ..Self::new() }
    }

    fn count(&self, record: &Record<'_>) {
        self.count_with(&self.recorder, record);
    }

    fn count_with(&self, recorder: &Recorder, record: &Record<'_>) {
        let (source, destination) = (
            recorder.end(record.source.clone()),
            recorder.end(record.destination.clone()),
        );
        recorder.request(&Sample {
            record,
            source: &source,
            destination: &destination,
            service: None,
            plan: &self.plan,
        });
    }

    fn requests(&self) -> Vec<String> {
        lines(&self.registry, "istio_requests_total")
    }
}

/// The labels and their values are those of istio/proxy's own test of a waypoint
/// (`testdata/metric/server_waypoint_proxy_request_total.yaml.tmpl`).
#[test]
fn a_request_as_istios_waypoint_counts_it() {
    let lab = Lab::new();
    lab.count(&lab.story.record());
    lab.count(&lab.story.record());
    assert_eq!(
        lab.requests(),
        [
            "istio_requests_total{reporter=\"waypoint\",source_workload=\"productpage-v1\",\
             source_canonical_service=\"productpage\",source_canonical_revision=\"v1\",\
             source_workload_namespace=\"default\",source_principal=\"unknown\",source_app=\"productpage\",\
             source_version=\"v1\",source_cluster=\"client-cluster\",destination_workload=\"ratings-v1\",\
             destination_workload_namespace=\"default\",\
             destination_principal=\"spiffe://cluster.global/ns/default/sa/ratings\",destination_app=\"ratings\",\
             destination_version=\"v1\",destination_service=\"server.default.svc.cluster.local\",\
             destination_canonical_service=\"ratings\",destination_canonical_revision=\"v1\",\
             destination_service_name=\"server\",destination_service_namespace=\"default\",\
             destination_cluster=\"server-cluster\",request_protocol=\"http\",response_code=\"200\",\
             grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"none\"} 2"
        ]
    );
}

#[test]
fn histograms_have_envoys_buckets() {
    let lab = Lab::new();
    lab.count(&lab.story.record());
    let buckets = lines(&lab.registry, "istio_request_duration_milliseconds_bucket");
    let bounds: Vec<&str> = buckets
        .iter()
        .map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap())
        .collect();
    assert_eq!(
        bounds,
        [
            "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000",
            "60000", "300000", "600000", "1800000", "3600000", "+Inf"
        ]
    );
    assert!(buckets[4].ends_with(" 0"), "25 ms are not enough: {}", buckets[4]);
    assert!(buckets[5].ends_with(" 1"), "{}", buckets[5]);
    assert!(lines(&lab.registry, "istio_request_duration_milliseconds_sum")[0].ends_with(" 31"));
    assert!(lines(&lab.registry, "istio_response_bytes_sum")[0].ends_with(" 300"));
    assert!(lines(&lab.registry, "istio_request_bytes_count")[0].ends_with(" 1"));
    assert!(
        lines(&lab.registry, "istio_request_messages_total").is_empty(),
        "gRPC only"
    );
}

#[test]
fn grpc_has_its_status_and_messages() {
    let lab = Lab::new();
    let mut record = lab.story.record();
    record.response.grpc_status = Some(5);
    record.response.messages = Some(3);
    let mut request = record.request.unwrap();
    (request.grpc, request.messages) = (true, Some(2));
    record.request = Some(request);
    lab.count(&record);
    let requests = lab.requests();
    assert!(
        requests[0].contains("request_protocol=\"grpc\",response_code=\"200\",grpc_response_status=\"5\"")
    );
    let sent = lines(&lab.registry, "istio_request_messages_total");
    assert!(
        sent[0].ends_with(" 2") && !sent[0].contains("response_code"),
        "{sent:?}"
    );
    assert!(lines(&lab.registry, "istio_response_messages_total")[0].ends_with(" 3"));
}

#[test]
fn workers_are_summed() {
    let lab = Lab::new();
    let other = lab.metrics.recorder();
    lab.count(&lab.story.record());
    lab.count_with(&other, &lab.story.record());
    assert_eq!(lab.requests().len(), 1);
    assert!(lab.requests()[0].ends_with(" 2"));
}

fn change(metric: Option<&str>, disabled: Option<bool>, tags: &[(&str, Option<&str>)]) -> MetricOverride {
    MetricOverride {
        metric: metric.map(Into::into),
        disabled,
        tags: tags
            .iter()
            .map(|(name, value)| ((*name).into(), value.map(Into::into)))
            .collect(),
    }
}

#[test]
fn overrides_remove_replace_and_add() {
    let lab = Lab::with(&[
        change(Some("istio_request_bytes"), Some(true), &[]),
        change(
            None,
            None,
            &[("source_version", None), ("reporter", Some("'me'"))],
        ),
        change(
            Some("istio_requests_total"),
            None,
            &[
                ("team", Some("request.headers['x-team']")),
                ("gone", Some("response.grpc_status")),
            ],
        ),
        change(Some("istio_no_such_metric"), Some(true), &[]),
    ]);
    lab.count(&lab.story.record());
    let requests = lab.requests();
    assert!(
        requests[0].starts_with("istio_requests_total{reporter=\"me\""),
        "{requests:?}"
    );
    assert!(!requests[0].contains("source_version"));
    assert!(requests[0].contains("team=\"blue\",gone=\"unknown\""));
    assert!(lines(&lab.registry, "istio_request_bytes").is_empty());
    assert!(!lines(&lab.registry, "istio_response_bytes_sum")[0].contains("team="));
}

#[test]
fn what_differs_only_in_a_removed_label_is_one_series() {
    let tags: Vec<(&str, Option<&str>)> = vec![("response_code", None)];
    let lab = Lab::with(&[change(None, None, &tags)]);
    let mut record = lab.story.record();
    lab.count(&record);
    record.response.code = 404;
    lab.count(&record);
    assert_eq!(lab.requests().len(), 1);
    assert!(lab.requests()[0].ends_with(" 2"));
}

#[test]
fn values_of_expressions_differ_by_request() {
    let lab = Lab::with(&[change(None, None, &[("path", Some("request.url_path"))])]);
    for path in ["/a", "/b", "/a"] {
        let mut record = lab.story.record();
        let mut request = record.request.unwrap();
        request.path = path;
        record.request = Some(request);
        lab.count(&record);
    }
    let requests = lab.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].contains("path=\"/a\"") && requests[0].ends_with(" 2"));
}

#[test]
fn a_broken_label_is_named_and_changes_nothing() {
    let (plan, wrong) = MetricPlan::compile(&[change(None, None, &[("x", Some("request.nothing"))])]);
    assert_eq!(wrong[0].label, "x");
    assert!(!plan.has_expressions());
}

#[test]
fn idle_series_are_forgotten_when_all_workers_are_idle() {
    let lab = Lab::new();
    let other = lab.metrics.recorder();
    lab.count(&lab.story.record());
    lab.count_with(&other, &lab.story.record());
    for _ in 0..IDLE_TICKS - 1 {
        lab.metrics.tick();
    }
    lab.count_with(&other, &lab.story.record());
    for _ in 0..10 {
        lab.metrics.tick();
    }
    assert!(
        lab.requests()[0].ends_with(" 3"),
        "one of them is busy: the sum stays"
    );
    for _ in 0..IDLE_TICKS + 2 {
        lab.metrics.tick();
    }
    assert!(lab.requests().is_empty());
    assert_eq!(lab.metrics.series(), 0);
    lab.count(&lab.story.record());
    assert!(lab.requests()[0].ends_with(" 1"), "it begins anew");
    lab.recorder.tidy();
    lab.count(&lab.story.record());
    assert!(lab.requests()[0].ends_with(" 2"));
}

#[test]
fn beyond_the_limit_nobody_is_named() {
    let registry = Registry::new();
    let metrics = Metrics::with_limit(&registry, 4);
    let lab = Lab {
        recorder: metrics.recorder(),
        metrics,
        registry,
        ..Lab::new()
    };
    for n in 0..50 {
        let source = End {
            workload: Some(format!("w{n}").into()),
            ..End::default()
        };
        let record = Record {
            source: &source,
            ..lab.story.record()
        };
        lab.count(&record);
    }
    let requests = lab.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests
            .iter()
            .any(|line| line.contains("source_workload=\"overflow\"") && line.ends_with(" 49"))
    );
    assert!(lab.metrics.series() <= 8);
    assert!(!lines(&lab.registry, "lateen_metric_series_overflow_total").is_empty());
}

struct Fake(AtomicU64);

impl ByteCounts for Fake {
    fn bytes(&self) -> (u64, u64) {
        let bytes = self.0.load(Ordering::Relaxed);
        (bytes, bytes * 10)
    }
}

/// The labels and their values are those of istio/proxy's own test of a waypoint
/// (`testdata/metric/server_waypoint_proxy_connect_connections_opened_total.yaml.tmpl`).
#[test]
fn a_connection_counts_while_it_is_open() {
    let lab = Lab::new();
    let mut record = lab.story.record();
    record.request = None;
    record.connection.mutual_tls = true;
    let source = End {
        workload: Some("productpage-v1".into()),
        namespace: Some("default".into()),
        principal: Some("spiffe://cluster.local/ns/default/sa/client".parse().unwrap()),
        ..End::default()
    };
    record.source = &source;
    let (from, to) = (
        lab.recorder.end(source.clone()),
        lab.recorder.end(record.destination.clone()),
    );
    let sample = Sample {
        record: &record,
        source: &from,
        destination: &to,
        service: None,
        plan: &lab.plan,
    };
    let counts = Arc::new(Fake(AtomicU64::new(5)));
    let flow = lab.recorder.opened(&sample, counts.clone());
    assert_eq!(
        lines(&lab.registry, "istio_tcp_connections_opened_total"),
        [
            "istio_tcp_connections_opened_total{reporter=\"waypoint\",source_workload=\"productpage-v1\",\
             source_canonical_service=\"unknown\",source_canonical_revision=\"latest\",\
             source_workload_namespace=\"default\",source_principal=\"spiffe://cluster.local/ns/default/sa/client\",\
             source_app=\"unknown\",source_version=\"unknown\",source_cluster=\"unknown\",\
             destination_workload=\"ratings-v1\",destination_workload_namespace=\"default\",\
             destination_principal=\"spiffe://cluster.global/ns/default/sa/ratings\",destination_app=\"ratings\",\
             destination_version=\"v1\",destination_service=\"server.default.svc.cluster.local\",\
             destination_canonical_service=\"ratings\",destination_canonical_revision=\"v1\",\
             destination_service_name=\"server\",destination_service_namespace=\"default\",\
             destination_cluster=\"server-cluster\",request_protocol=\"tcp\",response_flags=\"-\",\
             connection_security_policy=\"mutual_tls\"} 1"
        ]
    );
    assert!(lines(&lab.registry, "istio_tcp_received_bytes_total")[0].ends_with(" 5"));
    assert!(lines(&lab.registry, "istio_tcp_sent_bytes_total")[0].ends_with(" 50"));
    for _ in 0..IDLE_TICKS * 2 {
        lab.metrics.tick();
    }
    counts.0.store(7, Ordering::Relaxed);
    drop(flow);
    lab.recorder.closed(&sample);
    assert!(lines(&lab.registry, "istio_tcp_received_bytes_total")[0].ends_with(" 7"));
    assert!(lines(&lab.registry, "istio_tcp_connections_closed_total")[0].ends_with(" 1"));
}

#[test]
fn fast_and_slow_buckets() {
    let lab = Lab::new();
    let mut record = lab.story.record();
    record.duration = Duration::from_secs(7200);
    lab.count(&record);
    record.duration = Duration::from_micros(500);
    lab.count(&record);
    let buckets = lines(&lab.registry, "istio_request_duration_milliseconds_bucket");
    assert!(buckets[0].ends_with(" 1") && buckets[18].ends_with(" 1") && buckets[19].ends_with(" 2"));
}
