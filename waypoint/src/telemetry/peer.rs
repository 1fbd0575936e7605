//! Who the client is: what its node's proxy says of it, as far as that agrees with its certificate; else what the mesh
//! knows of its address.

use mesh_hbone::Baggage;
use mesh_hbone::request::WorkloadKind;
use mesh_model::workload::WorkloadType;
use mesh_state::View;
use mesh_telemetry::End;
use mesh_types::{Identity, NetworkAddress, Strng};

use crate::connection::Client;

/// What is known of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) end: End,
    /// It proved to be one of the mesh, and the mesh does not know it yet.
    pub(super) may_come: bool,
}

/// Who a client is. Pure.
pub(super) fn known(client: &Client, network: &Strng, view: &View) -> Known {
    let at = NetworkAddress::new(network.clone(), client.peer.addr().ip());
    // Whoever has the address now is the client only with the client's identity.
    let workload = view.workload_by_address(&at).filter(|workload| {
        client
            .identity
            .as_ref()
            .is_none_or(|proved| *proved == workload.identity)
    });
    if let (Some(baggage), Some(identity)) = (&client.baggage, &client.identity)
        && (baggage.workload.is_some() || baggage.service.is_some())
    {
        let mut end = of_baggage(baggage, identity);
        end.name = workload.map(|workload| workload.name.clone());
        return Known { end, may_come: false };
    }
    match (workload, &client.identity) {
        (Some(workload), identity) => Known {
            end: End {
                principal: identity.clone(),
                ..End::of_workload(workload)
            },
            may_come: false,
        },
        (None, Some(identity)) => Known {
            end: End {
                namespace: Some(identity.namespace().clone()),
                principal: Some(identity.clone()),
                ..End::default()
            },
            may_come: true,
        },
        (None, None) => Known {
            end: End::default(),
            may_come: false,
        },
    }
}

/// The namespace is the certificate's, whatever was said.
fn of_baggage(baggage: &Baggage, identity: &Identity) -> End {
    let workload = baggage.workload.as_ref();
    End {
        name: None,
        workload: workload.map(|(_, name)| name.clone()),
        kind: workload.map(|(kind, _)| match kind {
            WorkloadKind::Deployment => WorkloadType::Deployment,
            WorkloadKind::CronJob => WorkloadType::CronJob,
            WorkloadKind::Pod => WorkloadType::Pod,
            WorkloadKind::Job => WorkloadType::Job,
        }),
        canonical_service: baggage.service.clone(),
        canonical_revision: baggage.revision.clone(),
        namespace: Some(identity.namespace().clone()),
        principal: Some(identity.clone()),
        cluster: baggage.cluster.clone(),
        region: baggage.region.clone(),
        zone: baggage.zone.clone(),
    }
}

#[cfg(test)]
mod tests;
