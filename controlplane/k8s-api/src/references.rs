//! What an object refers to, each with the field that does, so that whoever finds it missing can say where.

use mesh_types::Strng;

use crate::error::FieldPath;
use crate::gateway::{
    BackendObjectRef, HttpBackendRef, L4RouteRule, LocalObjectRef, ParentRef, PolicyTarget, RouteFilter,
    SecretRef,
};
use crate::lateen::CountedBy;
use crate::networking::{Destination, VirtualServiceSpec, VsHttpAction};
use crate::object::Object;
use crate::security::TargetRef;

/// Something that an object refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The field that does.
    pub field: FieldPath,
    /// What for.
    pub role: ReferenceRole,
    /// To what.
    pub to: Referent,
}

/// What an object refers to another for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReferenceRole {
    /// A route attaches to it.
    Parent,
    /// Traffic goes to it.
    Backend,
    /// A policy is for it.
    Target,
    /// A route has its filter there.
    Extension,
    /// It holds certificates or keys.
    Certificate,
    /// Another VirtualService goes on.
    Delegate,
}

/// What is referred to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Referent {
    /// An object; its namespace is the referrer's own where none is named.
    Object {
        /// The API group; empty for the core group.
        group: Strng,
        /// The kind.
        kind: Strng,
        /// The namespace.
        namespace: Strng,
        /// The name.
        name: Strng,
    },
    /// A service, by its host name as written; short ones are of the referrer's own namespace.
    Host(Strng),
}

/// Everything that an object refers to, in the order of its fields.
#[must_use]
pub fn references(object: &Object) -> Vec<Reference> {
    let Some(metadata) = object.metadata() else {
        return Vec::new();
    };
    let mut found = Found {
        namespace: &metadata.namespace,
        references: Vec::new(),
    };
    let spec = FieldPath::from("spec");
    match object {
        Object::HttpRoute(o) => {
            found.parents(&spec, &o.spec.parent_refs);
            for (i, rule) in o.spec.rules.iter().enumerate() {
                let rule_path = spec.field("rules").item(i);
                found.filters(&rule_path, &rule.filters);
                found.http_backends(&rule_path, &rule.backend_refs);
            }
        }
        Object::GrpcRoute(o) => {
            found.parents(&spec, &o.spec.parent_refs);
            for (i, rule) in o.spec.rules.iter().enumerate() {
                let rule_path = spec.field("rules").item(i);
                found.filters(&rule_path, &rule.filters);
                found.http_backends(&rule_path, &rule.backend_refs);
            }
        }
        Object::TlsRoute(o) => {
            found.parents(&spec, &o.spec.parent_refs);
            found.l4_rules(&spec, &o.spec.rules);
        }
        Object::TcpRoute(o) => {
            found.parents(&spec, &o.spec.parent_refs);
            found.l4_rules(&spec, &o.spec.rules);
        }
        Object::Gateway(o) => {
            for (i, listener) in o.spec.listeners.iter().enumerate() {
                let path = spec
                    .field("listeners")
                    .item(i)
                    .field("tls")
                    .field("certificateRefs");
                let certificates = listener.tls.iter().flat_map(|t| &t.certificate_refs);
                for (j, certificate) in certificates.enumerate() {
                    found.secret(path.item(j), certificate);
                }
            }
        }
        Object::BackendTlsPolicy(o) => {
            found.policy_targets(&spec, &o.spec.target_refs);
            let path = spec.field("validation").field("caCertificateRefs");
            for (i, bundle) in o.spec.validation.ca_certificate_refs.iter().enumerate() {
                found.local(path.item(i), ReferenceRole::Certificate, bundle);
            }
        }
        Object::AuthorizationPolicy(o) => {
            found.targets(&spec, o.spec.target_ref.as_ref(), &o.spec.target_refs);
        }
        Object::RequestAuthentication(o) => {
            found.targets(&spec, o.spec.target_ref.as_ref(), &o.spec.target_refs);
        }
        Object::Telemetry(o) => found.targets(&spec, o.spec.target_ref.as_ref(), &o.spec.target_refs),
        Object::DestinationRule(o) => {
            found.push(
                spec.field("host"),
                ReferenceRole::Target,
                Referent::Host(o.spec.host.clone()),
            );
        }
        Object::VirtualService(o) => found.virtual_service(&spec, &o.spec),
        Object::RateLimitPolicy(o) => {
            found.policy_targets(&spec, &o.spec.target_refs);
            if let Some(CountedBy::Backend(backend)) = o.spec.global.as_ref().map(|global| &global.counted) {
                found.backend(spec.field("global").field("backendRef"), &backend.backend_ref);
            }
        }
        Object::ExternalProcessorFilter(o) => {
            found.backend(spec.field("backendRef"), &o.spec.backend_ref);
        }
        Object::HealthCheckPolicy(o) => found.policy_targets(&spec, &o.spec.target_refs),
        Object::SessionPolicy(o) => found.policy_targets(&spec, &o.spec.target_refs),
        _ => {}
    }
    found.references
}

struct Found<'a> {
    namespace: &'a Strng,
    references: Vec<Reference>,
}

