//! Names and addresses of the cluster.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The bridge that stands for the network between the nodes; a capture on it sees all that leaves a node.
pub const WIRE: &str = "wire";

/// `node1`, `node2`, ….
#[must_use]
pub fn node_name(index: usize) -> String {
    format!("node{}", index + 1)
}

/// The address of a node's kubelet.
#[must_use]
pub fn node_v4(index: usize) -> Ipv4Addr {
    host_v4(node_host(index))
}

/// The same of the other family.
#[must_use]
pub fn node_v6(index: usize) -> Ipv6Addr {
    host_v6(node_host(index))
}

/// The pods of a node.
#[must_use]
pub fn pods_v4(index: usize) -> String {
    format!("10.244.{}.0/24", index + 1)
}

/// The same of the other family.
#[must_use]
pub fn pods_v6(index: usize) -> String {
    format!("fd00:244:0:{:x}::/64", index + 1)
}

/// Both ranges of all pods.
pub(super) fn all_pods() -> String {
    "10.244.0.0/16,fd00:244::/48".to_owned()
}

/// Both ranges of Services.
pub(super) fn services() -> String {
    format!("{SERVICES_V4},{SERVICES_V6}")
}

/// The address that pods are told to ask for names.
pub(super) fn dns() -> Ipv4Addr {
    Ipv4Addr::new(10, 96, 0, 10)
}

/// Where the API server is.
#[must_use]
pub fn api_url() -> String {
    format!("https://{}:6443", host_v4(CONTROL_HOST))
}

/// All addresses that the API server's certificate is good for.
pub(super) fn api_addresses() -> [IpAddr; 5] {
    [
        Ipv4Addr::LOCALHOST.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv4Addr::new(10, 96, 0, 1).into(),
        host_v4(CONTROL_HOST).into(),
        host_v6(CONTROL_HOST).into(),
    ]
}

/// Addresses for Services of type LoadBalancer, so many: a free range of the wire.
pub(super) fn load_balancer(index: u8) -> Ipv4Addr {
    host_v4(LOAD_BALANCERS.saturating_add(index))
}

pub(super) fn underlay(host: u8) -> [(IpAddr, u8); 2] {
    [(host_v4(host).into(), 24), (host_v6(host).into(), 64)]
}

pub(super) fn host_v4(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 240, 0, host)
}

pub(super) fn host_v6(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0x240, 0, 0, 0, 0, 0, host.into())
}

pub(super) fn node_host(index: usize) -> u8 {
    FIRST_NODE.saturating_add(u8::try_from(index).unwrap_or(u8::MAX))
}

pub(super) const OWN_HOST: u8 = 1;
pub(super) const CONTROL_HOST: u8 = 10;
const FIRST_NODE: u8 = 11;
const LOAD_BALANCERS: u8 = 200;
/// Up to the last one of the wire that is no broadcast.
pub(super) const LOAD_BALANCER_ADDRESSES: u8 = 255 - LOAD_BALANCERS;
pub(super) const SERVICES_V4: &str = "10.96.0.0/16";
pub(super) const SERVICES_V6: &str = "fd00:96::/112";
pub(super) const STARTUP: Duration = Duration::from_secs(90);
