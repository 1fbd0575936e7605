//! Where a route sends requests and connections (Gateway API, "BackendObjectReference").
//!
//! What is not there or may not be named becomes a destination that answers its share with 500, never another one's share
//! and never another destination.

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::gateway::BackendObjectRef;
use mesh_model::l7::ServicePort;
use mesh_model::l7::route::Destination;
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use super::findings::Findings;
use super::hosts::Host;
use super::lowering::Lowering;
use super::parents::{ISTIO, Side};
use crate::status::StatusReason;

/// The service that a reference means; what is wrong with it is found.
pub(crate) fn destination(
    lowering: &Lowering<'_, '_>,
    side: Side,
    field: &FieldPath,
    backend: &BackendObjectRef,
    findings: &mut Findings,
) -> Destination {
    match service_port(lowering, side, backend) {
        Ok(service) => Destination::Service {
            service,
            subset: None,
        },
        Err((reason, message)) => {
            findings.unresolved(field.clone(), reason, message.clone());
            Destination::Invalid(message.into())
        }
    }
}

/// The port of the service that a reference means.
pub(crate) fn service_port(
    lowering: &Lowering<'_, '_>,
    side: Side,
    backend: &BackendObjectRef,
) -> Result<ServicePort, (StatusReason, String)> {
    let namespace = backend.namespace.as_ref().unwrap_or(&lowering.name.namespace);
    let group = match backend.group.as_str() {
        "core" => "",
        group => group,
    };
    let to = (group, backend.kind.as_str(), backend.name.as_str());
    if !matches!(to, ("", "Service", _) | (ISTIO, "ServiceEntry" | "Hostname", _)) {
        let message = format!(
            "{} of group {group:?} is nothing that requests can go to",
            backend.kind
        );
        return Err((StatusReason::InvalidKind, message));
    }
    // Within the mesh no grant is asked for, as clients can call the other service by themselves (Istio does the same).
    let referrer = (
        lowering.kind.group().name(),
        lowering.kind.as_str(),
        lowering.name.namespace.as_str(),
    );
    let grants = &lowering.lookups.grants;
    if side == Side::Gateway && !grants.permit(lowering.fetch, referrer, namespace, to) {
        let message = format!(
            "{} {namespace}/{} is in another namespace, which has no ReferenceGrant for it",
            backend.kind, backend.name
        );
        return Err((StatusReason::RefNotPermitted, message));
    }
    let (service, host) = find(lowering, backend, namespace).ok_or_else(|| {
        let message = format!("there is no {} {namespace}/{}", backend.kind, backend.name);
        (StatusReason::BackendNotFound, message)
    })?;
    let Some(port) = backend.port.or_else(|| host.only_port()) else {
        let message = format!("{} has several ports, and none is named", service.hostname);
        return Err((StatusReason::BackendNotFound, message));
    };
    if host.port(port).is_none() {
        let message = format!("{} has no port {port}", service.hostname);
        return Err((StatusReason::BackendNotFound, message));
    }
    Ok(ServicePort { service, port })
}

fn find<'a>(
    lowering: &Lowering<'_, 'a>,
    backend: &BackendObjectRef,
    namespace: &Strng,
) -> Option<(NamespacedHostname, &'a Host)> {
    let name = NamespacedName::new(namespace.clone(), backend.name.clone());
    let hosts = &lowering.lookups.hosts;
    match backend.kind.as_str() {
        "Service" => {
            let hostname = crate::service::hostname(lowering.config, &name);
            hosts.get(lowering.fetch, &hostname).map(|host| (hostname, host))
        }
        "ServiceEntry" => lowering.hosts_of_entry(&name).into_iter().next(),
        _ => {
            let host = crate::service_entry::normal(&backend.name);
            hosts.find(lowering.fetch, lowering.config, &host, namespace)
        }
    }
}