impl Found<'_> {
    fn push(&mut self, field: FieldPath, role: ReferenceRole, to: Referent) {
        self.references.push(Reference { field, role, to });
    }

    fn object(
        &mut self,
        field: FieldPath,
        role: ReferenceRole,
        (group, kind, name): (&Strng, &Strng, &Strng),
        namespace: Option<&Strng>,
    ) {
        let to = Referent::Object {
            group: group.clone(),
            kind: kind.clone(),
            namespace: namespace.unwrap_or(self.namespace).clone(),
            name: name.clone(),
        };
        self.push(field, role, to);
    }

    fn parents(&mut self, spec: &FieldPath, parents: &[ParentRef]) {
        for (i, p) in parents.iter().enumerate() {
            let field = spec.field("parentRefs").item(i);
            self.object(
                field,
                ReferenceRole::Parent,
                (&p.group, &p.kind, &p.name),
                p.namespace.as_ref(),
            );
        }
    }

    fn backend(&mut self, field: FieldPath, b: &BackendObjectRef) {
        self.object(
            field,
            ReferenceRole::Backend,
            (&b.group, &b.kind, &b.name),
            b.namespace.as_ref(),
        );
    }

    fn http_backends(&mut self, rule: &FieldPath, backends: &[HttpBackendRef]) {
        for (i, backend) in backends.iter().enumerate() {
            let field = rule.field("backendRefs").item(i);
            self.backend(field.clone(), &backend.backend.object);
            self.filters(&field, &backend.filters);
        }
    }

    fn l4_rules(&mut self, spec: &FieldPath, rules: &[L4RouteRule]) {
        for (i, rule) in rules.iter().enumerate() {
            for (j, backend) in rule.backend_refs.iter().enumerate() {
                let field = spec.field("rules").item(i).field("backendRefs").item(j);
                self.backend(field, &backend.object);
            }
        }
    }

    fn filters(&mut self, owner: &FieldPath, filters: &[RouteFilter]) {
        for (i, filter) in filters.iter().enumerate() {
            let field = owner.field("filters").item(i).field(filter.field());
            match filter {
                RouteFilter::RequestMirror(mirror) => {
                    self.backend(field.field("backendRef"), &mirror.backend)
                }
                RouteFilter::ExternalAuth(auth) => self.backend(field.field("backendRef"), &auth.backend),
                RouteFilter::ExtensionRef(extension) => {
                    self.local(field, ReferenceRole::Extension, extension)
                }
                _ => {}
            }
        }
    }

    fn local(&mut self, field: FieldPath, role: ReferenceRole, l: &LocalObjectRef) {
        self.object(field, role, (&l.group, &l.kind, &l.name), None);
    }

    fn secret(&mut self, field: FieldPath, s: &SecretRef) {
        self.object(
            field,
            ReferenceRole::Certificate,
            (&s.group, &s.kind, &s.name),
            s.namespace.as_ref(),
        );
    }

    fn policy_targets(&mut self, spec: &FieldPath, targets: &[PolicyTarget]) {
        for (i, t) in targets.iter().enumerate() {
            let field = spec.field("targetRefs").item(i);
            self.object(field, ReferenceRole::Target, (&t.group, &t.kind, &t.name), None);
        }
    }

    fn targets(&mut self, spec: &FieldPath, target: Option<&TargetRef>, targets: &[TargetRef]) {
        let one = target.map(|t| (spec.field("targetRef"), t));
        let several = targets.iter().enumerate();
        let several = several.map(|(i, t)| (spec.field("targetRefs").item(i), t));
        for (field, t) in one.into_iter().chain(several) {
            self.object(field, ReferenceRole::Target, (&t.group, &t.kind, &t.name), None);
        }
    }

    fn virtual_service(&mut self, spec: &FieldPath, service: &VirtualServiceSpec) {
        for (i, route) in service.http.iter().enumerate() {
            let path = spec.field("http").item(i);
            match &route.action {
                VsHttpAction::Route(routes) => {
                    let routes = routes.iter().map(|r| &r.destination);
                    self.destinations(&path.field("route"), routes);
                }
                VsHttpAction::Delegate(delegate) => {
                    let own = self.namespace.clone();
                    let to = Referent::Object {
                        group: "networking.istio.io".into(),
                        kind: "VirtualService".into(),
                        namespace: Some(delegate.namespace.clone())
                            .filter(|n| !n.is_empty())
                            .unwrap_or(own),
                        name: delegate.name.clone(),
                    };
                    self.push(path.field("delegate"), ReferenceRole::Delegate, to);
                }
                VsHttpAction::Redirect(_) | VsHttpAction::DirectResponse(_) => {}
            }
            let mirrors = route.mirrors.iter().map(|m| &m.destination);
            self.destinations(&path.field("mirrors"), mirrors);
        }
        for (name, routes) in [
            ("tls", service.tls.iter().map(|r| &r.route).collect::<Vec<_>>()),
            ("tcp", service.tcp.iter().map(|r| &r.route).collect()),
        ] {
            for (i, route) in routes.into_iter().enumerate() {
                let path = spec.field(name).item(i).field("route");
                self.destinations(&path, route.iter().map(|r| &r.destination));
            }
        }
    }

    fn destinations<'d>(&mut self, path: &FieldPath, destinations: impl Iterator<Item = &'d Destination>) {
        for (i, destination) in destinations.enumerate() {
            let field = path.item(i).field("destination").field("host");
            self.push(
                field,
                ReferenceRole::Backend,
                Referent::Host(destination.host.clone()),
            );
        }
    }
}

#[cfg(test)]
mod tests;
