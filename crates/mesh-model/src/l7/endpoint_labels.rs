//! What endpoints are labelled with: for subsets and preferred places, which choose by labels.
//!
//! Beside [`crate::Workload`] and not in it: `istio.workload.Address` has no labels, every proxy follows all of those,
//! and only waypoints need these.

mod wire;

use std::collections::BTreeMap;

use mesh_types::{Strng, WorkloadUid};

/// The labels of a workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointLabels {
    /// The workload; also the resource's name.
    pub workload: WorkloadUid,
    /// Its labels.
    pub labels: BTreeMap<Strng, Strng>,
}

impl EndpointLabels {
    /// Whether all of these are among them (a subset's labels, as equality).
    #[must_use]
    pub fn have(&self, wanted: &[(Strng, Strng)]) -> bool {
        wanted
            .iter()
            .all(|(name, value)| self.labels.get(name) == Some(value))
    }
}
