//! From a pod's options to its rules: pure, the same for the same options.
//!
//! ```text
//! out   application ──output──> :15001 ztunnel ──mark 0x539──> away
//! in    away ──prerouting──> :15006 ztunnel (HBONE comes to :15008 by itself)
//!       ztunnel, as the client ──lo, mark 0x539──> application; the connection is marked 0x111
//!       application's replies ──mark 0x111──> table 100 ──lo──> ztunnel's socket, not the client itself
//! ```
//! Only what opens a connection is redirected: connections that were open when the rules came stay as they are to their
//! end, those opened later are captured. UDP passes untouched, but for DNS where its capture is asked for. What can set
//! marks (`CAP_NET_ADMIN` in the pod) can leave the mesh, and what reaches a pod from the probe address is not captured:
//! as with upstream.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_types::ports;

use crate::rule::{
    Action, AddressSet, Chain, ChainKind, Family, Hook, InterfaceName, Mark, Match, Rule, Ruleset, Table,
    TableName,
};

/// What a pod's rules depend on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodOptions {
    /// `ambient.istio.io/bypass-inbound-capture`: plaintext to the pod is not captured (ingress gateways).
    pub bypass_inbound_capture: bool,
    /// `ambient.istio.io/dns-capture`: DNS goes to ztunnel's own server on 15053.
    pub dns_capture: bool,
    /// `istio.io/reroute-virtual-interfaces`: what comes in by these leaves the pod, from a machine or container in it.
    pub reroute_virtual_interfaces: Vec<InterfaceName>,
    /// The node's probe addresses.
    pub probe: ProbeAddresses,
}

/// The addresses that a node's own processes seem to have towards its pods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProbeAddresses {
    /// `HOST_PROBE_SNAT_IP`.
    pub v4: Ipv4Addr,
    /// `HOST_PROBE_SNAT_IPV6`.
    pub v6: Ipv6Addr,
}

/// What a node's rules depend on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostOptions {
    /// The node's probe addresses.
    pub probe: ProbeAddresses,
    /// The addresses of the enrolled pods.
    pub pods: BTreeSet<IpAddr>,
}

/// Policy routing that brings replies of spoofed connections to the local stack: in table `table`, everything is local;
/// packets with the connection's mark are looked up there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PolicyRoute {
    /// IPv4 or IPv6.
    pub family: Family,
    /// The mark that selects the table.
    pub mark: Mark,
    /// The priority of the `ip rule`.
    pub priority: u32,
    /// The table.
    pub table: u32,
}

impl Default for ProbeAddresses {
    fn default() -> Self {
        Self {
            v4: ports::HOST_PROBE_V4,
            v6: ports::HOST_PROBE_V6,
        }
    }
}

impl Default for PodOptions {
    /// Capture of TCP both ways; no DNS capture.
    fn default() -> Self {
        Self {
            bypass_inbound_capture: false,
            dns_capture: false,
            reroute_virtual_interfaces: Vec::new(),
            probe: ProbeAddresses::default(),
        }
    }
}

/// The rules inside a pod's namespace.
#[must_use]
pub fn pod(options: &PodOptions) -> Ruleset {
    let mut tables = vec![pod_mangle(), pod_nat(options)];
    let mut absent = Vec::new();
    if options.dns_capture {
        tables.push(pod_raw());
    } else {
        absent.push(TableName::Raw);
    }
    Ruleset { tables, absent }
}

/// The rules inside the namespace of a pod that leaves the mesh while it runs: nothing new is redirected, and what its
/// ztunnel still carries is translated as before, so that its ends hear of its end.
#[must_use]
pub fn leaving_pod() -> Ruleset {
    let chain = |hook| Chain {
        hook,
        kind: ChainKind::Nat,
        priority: DESTINATION_NAT,
        rules: Vec::new(),
    };
    let nat = Table {
        name: TableName::Nat,
        sets: Vec::new(),
        chains: vec![chain(Hook::Prerouting), chain(Hook::Output)],
    };
    Ruleset {
        tables: vec![pod_mangle(), nat],
        absent: vec![TableName::Raw],
    }
}

