//! What can be asked of the state.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_model::authz::PolicySet;
use mesh_model::lb::{Endpoint, EndpointSet};
use mesh_model::{Authorization, Service, Workload};
use mesh_types::{NamespacedHostname, NamespacedName, NetworkAddress, Strng, WorkloadUid};

use crate::policies::Policies;
use crate::services::Services;
use crate::state::AddressChange;
use crate::workloads::Workloads;

/// What the answers depend on beside the mesh.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Of services that share a host name or an address, with none in the client's namespace and none canonical, the one
    /// in this namespace is taken (`PREFERED_SERVICE_NAMESPACE`).
    pub preferred_namespace: Option<Strng>,
}

/// The mesh at one moment.
#[derive(Debug)]
pub struct View {
    settings: Settings,
    workloads: Workloads,
    services: Services,
    pub(crate) policies: Policies,
    no_endpoints: EndpointSet,
}

/// What is found at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A workload.
    Workload(Arc<Workload>),
    /// A service.
    Service(Arc<Service>),
}

impl View {
    /// The workload with this uid.
    #[must_use]
    pub fn workload_by_uid(&self, uid: &WorkloadUid) -> Option<&Arc<Workload>> {
        self.workloads.get(uid)
    }

    /// The workload at this address, healthy or not. Workloads on the host's network are not found so. Of several that
    /// claim the address a Pod comes first, then one that speaks HBONE.
    #[must_use]
    pub fn workload_by_address(&self, address: &NetworkAddress) -> Option<&Arc<Workload>> {
        self.workloads.at(address)
    }

    /// The service at this address, as a client in `client_namespace` sees it: one with this very address, else one with
    /// a range around it. Of several ranges one of the client's namespace comes first, then the longest prefix. Ties are
    /// settled as in [`Self::service_by_hostname`].
    #[must_use]
    pub fn service_by_address(
        &self,
        address: &NetworkAddress,
        client_namespace: &str,
    ) -> Option<&Arc<Service>> {
        let exact = self.best(self.services.exactly_at(address), client_namespace);
        exact.or_else(|| self.service_around(address, client_namespace))
    }

    /// The service with this host name, as a client in `client_namespace` sees it: the one of its own namespace, else the
    /// canonical one, else the one of the preferred namespace, else the first by name. Services that are not visible to
    /// the client do not take part.
    #[must_use]
    pub fn service_by_hostname(&self, hostname: &str, client_namespace: &str) -> Option<&Arc<Service>> {
        self.best(self.services.called(hostname), client_namespace)
    }

    /// The service with this very name, whoever may see it.
    #[must_use]
    pub fn service_by_name(&self, name: &NamespacedHostname) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// What is at this address: a workload, else a service.
    #[must_use]
    pub fn destination(&self, address: &NetworkAddress, client_namespace: &str) -> Option<Destination> {
        let workload = self.workload_by_address(address).cloned();
        workload.map(Destination::Workload).or_else(|| {
            self.service_by_address(address, client_namespace)
                .cloned()
                .map(Destination::Service)
        })
    }

    /// The endpoints of a service that may be taken.
    #[must_use]
    pub fn endpoints(&self, service: &Service) -> &EndpointSet {
        self.services
            .endpoints(&service.hostname)
            .unwrap_or(&self.no_endpoints)
    }

    /// Those of a service that may not be taken for anything new: they are not well, or about to end.
    pub fn leaving(&self, service: &Service) -> impl Iterator<Item = Endpoint> {
        let name = service.hostname.clone();
        let leaving = self.services.leaving(&service.hostname);
        leaving.map(move |workload| Endpoint::new(workload.clone(), &name))
    }

    /// The services that a workload serves, as far as they are known, by name.
    pub fn services_of(&self, workload: &Workload) -> impl Iterator<Item = &Arc<Service>> {
        workload
            .services
            .keys()
            .filter_map(|name| self.services.get(name))
    }

    /// The policies that apply to a workload: the mesh's, its namespace's, and those it lists. Of the latter those that
    /// have not arrived are named as unknown.
    #[must_use]
    pub fn policies_for(&self, workload: &Workload) -> PolicySet {
        self.policies.of(workload)
    }

    /// The policy with this name.
    #[must_use]
    pub fn policy(&self, name: &NamespacedName) -> Option<&Arc<Authorization>> {
        self.policies.get(name)
    }

    /// All workloads, in no order.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.iter()
    }

    /// All services, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.iter()
    }

    /// All policies, by name.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Authorization>> {
        self.policies.iter()
    }

    /// Workloads that serve services which have not arrived, by service.
    #[must_use]
    pub fn staged(&self) -> BTreeMap<&NamespacedHostname, Vec<&Arc<Workload>>> {
        self.services.staged()
    }

    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            workloads: Workloads::default(),
            services: Services::default(),
            policies: Policies::default(),
            no_endpoints: EndpointSet::default(),
        }
    }

    /// Puts one change in place; false where nothing changes.
    pub(crate) fn change(&mut self, change: AddressChange) -> bool {
        match change {
            AddressChange::Workload(workload) => {
                if self.workloads.get(&workload.uid) == Some(&workload) {
                    return false;
                }
                let previous = self.workloads.insert(workload.clone());
                self.services.join(&workload, previous.as_deref());
                true
            }
            AddressChange::Service(service) => self.services.insert(service),
            AddressChange::RemoveService(name) => self.services.remove(&name),
            AddressChange::RemoveWorkload(uid) => match self.workloads.remove(&uid) {
                Some(workload) => {
                    self.services.leave(&workload);
                    true
                }
                None => false,
            },
        }
    }

    fn service_around(&self, address: &NetworkAddress, client_namespace: &str) -> Option<&Arc<Service>> {
        let mut best = None;
        for (_, candidates) in self.services.around(&address.network, address.address) {
            match self.best(candidates, client_namespace) {
                Some(own) if own.hostname.namespace == *client_namespace => return Some(own),
                other => best = best.or(other),
            }
        }
        best
    }

    fn best<'v>(
        &'v self,
        candidates: &'v [Arc<Service>],
        client_namespace: &str,
    ) -> Option<&'v Arc<Service>> {
        let preferred = self.settings.preferred_namespace.as_ref();
        let rank = |service: &Service| {
            let namespace = &service.hostname.namespace;
            (
                *namespace == *client_namespace,
                service.canonical,
                preferred == Some(namespace),
            )
        };
        let visible = candidates.iter().filter(|s| s.visible_to(client_namespace));
        // The first of equals, not the last, as `max_by_key` would have it.
        visible.rev().max_by_key(|s| rank(s))
    }
}

#[cfg(test)]
mod tests;
