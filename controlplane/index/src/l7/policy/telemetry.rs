//! A Telemetry becomes what is logged, counted and traced (Istio reference, "Telemetry").
//!
//! A Telemetry of the root namespace is for the mesh, one of another namespace for its gateways, one with targets for
//! these; each takes from the more general ones what it leaves out. Of logs and traces a waypoint takes the most specific
//! policy alone, so that what is left out is filled in here; changes of metrics add up there.

mod tracing;

use controlplane_k8s_api::telemetry::{
    AccessLogging as LoggingSpec, IstioMetric, MetricMatch, MetricsOverride, ProviderRef, TagOverride,
    TelemetrySpec, WorkloadMode,
};
use mesh_model::l7::telemetry::{AccessLogging, LogSink, MetricOverride, Metrics};
use mesh_types::Strng;

use super::providers::{self, Providers};
use crate::derived::{Condition, ConditionReason};

pub(super) use tracing::{Tracer, tracing};

/// What counts where nothing more is said: the names of the mesh's default providers.
pub(super) struct Defaults<'a> {
    pub(super) logs: &'a [Strng],
    pub(super) tracer: &'a Tracer,
}

/// What is logged; nothing where a Telemetry does not say. `above` are the more general ones, the most general first.
pub(super) fn access_logging(
    spec: &TelemetrySpec,
    above: &[&TelemetrySpec],
    defaults: &Defaults<'_>,
    providers: &impl Providers,
    conditions: &mut Vec<Condition>,
) -> Option<AccessLogging> {
    let applicable = |spec: &LoggingSpec| spec.selector.mode != WorkloadMode::Client;
    if !spec.access_logging.iter().any(applicable) {
        return None;
    }
    let inherited = above
        .iter()
        .map(|spec| spec.access_logging.iter().filter(|entry| applicable(entry)))
        .fold(defaults.logs.to_vec(), |names, entries| {
            names_after(names, entries)
        });
    let own = spec.access_logging.iter().filter(|entry| applicable(entry));
    let names = names_after(inherited, own);
    let mut sinks: Vec<LogSink> = Vec::new();
    for name in &names {
        match providers::log_sink(name, providers) {
            Ok(sink) => sinks.push(sink),
            Err(why) => {
                let message = format!("{why}: nothing is logged there");
                conditions.push(Condition::at(ConditionReason::ReferenceUnresolved, LOGS, message));
            }
        }
    }
    let disabled = spec
        .access_logging
        .iter()
        .any(|entry| entry.disabled == Some(true));
    if names.is_empty() && !disabled {
        let message = "names no provider, and the mesh has no default one: nothing is logged";
        conditions.push(Condition::at(ConditionReason::ReferenceUnresolved, LOGS, message));
    }
    Some(AccessLogging {
        sinks,
        filter: filter(spec, conditions),
    })
}

/// The providers that log, once entries were read: those that name providers replace what was inherited, or switch off
/// those that they name; those that name none are about all.
fn names_after<'a>(inherited: Vec<Strng>, entries: impl Iterator<Item = &'a LoggingSpec>) -> Vec<Strng> {
    let mut names = inherited;
    let mut replaced = false;
    for entry in entries {
        let named = entry.providers.iter().map(|provider| &provider.name);
        match (entry.disabled == Some(true), entry.providers.is_empty()) {
            (true, true) => names.clear(),
            (true, false) => names.retain(|name| !entry.providers.iter().any(|p| p.name == *name)),
            (false, true) => {}
            (false, false) => {
                if !std::mem::replace(&mut replaced, true) {
                    names.clear();
                }
                for name in named {
                    if !names.contains(name) {
                        names.push(name.clone());
                    }
                }
            }
        }
    }
    names
}