/// The rules of the node itself: what its own processes send to an enrolled pod comes from the probe address, so that the
/// pod's rules know it from what is merely forwarded.
#[must_use]
pub fn host(options: &HostOptions) -> Ruleset {
    let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
    for ip in &options.pods {
        match ip {
            IpAddr::V4(ip) => drop(v4.insert(*ip)),
            IpAddr::V6(ip) => drop(v6.insert(*ip)),
        }
    }
    let probe = |family, set, address| Rule {
        matches: vec![Match::FromLocalSocket, Match::Tcp, Match::ToSet(family, set)],
        action: Action::SourceNat(address),
        why: "probes of this node come from the probe address",
    };
    let postrouting = Chain {
        hook: Hook::Postrouting,
        kind: ChainKind::Nat,
        priority: BEFORE_OTHER_SOURCE_NAT,
        rules: vec![
            probe(Family::V4, PROBES_V4, options.probe.v4.into()),
            probe(Family::V6, PROBES_V6, options.probe.v6.into()),
        ],
    };
    let nat = Table {
        name: TableName::Nat,
        sets: vec![AddressSet::V4(PROBES_V4, v4), AddressSet::V6(PROBES_V6, v6)],
        chains: vec![postrouting],
    };
    Ruleset {
        tables: vec![nat],
        absent: Vec::new(),
    }
}

/// The policy routing inside a pod's namespace.
#[must_use]
pub fn policy_routes() -> [PolicyRoute; 2] {
    Family::BOTH.map(|family| PolicyRoute {
        family,
        mark: SPOOFED,
        priority: ports::ROUTE_RULE_PRIORITY,
        table: ports::ROUTE_TABLE,
    })
}

fn pod_mangle() -> Table {
    let prerouting = Chain {
        hook: Hook::Prerouting,
        kind: ChainKind::Filter,
        priority: MANGLE,
        rules: vec![Rule {
            matches: vec![Match::Marked(FROM_ZTUNNEL)],
            action: Action::MarkConnection(SPOOFED),
            why: "remember what ztunnel opened to the application as the client",
        }],
    };
    let output = Chain {
        hook: Hook::Output,
        kind: ChainKind::Route,
        priority: MANGLE,
        rules: vec![Rule {
            matches: vec![Match::ConnectionMarked(SPOOFED)],
            action: Action::RestoreMark,
            why: "the application's replies go back to ztunnel's socket",
        }],
    };
    Table {
        name: TableName::Mangle,
        sets: Vec::new(),
        chains: vec![prerouting, output],
    }
}

fn pod_nat(options: &PodOptions) -> Table {
    let chain = |hook, rules| Chain {
        hook,
        kind: ChainKind::Nat,
        priority: DESTINATION_NAT,
        rules,
    };
    let chains = vec![
        chain(Hook::Prerouting, pod_nat_prerouting(options)),
        chain(Hook::Output, pod_nat_output(options)),
    ];
    Table {
        name: TableName::Nat,
        sets: Vec::new(),
        chains,
    }
}

fn pod_nat_prerouting(options: &PodOptions) -> Vec<Rule> {
    let mut rules = Vec::new();
    for interface in &options.reroute_virtual_interfaces {
        rules.push(Rule {
            matches: vec![Match::InBy(interface.clone()), Match::TcpOpening],
            action: Action::Redirect(ports::OUTBOUND),
            why: "what a machine in this pod sends leaves the pod",
        });
        rules.push(Rule {
            matches: vec![Match::InBy(interface.clone())],
            action: Action::Accept,
            why: "and is not inbound",
        });
    }
    if options.bypass_inbound_capture {
        return rules;
    }
    for address in options.probe.both() {
        rules.push(Rule {
            matches: vec![Match::From(address), Match::Tcp],
            action: Action::Accept,
            why: "probes of the node reach the application",
        });
    }
    for family in Family::BOTH {
        rules.push(Rule {
            matches: vec![
                Match::NotToLoopback(family),
                Match::TcpNotTo(ports::HBONE),
                Match::TcpOpening,
                Match::NotMarked(FROM_ZTUNNEL),
            ],
            action: Action::Redirect(ports::INBOUND_PLAINTEXT),
            why: "inbound plaintext",
        });
    }
    rules
}

