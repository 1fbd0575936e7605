//! What the schema cannot say: names, ports, ranges, and fields that exclude one another.
//!
//! The same checks serve files, the command line and admission; they look at one object alone.
//!
//! # Layout
//! - [`names`]: the grammars of names, labels and addresses. [`http`]: those of HTTP. [`patterns`]: regular
//!   expressions and path templates. [`expressions`]: CEL.
//! - `core`: Nodes, Pods, Services, EndpointSlices. `gateway`, `networking`, `security`, `telemetry`: the groups of these
//!   names. `mesh`: the mesh's own configuration. `lateen`: our own kinds.

mod core;
pub mod expressions;
mod gateway;
pub mod http;
mod lateen;
mod mesh;
pub mod names;
mod networking;
pub mod patterns;
mod security;
mod telemetry;

use std::time::Duration;

use crate::error::FieldPath;
use crate::object::{Kind, Labels, Metadata, Object};
use crate::value::IstioDuration;

/// Something that is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field.
    pub field: FieldPath,
    /// Why, as the end of a sentence that begins with the field.
    pub reason: String,
}

/// What a look at an object gave.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Findings {
    /// What is not allowed; none means that the object is fit for use.
    pub violations: Vec<Violation>,
    /// What is allowed and has no effect here, or another one than it seems.
    pub warnings: Vec<Violation>,
}

/// Checks one object.
#[must_use]
pub fn object(object: &Object) -> Findings {
    let mut check = Check::default();
    if let (Some(key), Some(metadata)) = (object.key(), object.metadata()) {
        check.metadata(metadata, key.kind);
    }
    let c = &mut check;
    match object {
        Object::Namespace(_)
        | Object::ServiceAccount(_)
        | Object::ConfigMap(_)
        | Object::Secret(_)
        | Object::Ignored(_) => {}
        Object::Node(o) => core::node(c, o),
        Object::Pod(o) => core::pod(c, o),
        Object::Service(o) => core::service(c, o),
        Object::EndpointSlice(o) => core::endpoint_slice(c, o),
        Object::GatewayClass(o) => gateway::gateway_class(c, o),
        Object::Gateway(o) => gateway::gateway(c, o),
        Object::HttpRoute(o) => gateway::http_route(c, o),
        Object::GrpcRoute(o) => gateway::grpc_route(c, o),
        Object::TlsRoute(o) => gateway::tls_route(c, o),
        Object::TcpRoute(o) => gateway::tcp_route(c, o),
        Object::ReferenceGrant(o) => gateway::reference_grant(c, o),
        Object::BackendTlsPolicy(o) => gateway::backend_tls_policy(c, o),
        Object::ServiceEntry(o) => networking::service_entry(c, o),
        Object::WorkloadEntry(o) => networking::workload_entry(c, o),
        Object::WorkloadGroup(o) => networking::workload_group(c, o),
        Object::DestinationRule(o) => networking::destination_rule(c, o),
        Object::VirtualService(o) => networking::virtual_service(c, o),
        Object::ProxyConfig(o) => networking::proxy_config(c, o),
        Object::RequestAuthentication(o) => security::request_authentication(c, o),
        Object::Telemetry(o) => telemetry::telemetry(c, o),
        Object::RateLimitPolicy(o) => lateen::rate_limit_policy(c, o),
        Object::HealthCheckPolicy(o) => lateen::health_check_policy(c, o),
        Object::SessionPolicy(o) => lateen::session_policy(c, o),
        Object::FaultFilter(o) => lateen::fault_filter(c, o),
        Object::ExternalProcessorFilter(o) => lateen::external_processor_filter(c, o),
        Object::MeshConfig(o) => mesh::mesh_config(c, o),
        Object::AuthorizationPolicy(o) => security::authorization_policy(c, o),
        Object::PeerAuthentication(o) => security::peer_authentication(c, o),
    }
    check.findings
}

/// Collects findings.
#[derive(Default)]
struct Check {
    findings: Findings,
}

impl Check {
    /// Notes that a field is not allowed, and why.
    fn refuse(&mut self, field: FieldPath, reason: impl Into<String>) {
        self.findings.violations.push(Violation {
            field,
            reason: reason.into(),
        });
    }

    /// Notes that a field is not what it seems.
    fn warn(&mut self, field: FieldPath, reason: impl Into<String>) {
        self.findings.warnings.push(Violation {
            field,
            reason: reason.into(),
        });
    }

    /// Notes that a list is too long.
    fn at_most(&mut self, field: &FieldPath, length: usize, limit: usize) {
        if length > limit {
            self.refuse(field.clone(), format!("has more than {limit} items"));
        }
    }

    /// Notes that a number is no port.
    fn port(&mut self, field: FieldPath, port: u16) {
        if port == 0 {
            self.refuse(field, "0 is not a port number from 1 to 65535");
        }
    }

    /// Notes a grammar's complaint, if there is one.
    fn grammar(&mut self, field: FieldPath, result: Result<(), String>) {
        if let Err(reason) = result {
            self.refuse(field, reason);
        }
    }

    /// Notes that a duration is zero.
    fn positive(&mut self, field: FieldPath, duration: Option<IstioDuration>) {
        if duration.is_some_and(|d| d.0 < Duration::from_millis(1)) {
            self.refuse(field, "is less than 1ms");
        }
    }

    /// Notes that a number is no percentage.
    fn percent(&mut self, field: FieldPath, percent: f64) {
        if !(0.0..=100.0).contains(&percent) {
            self.refuse(field, format!("{percent} is not from 0 to 100"));
        }
    }

    fn metadata(&mut self, metadata: &Metadata, kind: Kind) {
        let name = FieldPath::from("metadata.name");
        if metadata.name.is_empty() {
            return self.refuse(name, "is required");
        }
        let grammar = match kind {
            Kind::Namespace => names::label(&metadata.name),
            Kind::Service => names::service(&metadata.name),
            _ => names::subdomain(&metadata.name),
        };
        self.grammar(name, grammar);
        if kind.is_namespaced() {
            self.grammar("metadata.namespace".into(), names::label(&metadata.namespace));
        }
        self.labels("metadata.labels".into(), &metadata.labels);
        self.annotations("metadata.annotations".into(), &metadata.annotations);
    }

    /// Their values are anything, but not any amount of it.
    fn annotations(&mut self, field: FieldPath, annotations: &Labels) {
        for key in annotations.keys() {
            self.grammar(field.field(key), names::annotation_key(key));
        }
        let size: usize = annotations
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        if size > MAX_ANNOTATIONS {
            self.refuse(field, format!("has {size} bytes, more than {MAX_ANNOTATIONS}"));
        }
    }

    fn labels(&mut self, field: FieldPath, labels: &Labels) {
        for (key, value) in labels {
            let at = field.field(key);
            self.grammar(at.clone(), names::label_key(key));
            self.grammar(at, names::label_value(value));
        }
    }
}

/// `k8s.io/apimachinery/pkg/api/validation`, `TotalAnnotationSizeLimitB`.
const MAX_ANNOTATIONS: usize = 256 * 1024;

#[cfg(test)]
mod tests;
