//! Where a VirtualService sends requests and connections.

use controlplane_k8s_api::FieldPath;
use controlplane_k8s_api::networking::Destination as Wanted;
use mesh_model::l7::ServicePort;
use mesh_model::l7::route::Destination;
use mesh_types::Strng;

use super::qualified;
use crate::l7::findings::Findings;
use crate::l7::lowering::Lowering;
use crate::status::StatusReason;

/// Where an HTTP route is read from: its own object, or one that it delegates to, and the port that clients called.
#[derive(Clone, Copy)]
pub(super) struct Place<'l, 'f, 'a> {
    pub(super) lowering: &'l Lowering<'f, 'a>,
    /// Short host names are of this namespace.
    pub(super) namespace: &'l Strng,
    pub(super) port: u16,
}

/// The service that is meant; what is wrong with it is found.
pub(super) fn destination(
    place: Place<'_, '_, '_>,
    field: &FieldPath,
    wanted: &Wanted,
    findings: &mut Findings,
) -> Destination {
    match service_port(place, wanted) {
        Ok(service) => Destination::Service {
            service,
            subset: Some(wanted.subset.clone()).filter(|s| !s.is_empty()),
        },
        Err(message) => {
            findings.unresolved(
                field.field("destination"),
                StatusReason::BackendNotFound,
                message.clone(),
            );
            Destination::Invalid(message.into())
        }
    }
}

/// Without a port: the only one, else the one that clients called.
fn service_port(place: Place<'_, '_, '_>, wanted: &Wanted) -> Result<ServicePort, String> {
    let lowering = place.lowering;
    let host = qualified(lowering, place.namespace, &wanted.host);
    let hosts = &lowering.lookups.hosts;
    let found = hosts.find(lowering.fetch, lowering.config, &host, place.namespace);
    let (service, found) = found.ok_or_else(|| format!("no service has the host {host}"))?;
    let port = wanted.port.map(|p| p.number).or_else(|| found.only_port());
    let port = port.unwrap_or(place.port);
    match found.port(port) {
        Some(_) => Ok(ServicePort { service, port }),
        None => Err(format!("{host} has no port {port}")),
    }
}

/// Shares as proxies take them: a single one is everything, and large ones are scaled down.
pub(super) fn shares(weights: &[u32]) -> Vec<u32> {
    let most = weights.iter().copied().max().unwrap_or(0);
    let divisor = most.div_ceil(MAX_WEIGHT).max(1);
    match weights {
        [_] => vec![1],
        weights => weights
            .iter()
            .map(|w| if *w == 0 { 0 } else { (w / divisor).max(1) })
            .collect(),
    }
}

/// Of one share; also as a sum no overflow.
const MAX_WEIGHT: u32 = 1_000_000;
