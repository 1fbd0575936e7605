//! What the schema cannot say: names, ports, ranges, and fields that exclude one another.
//!
//! The same checks serve files, the command line and admission; they look at one object alone.
//!
//! # Layout
//! - [`names`]: the grammars of names, labels and addresses.
//! - `core`: Pods, Services, EndpointSlices. `security`: the two policy kinds.

mod core;
pub mod names;
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

/// Checks one object; nothing found means that it is fit for use.
#[must_use]
pub fn object(object: &Object) -> Vec<Violation> {
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
        Object::EndpointSlice(o) => {
            check.metadata(&o.metadata, Kind::EndpointSlice);
            core::endpoint_slice(&mut check, o);
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
    check.violations
}

/// Collects violations.
#[derive(Default)]
struct Check {
    violations: Vec<Violation>,
}

impl Check {
    /// Notes that a field is not allowed, and why.
    fn refuse(&mut self, field: FieldPath, reason: impl Into<String>) {
        self.violations.push(Violation {
            field,
            reason: reason.into(),
        });
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
