//! Which waypoints stand before a service, by its host: for routes, which they carry out, and for workloads, whose proxies may be
//! asked to let nobody else in.

use std::collections::BTreeSet;
use std::sync::Arc;

use controlplane_collections::{Collection, Fetch, Graph};
use mesh_types::{NamespacedHostname, NamespacedName};

use super::binding::Binding;
use crate::config::MeshConfig;
use crate::lookups::{EntryLookups, Lookups};
use crate::service;
use crate::status::StatusCondition;

/// The Gateways whose proxies serve something.
pub(crate) type Gateways = BTreeSet<NamespacedName>;

/// What came of a service's wish for a waypoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Before {
    /// Whose proxies serve it; nobody's where the wish cannot be met.
    pub(crate) gateways: Gateways,
    /// Whom alone its endpoints may let in.
    pub(crate) guards: Gateways,
    /// What its author is told.
    pub(crate) bound: Option<StatusCondition>,
}

type Collected = Collection<NamespacedHostname, Before>;

/// What stands before every service.
#[derive(Clone, Copy)]
pub(crate) struct BeforeLookups {
    of_services: Collected,
    of_entries: Collected,
}

impl BeforeLookups {
    pub(crate) fn new(
        graph: &mut Graph,
        config: &Arc<MeshConfig>,
        lookups: Lookups,
        entries: EntryLookups,
    ) -> Self {
        let mesh = config.clone();
        let services = lookups.inputs.services;
        let of_services = graph.derive_many("before a service", services, move |fetch, name, service| {
            let binding = service::binding(fetch, &mesh, &lookups, name, service);
            let before = Before::of(&binding);
            before
                .map(|before| (service::hostname(&mesh, name), before))
                .into_iter()
                .collect()
        });
        let of_entries = graph.derive_many("before a ServiceEntry", entries.entries, |_, _, derived| {
            let facts = derived.value.iter();
            facts
                .flat_map(|f| f.hosts.iter().map(|h| (h.name.clone(), Before::of(&f.binding))))
                .filter_map(|(host, before)| Some((host, before?)))
                .collect()
        });
        Self {
            of_services,
            of_entries,
        }
    }

    /// What stands before a service; nothing where none is asked for.
    pub(crate) fn get<'a>(&self, fetch: &Fetch<'a>, name: &NamespacedHostname) -> Option<&'a Before> {
        let of_service = fetch.get(self.of_services, name);
        of_service.or_else(|| fetch.get(self.of_entries, name))
    }
}

impl Before {
    fn of(binding: &Binding) -> Option<Self> {
        let before = Self {
            gateways: binding.gateways.iter().cloned().collect(),
            guards: binding.guards.iter().cloned().collect(),
            bound: binding.status.clone(),
        };
        let asked = !before.gateways.is_empty() || before.bound.is_some();
        asked.then_some(before)
    }
}