/// One expression for all sinks: where entries differ, what any of them takes is logged.
fn filter(spec: &TelemetrySpec, conditions: &mut Vec<Condition>) -> Option<Strng> {
    let logging = spec.access_logging.iter();
    let logging = logging.filter(|e| e.selector.mode != WorkloadMode::Client && e.disabled != Some(true));
    let mut filters: Vec<&Strng> = Vec::new();
    let mut unfiltered = false;
    for entry in logging {
        match entry.filter.as_ref().map(|filter| &filter.expression) {
            Some(text) if !text.is_empty() => filters.push(text),
            _ => unfiltered = true,
        }
    }
    filters.dedup();
    match filters.as_slice() {
        [] => None,
        [filter] if !unfiltered => Some((*filter).clone()),
        several => {
            let message =
                "differs between entries: what any of them takes is logged to all of their providers";
            let field = "spec.accessLogging[*].filter";
            conditions.push(Condition::at(ConditionReason::Unsupported, field, message));
            let all: Vec<String> = several.iter().map(|filter| format!("({filter})")).collect();
            (!unfiltered).then(|| all.join(" || ").into())
        }
    }
}

/// What is counted; nothing where a Telemetry does not say.
pub(super) fn metrics(
    spec: &TelemetrySpec,
    providers: &impl Providers,
    conditions: &mut Vec<Condition>,
) -> Option<Metrics> {
    let mut overrides = Vec::new();
    for (i, metrics) in spec.metrics.iter().enumerate() {
        let path = format!("spec.metrics[{i}]");
        if !counts_here(&metrics.providers, &path, providers, conditions) {
            continue;
        }
        if metrics.reporting_interval.is_some() {
            let message = "has no effect: bytes are counted as they pass";
            let field = format!("{path}.reportingInterval");
            conditions.push(Condition::at(ConditionReason::Unsupported, field, message));
        }
        let own = metrics.overrides.iter();
        let own = own.filter(|change| change.selector.mode != WorkloadMode::Client);
        overrides.extend(own.map(metric_override));
    }
    (!overrides.is_empty()).then_some(Metrics { overrides })
}

/// Whether entries are for the metrics that are there: Prometheus', which asks for them.
fn counts_here(
    named: &[ProviderRef],
    path: &str,
    providers: &impl Providers,
    conditions: &mut Vec<Condition>,
) -> bool {
    let mut counts = named.is_empty();
    for (i, provider) in named.iter().enumerate() {
        match providers::takes_metrics(&provider.name, providers) {
            Ok(()) => counts = true,
            Err(why) => {
                let field = format!("{path}.providers[{i}].name");
                conditions.push(Condition::at(ConditionReason::ReferenceUnresolved, field, why));
            }
        }
    }
    counts
}

fn metric_override(change: &MetricsOverride) -> MetricOverride {
    let tags = change.tag_overrides.iter().filter(|(name, _)| !name.is_empty());
    MetricOverride {
        metric: metric_name(&change.selector.metric),
        disabled: change.disabled,
        tags: tags
            .map(|(name, change)| match change {
                TagOverride::Upsert(expression) => (name.clone(), Some(expression.clone())),
                TagOverride::Remove => (name.clone(), None),
            })
            .collect(),
    }
}

fn metric_name(metric: &MetricMatch) -> Option<Strng> {
    let name = match metric {
        MetricMatch::Custom(name) => return Some(name.clone()).filter(|name| !name.is_empty()),
        MetricMatch::Istio(IstioMetric::AllMetrics) => return None,
        MetricMatch::Istio(IstioMetric::RequestCount) => "istio_requests_total",
        MetricMatch::Istio(IstioMetric::RequestDuration) => "istio_request_duration_milliseconds",
        MetricMatch::Istio(IstioMetric::RequestSize) => "istio_request_bytes",
        MetricMatch::Istio(IstioMetric::ResponseSize) => "istio_response_bytes",
        MetricMatch::Istio(IstioMetric::TcpOpenedConnections) => "istio_tcp_connections_opened_total",
        MetricMatch::Istio(IstioMetric::TcpClosedConnections) => "istio_tcp_connections_closed_total",
        MetricMatch::Istio(IstioMetric::TcpSentBytes) => "istio_tcp_sent_bytes_total",
        MetricMatch::Istio(IstioMetric::TcpReceivedBytes) => "istio_tcp_received_bytes_total",
        MetricMatch::Istio(IstioMetric::GrpcRequestMessages) => "istio_request_messages_total",
        MetricMatch::Istio(IstioMetric::GrpcResponseMessages) => "istio_response_messages_total",
    };
    Some(name.into())
}

const LOGS: &str = "spec.accessLogging";

#[cfg(test)]
mod tests;
