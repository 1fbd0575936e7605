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
use mesh_model::l7::telemetry::{AccessLogging, LoggedTo, MetricOverride, Metrics};
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
    if !spec.access_logging.iter().any(|entry| applicable(&entry)) {
        return None;
    }
    let all: Vec<Logged> = defaults.logs.iter().map(Logged::to).collect();
    let inherited = above.iter().fold(all, |logged, spec| after(logged, spec));
    let logged = after(inherited, spec);
    let mut sinks = Vec::with_capacity(logged.len());
    for Logged { name, filter } in &logged {
        match providers::log_sink(name, providers) {
            Ok(sink) => sinks.push(LoggedTo {
                sink,
                filter: filter.clone(),
            }),
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
    if logged.is_empty() && !disabled {
        let message = "names no provider, and the mesh has no default one: nothing is logged";
        conditions.push(Condition::at(ConditionReason::ReferenceUnresolved, LOGS, message));
    }
    Some(AccessLogging { sinks })
}

/// A waypoint is a server.
fn applicable(entry: &&LoggingSpec) -> bool {
    entry.selector.mode != WorkloadMode::Client
}

/// A provider that logs, and which records.
#[derive(Clone, Debug, PartialEq)]
struct Logged {
    name: Strng,
    filter: Option<Strng>,
}

impl Logged {
    fn to(name: &Strng) -> Self {
        Self {
            name: name.clone(),
            filter: None,
        }
    }
}

/// Who logs, once a Telemetry was read: entries that name providers replace what was inherited, or switch off those that
/// they name; those that name none are about all. Of two entries about the same provider the later one counts.
fn after(inherited: Vec<Logged>, spec: &TelemetrySpec) -> Vec<Logged> {
    let mut logged = inherited;
    let mut replaced = false;
    for entry in spec.access_logging.iter().filter(applicable) {
        let filter = entry.filter.as_ref().map(|filter| &filter.expression);
        let filter = filter.filter(|text| !text.is_empty());
        let named = |name: &Strng| entry.providers.iter().any(|provider| provider.name == *name);
        match (entry.disabled == Some(true), entry.providers.is_empty()) {
            (true, true) => logged.clear(),
            (true, false) => logged.retain(|logged| !named(&logged.name)),
            (false, true) if filter.is_some() => {
                logged
                    .iter_mut()
                    .for_each(|logged| logged.filter = filter.cloned());
            }
            (false, true) => {}
            (false, false) => {
                if !std::mem::replace(&mut replaced, true) {
                    logged.clear();
                }
                logged.retain(|logged| !named(&logged.name));
                for provider in &entry.providers {
                    if !logged.iter().any(|logged| logged.name == provider.name) {
                        logged.push(Logged {
                            name: provider.name.clone(),
                            filter: filter.cloned(),
                        });
                    }
                }
            }
        }
    }
    logged
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
