//! Rules as `nft` prints them, for people and golden files; `nft -f` takes them too.

use std::fmt::Write as _;

use crate::rule::{Action, AddressSet, Chain, ChainKind, Family, Hook, Mark, Match, Rule, Ruleset, Table};

/// The ruleset as `nft -f` takes it: in one transaction, whatever was there before is replaced.
#[must_use]
pub fn render(ruleset: &Ruleset) -> String {
    let mut text = String::new();
    for name in &ruleset.absent {
        let name = name.as_str();
        let _ = writeln!(text, "add table inet {name}\ndelete table inet {name}");
    }
    for table in &ruleset.tables {
        let name = table.name.as_str();
        let _ = writeln!(text, "add table inet {name}\ndelete table inet {name}");
        render_table(&mut text, table);
    }
    text
}

fn render_table(text: &mut String, table: &Table) {
    let _ = writeln!(text, "table inet {} {{", table.name.as_str());
    for set in &table.sets {
        render_set(text, set);
    }
    for chain in &table.chains {
        render_chain(text, chain);
    }
    text.push_str("}\n");
}

fn render_set(text: &mut String, set: &AddressSet) {
    let kind = match set.family() {
        Family::V4 => "ipv4_addr",
        Family::V6 => "ipv6_addr",
    };
    let _ = writeln!(text, "\tset {} {{\n\t\ttype {kind}", set.name());
    let addresses = set.addresses();
    if !addresses.is_empty() {
        let _ = writeln!(text, "\t\telements = {{ {} }}", addresses.join(", "));
    }
    text.push_str("\t}\n");
}

fn render_chain(text: &mut String, chain: &Chain) {
    let hook = hook(chain.hook);
    let kind = kind(chain.kind);
    let priority = chain.priority;
    let _ = writeln!(text, "\tchain {hook} {{");
    let _ = writeln!(
        text,
        "\t\ttype {kind} hook {hook} priority {priority}; policy accept;"
    );
    for rule in &chain.rules {
        let _ = writeln!(text, "\t\t{}", render_rule(rule));
    }
    text.push_str("\t}\n");
}

fn render_rule(rule: &Rule) -> String {
    let mut words: Vec<String> = rule.matches.iter().map(matches).collect();
    words.push(action(&rule.action));
    words.push(format!("comment \"{}\"", rule.why));
    words.join(" ")
}

fn matches(m: &Match) -> String {
    match m {
        Match::InBy(interface) => format!("iifname \"{interface}\""),
        Match::OutByLoopback => "oifname \"lo\"".to_owned(),
        Match::NotOutByLoopback => "oifname != \"lo\"".to_owned(),
        Match::From(ip) => format!("{} saddr {ip}", Family::of(*ip).header()),
        Match::To(ip) => format!("{} daddr {ip}", Family::of(*ip).header()),
        Match::NotToLoopback(Family::V4) => "ip daddr != 127.0.0.0/8".to_owned(),
        Match::NotToLoopback(Family::V6) => "ip6 daddr != ::1".to_owned(),
        Match::ToSet(family, set) => format!("{} daddr @{set}", family.header()),
        Match::Tcp => "meta l4proto tcp".to_owned(),
        Match::TcpOpening => "tcp flags syn / syn,ack".to_owned(),
        Match::TcpTo(port) => format!("tcp dport {port}"),
        Match::TcpNotTo(port) => format!("tcp dport != {port}"),
        Match::UdpTo(port) => format!("udp dport {port}"),
        Match::UdpFrom(port) => format!("udp sport {port}"),
        Match::Marked(Mark { value, mask }) => format!("meta mark & {mask:#010x} == {value:#010x}"),
        Match::NotMarked(Mark { value, mask }) => format!("meta mark & {mask:#010x} != {value:#010x}"),
        Match::ConnectionMarked(Mark { value, mask }) => format!("ct mark & {mask:#010x} == {value:#010x}"),
        Match::FromLocalSocket => "meta skuid >= 0".to_owned(),
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Accept => "accept".to_owned(),
        Action::Redirect(port) => format!("redirect to :{port}"),
        Action::SourceNat(ip) => format!("snat {} to {ip}", Family::of(*ip).header()),
        Action::MarkConnection(Mark { value, mask }) => {
            format!("ct mark set ct mark & {:#010x} | {value:#010x}", !mask | value)
        }
        Action::RestoreMark => "meta mark set ct mark".to_owned(),
        Action::Zone(zone) => format!("ct zone set {zone}"),
    }
}

/// The hook's name; chains are called after it.
pub(crate) fn hook(hook: Hook) -> &'static str {
    match hook {
        Hook::Prerouting => "prerouting",
        Hook::Output => "output",
        Hook::Postrouting => "postrouting",
    }
}

fn kind(kind: ChainKind) -> &'static str {
    match kind {
        ChainKind::Filter => "filter",
        ChainKind::Route => "route",
        ChainKind::Nat => "nat",
    }
}
