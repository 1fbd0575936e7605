//! The endpoints of a service: drawn from at random, changed one by one.

use std::collections::HashMap;
use std::sync::Arc;

use mesh_types::{NamespacedHostname, WorkloadUid};

use crate::{Ports, Workload};

/// A workload as an endpoint of a service.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The workload.
    pub workload: Arc<Workload>,
    ports: Ports,
}

/// The endpoints of a service that may be taken; adding and removing one costs the same however many there are.
#[derive(Clone, Debug, Default)]
pub struct EndpointSet {
    endpoints: Vec<Endpoint>,
    places: HashMap<WorkloadUid, usize>,
    max_capacity: u32,
}

impl Endpoint {
    /// The workload as an endpoint of this service.
    #[must_use]
    pub fn new(workload: Arc<Workload>, service: &NamespacedHostname) -> Self {
        let ports = workload.services.get(service).cloned().unwrap_or_default();
        Self { workload, ports }
    }

    /// The ports on which it serves the service.
    #[must_use]
    pub fn ports(&self) -> &Ports {
        &self.ports
    }
}

impl EndpointSet {
    /// Adds an endpoint, in place of the one of the same workload.
    pub fn insert(&mut self, endpoint: Endpoint) {
        self.max_capacity = self.max_capacity.max(endpoint.workload.capacity);
        match self.places.get(&endpoint.workload.uid) {
            Some(place) => self.endpoints[*place] = endpoint,
            None => {
                self.places
                    .insert(endpoint.workload.uid.clone(), self.endpoints.len());
                self.endpoints.push(endpoint);
            }
        }
    }

    /// Removes the endpoint of a workload.
    pub fn remove(&mut self, uid: &WorkloadUid) -> Option<Endpoint> {
        let place = self.places.remove(uid)?;
        let removed = self.endpoints.swap_remove(place);
        if let Some(moved) = self.endpoints.get(place) {
            self.places.insert(moved.workload.uid.clone(), place);
        }
        if self.endpoints.is_empty() {
            self.max_capacity = 0;
        }
        Some(removed)
    }

    /// The endpoint of a workload.
    #[must_use]
    pub fn get(&self, uid: &WorkloadUid) -> Option<&Endpoint> {
        self.places.get(uid).map(|place| &self.endpoints[*place])
    }

    /// All endpoints, in no order.
    #[must_use]
    pub fn as_slice(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// No endpoint's capacity is greater.
    pub(super) fn max_capacity(&self) -> u32 {
        self.max_capacity
    }
}

impl FromIterator<Endpoint> for EndpointSet {
    fn from_iter<I: IntoIterator<Item = Endpoint>>(endpoints: I) -> Self {
        let mut set = Self::default();
        endpoints.into_iter().for_each(|e| set.insert(e));
        set
    }
}
