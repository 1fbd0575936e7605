//! A workload: one address at which a process runs, and who it is.

mod wire;

use std::collections::BTreeMap;
use std::net::IpAddr;

use mesh_types::{Identity, NamespacedHostname, NamespacedName, Strng, WorkloadUid};

use crate::{GatewayRef, Ports};

/// One address at which a process runs (`istio.workload.Workload`): a Pod, a VM, an endpoint of a ServiceEntry or of an
/// EndpointSlice, a remote network's share of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its key.
    pub uid: WorkloadUid,
    /// The name of the Pod or other object.
    pub name: Strng,
    /// Who it is. The namespace in it is the object's own.
    pub identity: Identity,
    /// Its source names no service account, so that [`Self::identity`] has the default one. The wire then carries none.
    pub account_implied: bool,
    /// Its addresses, never IPv4-mapped ones; none where it is reached by DNS or through a gateway only.
    pub addresses: Vec<IpAddr>,
    /// The network in which the addresses mean something; empty for the default one.
    pub network: Strng,
    /// Resolved by DNS where there is no address; empty where there is none.
    pub hostname: Strng,
    /// How it takes connections.
    pub tunnel_protocol: TunnelProtocol,
    /// Whether its address is its own.
    pub network_mode: NetworkMode,
    /// Whether new connections may be sent to it.
    pub status: HealthStatus,
    /// The waypoint in front of it, for connections to its own address.
    pub waypoint: Option<GatewayRef>,
    /// How its network is entered from another one.
    pub network_gateway: Option<GatewayRef>,
    /// The application speaks HBONE itself.
    pub native_tunnel: bool,
    /// How a connection that was tunnelled here is handed to the application.
    pub application_tunnel: Option<ApplicationTunnel>,
    /// The node it runs on; empty where unknown.
    pub node: Strng,
    /// The cluster it belongs to.
    pub cluster_id: Strng,
    /// Where that is.
    pub locality: Locality,
    /// The name for telemetry: `app.kubernetes.io/name` and the like.
    pub canonical_name: Strng,
    /// The revision for telemetry.
    pub canonical_revision: Strng,
    /// The kind of its owner; Istio always says Pod.
    pub workload_type: WorkloadType,
    /// The name of its owner: the Deployment of a Pod.
    pub workload_name: Strng,
    /// The selector policies that apply to it, in the order of the wire. Policies of its namespace and of the whole mesh
    /// are not listed.
    pub authorization_policies: Vec<NamespacedName>,
    /// The services that it serves, and on which ports.
    pub services: BTreeMap<NamespacedHostname, Ports>,
    /// Its share of a service's connections relative to other endpoints; 1 unless said otherwise, 0 for none.
    pub capacity: u32,
}

/// How a workload takes connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TunnelProtocol {
    /// As they are.
    #[default]
    None,
    /// Mutual TLS and HTTP/2 CONNECT, on port 15008.
    Hbone,
}

/// Whether a workload's address is its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NetworkMode {
    /// It is.
    #[default]
    Standard,
    /// It is shared, with the node or with other endpoints: the workload is never looked up by address.
    HostNetwork,
}

/// Whether new connections may be sent to a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HealthStatus {
    /// They may.
    #[default]
    Healthy,
    /// They may not, unless the service takes any endpoint.
    Unhealthy,
}

/// The kind of a workload's owner; for telemetry only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WorkloadType {
    /// A Deployment, or a kind that this version does not know.
    #[default]
    Deployment,
    /// A CronJob.
    CronJob,
    /// A Pod; what Istio says of everything.
    Pod,
    /// A Job.
    Job,
}

/// Where a workload runs; empty parts are unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Locality {
    /// The region.
    pub region: Strng,
    /// The zone within it.
    pub zone: Strng,
    /// The part of the zone.
    pub subzone: Strng,
}

/// How a tunnelled connection is handed to the application (a waypoint behind its own ztunnel).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ApplicationTunnel {
    /// In which form.
    pub protocol: ApplicationTunnelProtocol,
    /// On which port, where not on the original one.
    pub port: Option<u16>,
}

/// The forms of hand-over to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApplicationTunnelProtocol {
    /// The bytes alone.
    None,
    /// A PROXY protocol (version 2) header first.
    Proxy,
}

impl Workload {
    /// A healthy workload with nothing but a key, a name and an identity; its account counts as named.
    #[must_use]
    pub fn new(uid: WorkloadUid, name: impl Into<Strng>, identity: Identity) -> Self {
        Self {
            uid,
            name: name.into(),
            identity,
            account_implied: false,
            addresses: Vec::new(),
            network: Strng::default(),
            hostname: Strng::default(),
            tunnel_protocol: TunnelProtocol::None,
            network_mode: NetworkMode::Standard,
            status: HealthStatus::Healthy,
            waypoint: None,
            network_gateway: None,
            native_tunnel: false,
            application_tunnel: None,
            node: Strng::default(),
            cluster_id: Strng::default(),
            locality: Locality::default(),
            canonical_name: Strng::default(),
            canonical_revision: Strng::default(),
            workload_type: WorkloadType::default(),
            workload_name: Strng::default(),
            authorization_policies: Vec::new(),
            services: BTreeMap::new(),
            capacity: 1,
        }
    }

    /// The namespace of the object.
    #[must_use]
    pub fn namespace(&self) -> &Strng {
        self.identity.namespace()
    }

    /// Whether it is a Pod, whose address the cluster itself gave out: nobody else's claim to it is as good.
    #[must_use]
    pub fn is_pod(&self) -> bool {
        self.uid.as_str().contains("//Pod/")
    }
}

#[cfg(test)]
mod tests;
