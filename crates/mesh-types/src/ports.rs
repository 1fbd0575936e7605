//! Port numbers, packet marks and names of rules. They are a contract with upstream's components and with every rule in a pod, so they
//! are constants here and configurable nowhere.

/// Outbound capture, in each pod's namespace.
pub const OUTBOUND: u16 = 15001;
/// Inbound plaintext, in each pod's namespace.
pub const INBOUND_PLAINTEXT: u16 = 15006;
/// HBONE: mutual TLS and HTTP/2 CONNECT.
pub const HBONE: u16 = 15008;
/// SOCKS5, on a pod's loopback address.
pub const SOCKS5: u16 = 15080;
/// DNS capture, on a pod's loopback address.
pub const DNS: u16 = 15053;
/// ztunnel's admin server, loopback only.
pub const ADMIN: u16 = 15000;
/// Metrics.
pub const STATS: u16 = 15020;
/// Readiness.
pub const READINESS: u16 = 15021;
/// xDS and certificate signing over TLS.
pub const DISCOVERY: u16 = 15012;
/// The control plane's metrics and debug pages.
pub const CONTROL_MONITORING: u16 = 15014;

/// The mark on every socket that ztunnel opens; in-pod rules exempt packets that carry it.
pub const PACKET_MARK: u32 = 0x539;
/// The connection mark of connections that ztunnel opened to an application with the client's address.
pub const CONNECTION_MARK: u32 = 0x111;
/// The bits of a mark that belong to the mesh.
pub const MARK_MASK: u32 = 0xfff;
/// The routing table that brings replies of spoofed connections back to the local stack.
pub const ROUTE_TABLE: u32 = 100;
/// The priority of the `ip rule` that selects [`ROUTE_TABLE`].
pub const ROUTE_RULE_PRIORITY: u32 = 32764;

/// The nftables table (family `inet`) in which ztunnel keeps those silent in a pod who come in the clear and are refused.
pub const STRICT_TABLE: &str = "lateen-strict";

/// Source address of host-local probes, IPv4: packets that come from it are never captured.
pub const HOST_PROBE_V4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(169, 254, 7, 127);
/// Source address of host-local probes, IPv6.
pub const HOST_PROBE_V6: std::net::Ipv6Addr =
    std::net::Ipv6Addr::new(0xfd16, 0x9254, 0x7127, 0x1337, 0xffff, 0xffff, 0xffff, 0xffff);
