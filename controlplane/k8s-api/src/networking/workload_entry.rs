//! WorkloadEntry: a workload that is no Pod (Istio reference, "Workload Entry").

use std::collections::BTreeMap;

use mesh_types::Strng;
use serde::Deserialize;

use crate::object::{Labels, Resource};

/// A workload that is no Pod.
pub type WorkloadEntry = Resource<WorkloadEntrySpec>;

/// What a [`WorkloadEntry`] is to be; the endpoints of a ServiceEntry are written in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEntrySpec {
    /// An IP address, or a host name where its service is resolved by DNS. May be empty when a network is given: then
    /// it is reached through that network's gateway.
    pub address: Strng,
    /// Port numbers by the name of the service's port.
    pub ports: BTreeMap<Strng, u16>,
    /// Labels.
    pub labels: Labels,
    /// The network that it is in; empty for the mesh's own.
    pub network: Strng,
    /// `region/zone/subzone`.
    pub locality: Strng,
    /// Its share among its service's endpoints; 0 stands for 1.
    pub weight: u32,
    /// The service account that it runs as; empty stands for `default`.
    pub service_account: Strng,
}
