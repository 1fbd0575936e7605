use std::collections::BTreeSet;
use std::path::Path;

use mesh_model::l7::telemetry::{MetricOverride, TraceTag, Tracing};
use prometheus::Registry;

use super::*;
use crate::cel::Expression;
use crate::format::Template;
use crate::metrics::{MetricPlan, Metrics, Sample};
use crate::testing::Story;
use crate::trace::span::Reporter;
use crate::trace::{SpanContext, SpanId, TraceId, Tracer};

#[test]
fn names_are_unique_and_in_lower_case() {
    let mut seen = BTreeSet::new();
    for entry in entries() {
        assert!(seen.insert(entry.name), "{} is there twice", entry.name);
        assert!(
            entry
                .name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c == '.' || c == '_')
        );
        assert!(entry.text.ends_with('.'), "{}", entry.name);
    }
}

#[test]
fn no_name_is_the_beginning_of_another() {
    for entry in entries() {
        let inside = format!("{}.", entry.name);
        assert!(
            entries().all(|other| !other.name.starts_with(&inside)),
            "{}",
            entry.name
        );
    }
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/attributes.md");
    if std::env::var_os("LATEEN_UPDATE").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == document(),
        "docs/attributes.md is not what the dictionary gives: LATEEN_UPDATE=1 cargo test -p mesh-telemetry attributes"
    );
}

/// Everything in the dictionary means the same in a filter, a log's operator, a label and a tag.
#[test]
fn every_attribute_is_the_same_everywhere() {
    let registry = Registry::new();
    let recorder = Metrics::new(&registry).recorder();
    let mut story = Story::new();
    let referer = "http://a/".parse().unwrap();
    story.headers.insert("referer", referer);
    let mut record = story.record();
    record.response.grpc_status = Some(5);
    record.response.termination = Some("why");
    record.response.trailers = Some(&story.response_headers);
    record.upstream.failure = Some("reset");
    record.connection.server_name = Some("shop.example");
    record.route = Some("shop/r");
    let context = SpanContext {
        trace_id: TraceId::new(1).unwrap(),
        span_id: SpanId::new(2).unwrap(),
        parent: None,
        sampled: true,
    };
    record.trace = Some(&context);
    let mut known = 0;
    for entry in entries() {
        let name = entry.name;
        let expression = match entry.kind {
            Type::Map => format!("size({name})"),
            _ => name.to_owned(),
        };
        let operator = format!("%CEL({expression})%");
        let logged = Template::compile(&operator).unwrap().text(&record);
        let (plan, wrong) = MetricPlan::compile(&[MetricOverride {
            metric: None,
            disabled: None,
            tags: vec![("asked".into(), Some(expression.clone().into()))],
        }]);
        assert_eq!(wrong, [], "{name}");
        let (source, destination) = (
            recorder.end(record.source.clone()),
            recorder.end(record.destination.clone()),
        );
        recorder.request(&Sample {
            record: &record,
            source: &source,
            destination: &destination,
            service: None,
            plan: &plan,
        });
        let is_there = Expression::compile(&expression)
            .unwrap()
            .evaluate(&record)
            .is_ok();
        let label = if is_there { logged.as_str() } else { "unknown" };
        let families = registry.gather();
        let mut labels = families
            .iter()
            .flat_map(|family| family.get_metric())
            .flat_map(|m| m.get_label());
        assert!(
            labels.any(|pair| (pair.name(), pair.value()) == ("asked", label)),
            "{name} is {label} in logs and not in labels"
        );
        let tracer = Tracer::compile(
            &Tracing {
                exporter: None,
                sampling: 0,
                disabled: false,
                no_propagation: false,
                tags: vec![("asked".into(), TraceTag::Formatted(operator.into()))],
                not_by_request_id: false,
                no_istio_tags: true,
                path_limit: 0,
            },
            |_| None,
        );
        let span = tracer.unwrap().span(&record, &Reporter::default()).unwrap();
        let tag = span.tags.iter().find(|(name, _)| name == "asked");
        assert_eq!(
            tag.map(|(_, value)| value.as_str()),
            Some(logged.as_str()),
            "{name}"
        );
        let filter = Expression::filter(&format!("{expression} == {expression}")).unwrap();
        assert_eq!(filter.is_true(&record), is_there, "{name} in a filter");
        known += usize::from(is_there);
    }
    assert!(known > 60, "{known} have a value here");
}
