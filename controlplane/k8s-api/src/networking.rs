//! `networking.istio.io`: who is reachable outside Kubernetes, and how traffic reaches it (Istio reference, "Traffic
//! Management"). A field that does not exist is told as a warning.

mod service_entry;
mod workload_entry;
mod workload_group;

pub use service_entry::{
    AllocatedAddress, Location, PortProtocol, Resolution, ServiceEntry, ServiceEntryPort, ServiceEntrySpec,
    ServiceEntryStatus,
};
pub use workload_entry::{WorkloadEntry, WorkloadEntrySpec};
pub use workload_group::{
    ExecProbe, GrpcProbe, HttpProbe, ProbeHeader, ReadinessProbe, TcpProbe, WorkloadGroup, WorkloadGroupSpec,
    WorkloadTemplateMetadata,
};

use serde::Deserialize;

use crate::object::Labels;

/// Labels that a workload must have (`WorkloadSelector` of this group; that of `security.istio.io` says `matchLabels`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct WorkloadSelector {
    /// The labels; empty selects none.
    pub labels: Labels,
}
