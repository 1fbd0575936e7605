//! Services as routes see them: which ports they have, who may mean them by their names, and whose waypoints serve them.

use std::sync::Arc;

use controlplane_collections::{Collection, Fetch, Graph, Index};
use controlplane_k8s_api::core::Protocol;
use controlplane_k8s_api::networking::{PortProtocol, ServiceEntry};
use controlplane_k8s_api::service::Service;
use mesh_model::service::Visibility;
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use crate::config::MeshConfig;
use crate::lookups::{EntryLookups, WorkloadLookups};
use crate::service;
use crate::status::StatusCondition;
use crate::waypoint::before::BeforeLookups;

pub(crate) use crate::waypoint::before::Gateways;

/// What a route needs to know of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Its ports, in the order of the object; none that are not TCP.
    pub(crate) ports: Vec<HostPort>,
    /// Other namespaces mean it by its name.
    pub(crate) canonical: bool,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    pub(crate) number: u16,
    pub(crate) name: Strng,
}

type Hosts = Collection<NamespacedHostname, Host>;

/// Services, by name, and who serves them.
#[derive(Clone, Copy)]
pub(crate) struct HostLookups {
    of_services: Hosts,
    of_entries: Hosts,
    entries_by_host: Index<Strng, NamespacedHostname, Host>,
    services_below: Index<Strng, NamespacedHostname, Host>,
    entries_below: Index<Strng, NamespacedHostname, Host>,
    before: BeforeLookups,
}

impl HostLookups {
    pub(crate) fn new(graph: &mut Graph, config: &Arc<MeshConfig>, lookups: &WorkloadLookups) -> Self {
        let (inputs, entries, before) = (lookups.base.inputs, lookups.entries, lookups.before);
        let mesh = config.clone();
        let of_services = graph.derive_many("host", inputs.services, move |_, name, service| {
            let host = of_service(service).map(|host| (service::hostname(&mesh, name), host));
            host.into_iter().collect()
        });
        let of_entries = graph.derive_many(
            "host of a ServiceEntry",
            inputs.service_entries,
            move |fetch, name, entry| of_entry(fetch, entries, name, entry),
        );
        let by_host = |name: &NamespacedHostname, _: &Host| vec![name.hostname.clone()];
        let below = |name: &NamespacedHostname, _: &Host| suffixes(&name.hostname);
        Self {
            of_services,
            of_entries,
            entries_by_host: graph.index("entries' hosts by name", of_entries, by_host),
            services_below: graph.index("hosts by domain", of_services, below),
            entries_below: graph.index("entries' hosts by domain", of_entries, below),
            before,
        }
    }

    /// A service, by its key.
    pub(crate) fn get<'a>(&self, fetch: &Fetch<'a>, name: &NamespacedHostname) -> Option<&'a Host> {
        let of_service = fetch.get(self.of_services, name);
        of_service.or_else(|| fetch.get(self.of_entries, name))
    }

    /// The service that a namespace means by a host name: its own, else the one that everybody means.
    pub(crate) fn find<'a>(
        &self,
        fetch: &Fetch<'a>,
        config: &MeshConfig,
        host: &Strng,
        namespace: &Strng,
    ) -> Option<(NamespacedHostname, &'a Host)> {
        let own = NamespacedHostname::new(namespace.clone(), host.clone());
        if let Some(found) = self.get(fetch, &own) {
            return Some((own, found));
        }
        let of_service = namespace_of(config, host)
            .filter(|of| *of != namespace.as_str())
            .map(|of| NamespacedHostname::new(of, host.clone()))
            .and_then(|name| fetch.get(self.of_services, &name).map(|found| (name, found)));
        of_service.or_else(|| {
            let mut entries = fetch.by(self.entries_by_host, host);
            let (name, found) = entries.find(|(_, found)| found.canonical)?;
            Some((name.clone(), found))
        })
    }

    /// The services below a domain (`*.example.com`, or `*` for all) that a namespace can mean by their names, in order.
    pub(crate) fn below<'a>(
        &self,
        fetch: &Fetch<'a>,
        wildcard: &str,
        namespace: &Strng,
    ) -> Vec<(NamespacedHostname, &'a Host)> {
        let suffix: Strng = wildcard.strip_prefix('*').unwrap_or(wildcard).into();
        let of_services = fetch.by(self.services_below, &suffix);
        let of_entries = fetch.by(self.entries_below, &suffix);
        let visible = |name: &NamespacedHostname, host: &Host| host.canonical || name.namespace == *namespace;
        let mut found: Vec<_> = of_services
            .chain(of_entries.filter(|(name, host)| visible(name, host)))
            .map(|(name, host)| (name.clone(), host))
            .collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// Whose proxies serve a service.
    pub(crate) fn serving<'a>(&self, fetch: &Fetch<'a>, name: &NamespacedHostname) -> Option<&'a Gateways> {
        let gateways = &self.before.get(fetch, name)?.gateways;
        (!gateways.is_empty()).then_some(gateways)
    }

    /// What came of a service's wish for a waypoint; nothing where it has none.
    pub(crate) fn bound<'a>(
        &self,
        fetch: &Fetch<'a>,
        name: &NamespacedHostname,
    ) -> Option<&'a StatusCondition> {
        self.before.get(fetch, name)?.bound.as_ref()
    }
}