fn pod_nat_output(options: &PodOptions) -> Vec<Rule> {
    let mut rules = Vec::new();
    for address in options.probe.both() {
        rules.push(Rule {
            matches: vec![Match::To(address), Match::Tcp],
            action: Action::Accept,
            why: "answers to probes of the node",
        });
    }
    if options.dns_capture {
        rules.push(Rule {
            matches: vec![
                Match::NotOutByLoopback,
                Match::UdpTo(DNS),
                Match::NotMarked(FROM_ZTUNNEL),
            ],
            action: Action::Redirect(ports::DNS),
            why: "DNS",
        });
        for family in Family::BOTH {
            rules.push(Rule {
                matches: vec![
                    Match::NotToLoopback(family),
                    Match::TcpTo(DNS),
                    Match::TcpOpening,
                    Match::NotMarked(FROM_ZTUNNEL),
                ],
                action: Action::Redirect(ports::DNS),
                why: "DNS over TCP",
            });
        }
    }
    rules.push(Rule {
        matches: vec![Match::Tcp, Match::Marked(SPOOFED)],
        action: Action::Accept,
        why: "replies on connections that ztunnel opened",
    });
    for family in Family::BOTH {
        rules.push(Rule {
            matches: vec![Match::OutByLoopback, Match::NotToLoopback(family)],
            action: Action::Accept,
            why: "the application calls its own address",
        });
    }
    for family in Family::BOTH {
        rules.push(Rule {
            matches: vec![
                Match::NotToLoopback(family),
                Match::TcpOpening,
                Match::NotMarked(FROM_ZTUNNEL),
            ],
            action: Action::Redirect(ports::OUTBOUND),
            why: "outbound",
        });
    }
    rules
}

/// Forwarded DNS and the application's own could use the same ports: they are tracked apart (istio#33469).
fn pod_raw() -> Table {
    let rule = |matches| Rule {
        matches,
        action: Action::Zone(1),
        why: "forwarded DNS is tracked apart from the application's",
    };
    let chain = |hook, rule| Chain {
        hook,
        kind: ChainKind::Filter,
        priority: RAW,
        rules: vec![rule],
    };
    let returning = rule(vec![Match::UdpFrom(DNS), Match::NotMarked(FROM_ZTUNNEL)]);
    let forwarded = rule(vec![Match::UdpTo(DNS), Match::Marked(FROM_ZTUNNEL)]);
    Table {
        name: TableName::Raw,
        sets: Vec::new(),
        chains: vec![chain(Hook::Prerouting, returning), chain(Hook::Output, forwarded)],
    }
}

impl ProbeAddresses {
    fn both(&self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }
}

const FROM_ZTUNNEL: Mark = Mark {
    value: ports::PACKET_MARK,
    mask: ports::MARK_MASK,
};
const SPOOFED: Mark = Mark {
    value: ports::CONNECTION_MARK,
    mask: ports::MARK_MASK,
};
const DNS: u16 = 53;
/// Upstream's names of the host's sets.
const PROBES_V4: &str = "istio-inpod-probes-v4";
const PROBES_V6: &str = "istio-inpod-probes-v6";

// The kernel's usual priorities (nft(8), "Standard priority names").
const RAW: i32 = -300;
const MANGLE: i32 = -150;
const DESTINATION_NAT: i32 = -100;
/// Just before `srcnat` (100), where others masquerade.
const BEFORE_OTHER_SOURCE_NAT: i32 = 95;

#[cfg(test)]
mod tests;
