//! `networking.istio.io`: who is reachable outside Kubernetes, and how traffic reaches it (Istio reference, "Traffic
//! Management"). A field that does not exist is told as a warning.

mod connection_pool;
mod destination_rule;
mod http_action;
mod http_rule;
mod load_balancer;
mod proxy_config;
mod service_entry;
mod virtual_service;
mod workload_entry;
mod workload_group;

pub use connection_pool::{
    ConnectionPool, H2UpgradePolicy, Http2Keepalive, HttpPool, OutlierDetection, TcpKeepalive, TcpPool,
};
pub use destination_rule::{
    ClientTls, ClientTlsMode, DestinationRule, DestinationRuleSpec, PortSelector, PortTrafficPolicy,
    ProxyProtocol, ProxyProtocolVersion, RetryBudget, Subset, TrafficPolicy, Tunnel,
};
pub use http_action::{
    AbortError, GrpcStatus, HttpRedirect, HttpRewrite, RedirectPath, RedirectPort, RegexRewrite,
    UnmatchedPreflights, VsAbort, VsBody, VsCors, VsDelay, VsDirectResponse, VsFault,
};
pub use http_rule::{
    Delegate, HeaderOperations, PresenceMatch, StringMatch, VsHeaders, VsHttpAction, VsHttpDestination,
    VsHttpMatch, VsHttpRoute, VsMirror, VsRetry,
};
pub use load_balancer::{
    Algorithm, ConsistentHash, CookieAttribute, Distribute, Failover, HashCookie, HashKey, HashTable,
    LoadBalancer, LocalityLbSetting, Warmup,
};
pub use proxy_config::{ProxyConfig, ProxyConfigSpec, ProxyImage};
pub use service_entry::{
    AllocatedAddress, Location, PortProtocol, Resolution, ServiceEntry, ServiceEntryPort, ServiceEntrySpec,
    ServiceEntryStatus,
};
pub use virtual_service::{
    Destination, RouteDestination, VirtualService, VirtualServiceSpec, VsL4Match, VsTcpRoute, VsTlsMatch,
    VsTlsRoute,
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
