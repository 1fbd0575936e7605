//! A workload as the headers of a tunnel tell it to the other end, and back: for telemetry only, at both ends.

use mesh_hbone::Baggage;
use mesh_hbone::request::WorkloadKind;
use mesh_model::Workload;
use mesh_model::workload::WorkloadType;
use mesh_types::{Identity, Strng};

use crate::record::End;

/// What is said of a local workload to the other end.
#[must_use]
pub fn baggage(workload: &Workload) -> Baggage {
    let known = |s: &Strng| (!s.is_empty()).then(|| s.clone());
    let kind = match workload.workload_type {
        WorkloadType::Deployment => WorkloadKind::Deployment,
        WorkloadType::CronJob => WorkloadKind::CronJob,
        WorkloadType::Pod => WorkloadKind::Pod,
        WorkloadType::Job => WorkloadKind::Job,
    };
    Baggage {
        cluster: known(&workload.cluster_id),
        namespace: known(workload.namespace()),
        workload: known(&workload.workload_name).map(|name| (kind, name)),
        service: known(&workload.canonical_name),
        revision: known(&workload.canonical_revision),
        region: known(&workload.locality.region),
        zone: known(&workload.locality.zone),
    }
}

/// What the other end said of itself, beside the identity that its certificate proves. The namespace is the
/// certificate's, whatever was said.
#[must_use]
pub fn end(baggage: Option<&Baggage>, principal: Identity) -> End {
    let baggage = baggage.cloned().unwrap_or_default();
    let workload = baggage.workload.map(|(_, name)| name);
    End {
        name: workload.clone(),
        workload,
        canonical_service: baggage.service,
        canonical_revision: baggage.revision,
        namespace: Some(principal.namespace().clone()),
        principal: Some(principal),
        cluster: baggage.cluster,
        region: baggage.region,
        zone: baggage.zone,
    }
}
