//! Workloads, services and policies that read like sentences:
//! `pod("web").at("10.0.0.1").hbone().serving("db", 80, 8080)`.
//!
//! Everything is in the namespace `shop` and the cluster `Kubernetes` unless it says otherwise.

use std::net::IpAddr;

use mesh_model::policy::{Action, Clause, Match, Rule, Scope, StringMatch};
use mesh_model::service::{Mode, VirtualAddress, WeightedWaypoint};
use mesh_model::workload::{HealthStatus, TunnelProtocol};
use mesh_model::{
    AppProtocol, Authorization, GatewayDestination, GatewayRef, Port, Ports, Service, Workload,
};
use mesh_state::Update;
use mesh_types::{Identity, NamespacedHostname, NamespacedName, NetworkAddress, Strng, WorkloadUid};

/// The namespace of everything that does not say otherwise.
pub const NAMESPACE: &str = "shop";
/// The cluster of everything.
pub const CLUSTER: &str = "Kubernetes";

/// A pod that is being described.
#[derive(Clone, Debug)]
pub struct PodBuilder(Workload);

/// A service that is being described.
#[derive(Clone, Debug)]
pub struct ServiceBuilder(Service);

/// A policy that is being described.
#[derive(Clone, Debug)]
pub struct PolicyBuilder(Authorization);

/// A healthy pod whose service account and canonical service are called like it. It takes plain connections.
#[must_use]
pub fn pod(name: &str) -> PodBuilder {
    let mut workload = Workload::new(
        WorkloadUid::of_pod(CLUSTER, NAMESPACE, name),
        name,
        identity(NAMESPACE, name),
    );
    workload.cluster_id = CLUSTER.into();
    workload.canonical_name = name.into();
    workload.canonical_revision = "v1".into();
    workload.workload_name = name.into();
    PodBuilder(workload)
}

/// A service called `<name>.shop.svc.cluster.local`.
#[must_use]
pub fn service(name: &str) -> ServiceBuilder {
    ServiceBuilder(Service::new(hostname(NAMESPACE, name), name))
}

/// A policy of the namespace that allows what its rules match; without rules it matches nothing.
#[must_use]
pub fn allow(name: &str) -> PolicyBuilder {
    policy(name, Action::Allow)
}

/// A policy of the namespace that denies what its rules match.
#[must_use]
pub fn deny(name: &str) -> PolicyBuilder {
    policy(name, Action::Deny)
}

/// The identity of a service account in the default trust domain.
///
/// # Panics
/// Panics on names that make no identity.
#[must_use]
pub fn identity(namespace: &str, account: &str) -> Identity {
    Identity::new(mesh_types::TrustDomain::default(), namespace, account).expect("names of an identity")
}

/// The host name of a service.
#[must_use]
pub fn hostname(namespace: &str, name: &str) -> NamespacedHostname {
    NamespacedHostname::new(namespace, format!("{name}.{namespace}.svc.cluster.local"))
}

fn policy(name: &str, action: Action) -> PolicyBuilder {
    PolicyBuilder(Authorization {
        name: NamespacedName::new(NAMESPACE, name),
        scope: Scope::Namespace,
        action,
        rules: Vec::new(),
        dry_run: false,
    })
}

fn waypoint_called(service: &str) -> GatewayRef {
    let name = hostname(NAMESPACE, service);
    GatewayRef::new(GatewayDestination::Hostname(name), mesh_types::ports::HBONE)
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an IP address")
}

// === impl PodBuilder ===

impl PodBuilder {
    /// With one more address.
    #[must_use]
    pub fn at(mut self, address: &str) -> Self {
        self.0.addresses.push(ip(address));
        self
    }

    /// Enrolled: it takes tunnels.
    #[must_use]
    pub fn hbone(mut self) -> Self {
        self.0.tunnel_protocol = TunnelProtocol::Hbone;
        self
    }

    /// In another namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        let account = self.0.identity.service_account().clone();
        self.0.identity = identity(namespace, &account);
        self.0.uid = WorkloadUid::of_pod(CLUSTER, namespace, &self.0.name);
        self
    }

    /// With another service account.
    #[must_use]
    pub fn with_account(mut self, account: &str) -> Self {
        self.0.identity = identity(self.0.identity.namespace(), account);
        self
    }

    /// In another network.
    #[must_use]
    pub fn in_network(mut self, network: &str) -> Self {
        self.0.network = network.into();
        self
    }

    /// An endpoint of `<service>.shop.svc.cluster.local`, whose `port` is its `target`.
    #[must_use]
    pub fn serving(mut self, service: &str, port: u16, target: u16) -> Self {
        self.0
            .services
            .insert(hostname(NAMESPACE, service), ports(port, Some(target)));
        self
    }

    /// Behind a waypoint that is this service.
    #[must_use]
    pub fn behind(mut self, waypoint: &str) -> Self {
        self.0.waypoint = Some(waypoint_called(waypoint));
        self
    }

    /// Reached without its waypoint where that is missing.
    ///
    /// # Panics
    /// Panics on a pod without a waypoint.
    #[must_use]
    pub fn failing_open(mut self) -> Self {
        self.0.waypoint.as_mut().expect("a waypoint").fail_open = true;
        self
    }

    /// Not ready.
    #[must_use]
    pub fn unhealthy(mut self) -> Self {
        self.0.status = HealthStatus::Unhealthy;
        self
    }

    /// Selected by a policy of its namespace.
    #[must_use]
    pub fn selected_by(mut self, policy: &str) -> Self {
        self.0
            .authorization_policies
            .push(NamespacedName::new(self.0.identity.namespace().clone(), policy));
        self
    }

    /// Without an address, to be resolved.
    #[must_use]
    pub fn called(mut self, hostname: &str) -> Self {
        self.0.hostname = hostname.into();
        self
    }

    /// The pod.
    #[must_use]
    pub fn build(self) -> Workload {
        self.0
    }
}

