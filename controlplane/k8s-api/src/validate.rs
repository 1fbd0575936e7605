//! What the schema cannot say: names, ports, ranges, and fields that exclude one another.
//!
//! The same checks serve files, the command line and admission; they look at one object alone.
//!
//! # Layout
//! - [`names`]: the grammars of names, labels and addresses.
//! - `core`: Pods, Services, EndpointSlices. `gateway`, `networking`, `security`: the groups of these names.

mod core;
mod gateway;
pub mod names;
mod networking;
mod security;

use crate::error::FieldPath;
use crate::object::{Kind, Labels, Metadata, Object};

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
    match object {
        Object::Namespace(o) => check.metadata(&o.metadata, Kind::Namespace),
        Object::Node(o) => check.metadata(&o.metadata, Kind::Node),
        Object::Pod(o) => {
            check.metadata(&o.metadata, Kind::Pod);
            core::pod(&mut check, o);
        }
        Object::Service(o) => {
            check.metadata(&o.metadata, Kind::Service);
            core::service(&mut check, o);
        }
        Object::ServiceAccount(o) => check.metadata(&o.metadata, Kind::ServiceAccount),
        Object::EndpointSlice(o) => {
            check.metadata(&o.metadata, Kind::EndpointSlice);
            core::endpoint_slice(&mut check, o);
        }
        Object::GatewayClass(o) => {
            check.metadata(&o.metadata, Kind::GatewayClass);
            gateway::gateway_class(&mut check, o);
        }
        Object::Gateway(o) => {
            check.metadata(&o.metadata, Kind::Gateway);
            gateway::gateway(&mut check, o);
        }
        Object::ServiceEntry(o) => {
            check.metadata(&o.metadata, Kind::ServiceEntry);
            networking::service_entry(&mut check, o);
        }
        Object::WorkloadEntry(o) => {
            check.metadata(&o.metadata, Kind::WorkloadEntry);
            networking::workload_entry(&mut check, o);
        }
        Object::WorkloadGroup(o) => {
            check.metadata(&o.metadata, Kind::WorkloadGroup);
            networking::workload_group(&mut check, o);
        }
        Object::AuthorizationPolicy(o) => {
            check.metadata(&o.metadata, Kind::AuthorizationPolicy);
            security::authorization_policy(&mut check, o);
        }
        Object::PeerAuthentication(o) => {
            check.metadata(&o.metadata, Kind::PeerAuthentication);
            security::peer_authentication(&mut check, o);
        }
        Object::Ignored(_) => {}
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
    }

    fn labels(&mut self, field: FieldPath, labels: &Labels) {
        for (key, value) in labels {
            let at = field.field(key);
            self.grammar(at.clone(), names::label_key(key));
            self.grammar(at, names::label_value(value));
        }
    }
}

#[cfg(test)]
mod tests;
