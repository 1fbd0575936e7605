//! The labels of a record, in Istio's order (istio/proxy, `testdata/metric/server_waypoint_proxy_request_total.yaml.tmpl`).

use mesh_types::Strng;

use super::Metric;
use crate::record::{End, Record};

/// Labels: name and value.
pub(super) type Labels = Vec<(Strng, Strng)>;

/// The usual labels of a metric.
pub(super) fn labels(record: &Record<'_>, metric: Metric) -> Labels {
    let mut labels = Builder(Vec::with_capacity(29));
    labels.put("reporter", Some("waypoint"));
    source(&mut labels, record.source);
    destination(&mut labels, record);
    // Of a call that goes on nothing else is known (istio/proxy, `testdata/metric/server_request_messages.yaml.tmpl`).
    if matches!(metric, Metric::RequestMessages | Metric::ResponseMessages) {
        return labels.0;
    }
    labels.put("request_protocol", Some(record.protocol()));
    if !metric.is_tcp() {
        labels.own("response_code", record.response.code.to_string());
        let status = record
            .response
            .grpc_status
            .filter(|_| record.protocol() == "grpc");
        labels.own(
            "grpc_response_status",
            status.map(|status| status.to_string()).unwrap_or_default(),
        );
    }
    labels.own("response_flags", record.response.flags.to_string());
    let security = if record.connection.mutual_tls {
        "mutual_tls"
    } else {
        "none"
    };
    labels.put("connection_security_policy", Some(security));
    labels.0
}

fn source(labels: &mut Builder, end: &End) {
    labels.end("source_workload", end.workload.as_ref());
    labels.end("source_canonical_service", end.canonical_service.as_ref());
    labels.put(
        "source_canonical_revision",
        Some(end.canonical_revision.as_deref().unwrap_or("latest")),
    );
    labels.end("source_workload_namespace", end.namespace.as_ref());
    labels.own("source_principal", principal(end));
    labels.end("source_app", end.canonical_service.as_ref());
    labels.end("source_version", end.canonical_revision.as_ref());
    labels.end("source_cluster", end.cluster.as_ref());
}

fn destination(labels: &mut Builder, record: &Record<'_>) {
    let end = record.destination;
    labels.end("destination_workload", end.workload.as_ref());
    labels.end("destination_workload_namespace", end.namespace.as_ref());
    labels.own("destination_principal", principal(end));
    labels.end("destination_app", end.canonical_service.as_ref());
    labels.end("destination_version", end.canonical_revision.as_ref());
    let service = record.service;
    labels.end("destination_service", service.map(|s| &s.hostname));
    labels.end("destination_canonical_service", end.canonical_service.as_ref());
    let revision = end.canonical_revision.as_ref();
    labels.end("destination_canonical_revision", revision);
    let name = service.map(|s| &s.name).or(end.canonical_service.as_ref());
    labels.end("destination_service_name", name);
    let namespace = service.map(|s| &s.namespace).or(end.namespace.as_ref());
    labels.end("destination_service_namespace", namespace);
    labels.end("destination_cluster", end.cluster.as_ref());
}

fn principal(end: &End) -> String {
    let principal = end.principal.as_ref();
    principal.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

/// The same labels for a series that stands for many: nothing of it that others choose is told.
pub(super) fn overflow(labels: &mut Labels) {
    for (name, value) in labels {
        let kept = KEPT_IN_OVERFLOW.contains(&name.as_str());
        if !kept {
            *value = "overflow".into();
        }
    }
}

const KEPT_IN_OVERFLOW: [&str; 3] = ["reporter", "request_protocol", "connection_security_policy"];

struct Builder(Labels);

impl Builder {
    fn put(&mut self, name: &'static str, value: Option<&str>) {
        self.0.push((name.into(), value.unwrap_or("unknown").into()));
    }

    fn own(&mut self, name: &'static str, value: String) {
        self.0.push((name.into(), value.into()));
    }

    fn end(&mut self, name: &'static str, value: Option<&Strng>) {
        let value = value.filter(|value| !value.is_empty());
        self.0
            .push((name.into(), value.cloned().unwrap_or_else(|| "unknown".into())));
    }
}