// === impl ServiceBuilder ===

impl ServiceBuilder {
    /// With one more virtual address.
    #[must_use]
    pub fn at(mut self, address: &str) -> Self {
        self.0
            .addresses
            .push(VirtualAddress::single(Strng::default(), ip(address)));
        self
    }

    /// With ports that say what is spoken there.
    #[must_use]
    pub fn speaking(mut self, app_protocol: AppProtocol) -> Self {
        let ports = self.0.ports.iter().copied();
        self.0.ports = ports.map(|port| Port { app_protocol, ..port }).collect();
        self
    }

    /// With a port, and its target at endpoints that do not say their own.
    #[must_use]
    pub fn port(mut self, port: u16, target: u16) -> Self {
        let others = self.0.ports.iter().copied();
        self.0.ports = others.chain(ports(port, Some(target)).iter().copied()).collect();
        self
    }

    /// Behind a waypoint that is this service.
    #[must_use]
    pub fn behind(mut self, waypoint: &str) -> Self {
        self.0.waypoint = Some(waypoint_called(waypoint));
        self
    }

    /// Behind a waypoint at this address.
    #[must_use]
    pub fn behind_address(mut self, address: &str) -> Self {
        let address = NetworkAddress::new(Strng::default(), ip(address));
        self.0.waypoint = Some(GatewayRef::new(
            GatewayDestination::Address(address),
            mesh_types::ports::HBONE,
        ));
        self
    }

    /// With one more of several waypoints, and its share.
    #[must_use]
    pub fn partly_behind(mut self, waypoint: &str, weight: u32) -> Self {
        self.0.weighted_waypoints.push(WeightedWaypoint {
            gateway: waypoint_called(waypoint),
            weight,
        });
        self
    }

    /// Reached without its waypoint where that is missing.
    ///
    /// # Panics
    /// Panics on a service without a waypoint.
    #[must_use]
    pub fn failing_open(mut self) -> Self {
        self.0.waypoint.as_mut().expect("a waypoint").fail_open = true;
        self
    }

    /// Passing connections on unchanged.
    #[must_use]
    pub fn passing_through(mut self) -> Self {
        self.0.load_balancing.mode = Mode::Passthrough;
        self
    }

    /// Whose endpoints may present this identity, too.
    #[must_use]
    pub fn also_known_as(mut self, uri: &str) -> Self {
        self.0.subject_alt_names.push(uri.into());
        self
    }

    /// The service.
    #[must_use]
    pub fn build(self) -> Service {
        self.0
    }
}

// === impl PolicyBuilder ===

impl PolicyBuilder {
    /// One more rule: clients with this service account of the namespace `shop`.
    #[must_use]
    pub fn from_account(self, account: &str) -> Self {
        let principal = identity(NAMESPACE, account).principal();
        self.rule(Match {
            principals: vec![StringMatch::Exact(principal.into())],
            ..Match::default()
        })
    }

    /// One more rule: clients without an identity. Denied, this is what STRICT mutual TLS is.
    #[must_use]
    pub fn from_nobody(self) -> Self {
        self.rule(Match {
            not_principals: vec![StringMatch::Presence],
            ..Match::default()
        })
    }

    /// One more rule: this port of the workload.
    #[must_use]
    pub fn to_port(self, port: u16) -> Self {
        self.rule(Match {
            destination_ports: vec![port],
            ..Match::default()
        })
    }

    /// For workloads that list it, and no others.
    #[must_use]
    pub fn by_selector(mut self) -> Self {
        self.0.scope = Scope::WorkloadSelector;
        self
    }

    /// The policy.
    #[must_use]
    pub fn build(self) -> Authorization {
        self.0
    }

    fn rule(mut self, only: Match) -> Self {
        self.0.rules.push(Rule {
            clauses: vec![Clause { matches: vec![only] }],
        });
        self
    }
}

// === into updates ===

impl From<PodBuilder> for Update {
    fn from(pod: PodBuilder) -> Self {
        Self::Workload(pod.0)
    }
}

impl From<ServiceBuilder> for Update {
    fn from(service: ServiceBuilder) -> Self {
        Self::Service(service.0)
    }
}

impl From<PolicyBuilder> for Update {
    fn from(policy: PolicyBuilder) -> Self {
        Self::Authorization(policy.0)
    }
}

fn ports(port: u16, target: Option<u16>) -> Ports {
    Ports::from(vec![Port {
        service_port: port,
        target_port: target,
        app_protocol: AppProtocol::Unknown,
    }])
}