impl Host {
    /// The port with this number.
    pub(crate) fn port(&self, number: u16) -> Option<&HostPort> {
        self.ports.iter().find(|p| p.number == number)
    }

    /// The port with this name.
    pub(crate) fn port_named(&self, name: &str) -> Option<&HostPort> {
        self.ports.iter().find(|p| p.name == *name)
    }

    /// The only port, where there is only one.
    pub(crate) fn only_port(&self) -> Option<u16> {
        match self.ports.as_slice() {
            [port] => Some(port.number),
            _ => None,
        }
    }
}

fn of_service(service: &Service) -> Option<Host> {
    if service::is_alias(service) {
        return None;
    }
    let ports = service.spec.ports.iter().filter(|p| p.protocol == Protocol::Tcp);
    let ports = ports.map(|p| HostPort {
        number: p.port,
        name: p.name.clone(),
    });
    Some(Host {
        ports: ports.collect(),
        canonical: true,
    })
}

fn of_entry(
    fetch: &Fetch<'_>,
    entries: EntryLookups,
    name: &NamespacedName,
    entry: &ServiceEntry,
) -> Vec<(NamespacedHostname, Host)> {
    let facts = fetch.get(entries.entries, name).and_then(|d| d.value.as_ref());
    let Some(facts) = facts else { return Vec::new() };
    let ports = entry
        .spec
        .ports
        .iter()
        .filter(|p| p.protocol != PortProtocol::Udp);
    let ports: Vec<_> = ports
        .map(|p| HostPort {
            number: p.number,
            name: p.name.clone(),
        })
        .collect();
    let host = |canonical| Host {
        ports: ports.clone(),
        canonical: canonical && facts.visibility == Visibility::Public,
    };
    let hosts = facts.hosts.iter();
    hosts.map(|h| (h.name.clone(), host(h.canonical))).collect()
}

/// `.b.c`, `.c` and nothing of `a.b.c`: what is behind the star of every wildcard that it is below.
fn suffixes(host: &str) -> Vec<Strng> {
    let dots = host.match_indices('.').filter(|(at, _)| *at > 0);
    let mut suffixes: Vec<Strng> = dots.map(|(at, _)| host[at..].into()).collect();
    suffixes.push(Strng::default());
    suffixes
}

/// The namespace in the host name of a Kubernetes Service.
fn namespace_of<'h>(config: &MeshConfig, host: &'h str) -> Option<&'h str> {
    let rest = host
        .strip_suffix(&*config.cluster_domain)?
        .strip_suffix(".svc.")?;
    let (_, namespace) = rest.split_once('.')?;
    (!namespace.contains('.')).then_some(namespace)
}
