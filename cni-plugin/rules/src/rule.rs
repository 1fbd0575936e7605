//! What rules are made of. Only what the plan needs can be said, so every renderer can say all of it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_types::ports;

/// The tables of one namespace, each of nftables' family `inet`: IPv4 and IPv6 alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ruleset {
    /// The tables that are wanted.
    pub tables: Vec<Table>,
    /// Tables of ours that must not be there.
    pub absent: Vec<TableName>,
}

/// A table's name. The agent's are upstream's (`istio-ambient-*`), so that one agent takes over from another instead of adding
/// a second set of rules.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TableName {
    /// Marks.
    Mangle,
    /// Redirection.
    Nat,
    /// Before connection tracking.
    Raw,
    /// ztunnel's own ([`mesh_types::ports::STRICT_TABLE`]): it goes with the rest, and its content is no business of the agent's.
    Strict,
}

/// A table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Its sets of addresses.
    pub sets: Vec<AddressSet>,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// A named set of addresses of one family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AddressSet {
    /// IPv4 addresses.
    V4(&'static str, BTreeSet<Ipv4Addr>),
    /// IPv6 addresses.
    V6(&'static str, BTreeSet<Ipv6Addr>),
}

/// A chain at a hook of the kernel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Where packets enter it.
    pub hook: Hook,
    /// What it may do there.
    pub kind: ChainKind,
    /// Its place among the hook's chains: lower comes first.
    pub priority: i32,
    /// Its rules, first match first.
    pub rules: Vec<Rule>,
}

/// Where packets enter a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// Every packet that comes in, before routing.
    Prerouting,
    /// Packets of local processes, before routing them anew.
    Output,
    /// Every packet that goes out, after routing.
    Postrouting,
}

/// What a chain may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChainKind {
    /// Look and mark.
    Filter,
    /// Mark so that the packet is routed anew: a changed mark in a `Filter` chain would not be.
    Route,
    /// Translate addresses.
    Nat,
}

/// A rule: all `matches` must hold, then `action`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// What must hold.
    pub matches: Vec<Match>,
    /// What is then done.
    pub action: Action,
    /// Why; it stands in the kernel beside the rule. At most 127 bytes, no quotes.
    pub why: &'static str,
}

/// What must hold of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Match {
    /// It came in by this interface.
    InBy(InterfaceName),
    /// It goes out by `lo`.
    OutByLoopback,
    /// It goes out by another interface than `lo`.
    NotOutByLoopback,
    /// Its source is this address.
    From(IpAddr),
    /// Its destination is this address.
    To(IpAddr),
    /// It is of this family, and its destination is no loopback address.
    NotToLoopback(Family),
    /// Its destination is in this set.
    ToSet(Family, &'static str),
    /// It is TCP.
    Tcp,
    /// It opens a TCP connection: SYN without ACK. What is under way when rules come seems new to connection tracking,
    /// too, and would be torn from its peer if it were redirected in the middle.
    TcpOpening,
    /// It is TCP to this port.
    TcpTo(u16),
    /// It is TCP to another port than this.
    TcpNotTo(u16),
    /// It is UDP to this port.
    UdpTo(u16),
    /// It is UDP from this port.
    UdpFrom(u16),
    /// Its mark, under the mask, is this.
    Marked(Mark),
    /// Its mark, under the mask, is not this.
    NotMarked(Mark),
    /// Its connection's mark, under the mask, is this.
    ConnectionMarked(Mark),
    /// A local process's socket sent it: forwarded packets have no socket, hence no owner to compare.
    FromLocalSocket,
}

/// What is done with a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// No further rule of this chain.
    Accept,
    /// To this port of this host.
    Redirect(u16),
    /// Its source becomes this address.
    SourceNat(IpAddr),
    /// Its connection gets this mark, under the mask.
    MarkConnection(Mark),
    /// It gets its connection's mark.
    RestoreMark,
    /// Its connection is tracked in this zone.
    Zone(u16),
}

/// A mark and the bits of it that count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The mark.
    pub value: u32,
    /// The bits that count.
    pub mask: u32,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The name of an interface; it cannot hold what would end it in a rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceName(String);

/// Why a string is no name of an interface.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no name of an interface: 1 to 15 letters, digits, '.', '_', '-' or '@'")]
pub struct InvalidInterfaceName(pub String);

// === impl TableName ===

impl TableName {
    /// Every table of ours.
    pub const ALL: [Self; 4] = [Self::Mangle, Self::Nat, Self::Raw, Self::Strict];

    /// The name in the kernel.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mangle => "istio-ambient-mangle",
            Self::Nat => "istio-ambient-nat",
            Self::Raw => "istio-ambient-raw",
            Self::Strict => ports::STRICT_TABLE,
        }
    }
}

// === impl Ruleset ===

impl Ruleset {
    /// The ruleset in which nothing of ours is left.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            tables: Vec::new(),
            absent: TableName::ALL.to_vec(),
        }
    }

    /// The tables that it says something about; others are left alone.
    pub fn names(&self) -> impl Iterator<Item = TableName> + '_ {
        self.tables
            .iter()
            .map(|table| table.name)
            .chain(self.absent.iter().copied())
    }
}

// === impl AddressSet ===

impl AddressSet {
    /// The set's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::V4(name, _) | Self::V6(name, _) => name,
        }
    }

    /// The set's family.
    #[must_use]
    pub fn family(&self) -> Family {
        match self {
            Self::V4(..) => Family::V4,
            Self::V6(..) => Family::V6,
        }
    }

    /// The addresses, as text.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        match self {
            Self::V4(_, set) => set.iter().map(ToString::to_string).collect(),
            Self::V6(_, set) => set.iter().map(ToString::to_string).collect(),
        }
    }
}

// === impl Family ===

impl Family {
    /// Both families.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// An address's family.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// nftables' name of the header.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }
}

// === impl InterfaceName ===

impl InterfaceName {
    /// A checked name.
    ///
    /// # Errors
    /// Fails when the kernel would not have such an interface, or the name would need quoting in a rule.
    pub fn new(name: &str) -> Result<Self, InvalidInterfaceName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
        let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
        if fits && name.chars().all(allowed) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidInterfaceName(name.chars().take(64).collect()))
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
