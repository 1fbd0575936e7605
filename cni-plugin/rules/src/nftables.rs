//! Rules as the JSON that `nft -j -f -` takes (libnftables-json(5)).
//!
//! Every expression is written in the form in which `nft` lists it again, so that [`crate::audit`] can compare the two.

use std::borrow::Cow;

use nftables::expr::{
    BinaryOperation, CT, Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, Prefix,
};
use nftables::schema::{self, NfCmd, NfListObject, NfObject, Nftables, SetType, SetTypeValue};
use nftables::stmt::{Mangle, Match as NfMatch, NAT, NATFamily, Operator, Statement};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};

use crate::rule::{
    Action, AddressSet, Chain, ChainKind, Family, Hook, Mark, Match, Rule, Ruleset, Table, TableName,
};
use crate::text;

/// One transaction that replaces whatever was there before: `add`, `delete` and `add` again, so that it does not matter
/// whether a table exists. Applied twice it changes nothing.
#[must_use]
pub fn transaction(ruleset: &Ruleset) -> String {
    let mut commands = Vec::new();
    for name in &ruleset.absent {
        commands.extend(clear(*name));
    }
    for table in &ruleset.tables {
        commands.extend(clear(table.name));
        commands.extend(elements(table).into_iter().map(NfCmd::Add));
    }
    let objects: Vec<_> = commands.into_iter().map(NfObject::CmdObject).collect();
    to_json(objects)
}

/// The ruleset as a listing: what [`crate::audit`] compares with what the kernel has.
pub(crate) fn listing(ruleset: &Ruleset) -> String {
    let objects = ruleset.tables.iter().flat_map(elements).map(NfObject::ListObject);
    to_json(objects.collect())
}

fn to_json(objects: Vec<NfObject<'_>>) -> String {
    let document = Nftables {
        objects: Cow::Owned(objects),
    };
    serde_json::to_string(&document).expect("the nftables crate's own types are always JSON")
}

fn clear<'a>(name: TableName) -> [NfCmd<'a>; 2] {
    [NfCmd::Add(table(name)), NfCmd::Delete(table(name))]
}

fn table<'a>(name: TableName) -> NfListObject<'a> {
    NfListObject::Table(schema::Table {
        family: NfFamily::INet,
        name: name.as_str().into(),
        handle: None,
    })
}

fn elements(t: &Table) -> Vec<NfListObject<'_>> {
    let mut elements = vec![table(t.name)];
    elements.extend(t.sets.iter().map(|s| set(t.name, s)));
    elements.extend(t.chains.iter().map(|c| chain(t.name, c)));
    for c in &t.chains {
        elements.extend(c.rules.iter().map(|r| rule(t.name, c.hook, r)));
    }
    elements
}

fn set(table: TableName, set: &AddressSet) -> NfListObject<'_> {
    let kind = match set.family() {
        Family::V4 => SetType::Ipv4Addr,
        Family::V6 => SetType::Ipv6Addr,
    };
    let addresses: Vec<_> = set
        .addresses()
        .into_iter()
        .map(|a| Expression::String(a.into()))
        .collect();
    NfListObject::Set(Box::new(schema::Set {
        family: NfFamily::INet,
        table: table.as_str().into(),
        name: set.name().into(),
        set_type: SetTypeValue::Single(kind),
        elem: (!addresses.is_empty()).then(|| addresses.into()),
        ..schema::Set::default()
    }))
}

fn chain<'a>(table: TableName, chain: &Chain) -> NfListObject<'a> {
    NfListObject::Chain(schema::Chain {
        family: NfFamily::INet,
        table: table.as_str().into(),
        name: text::hook(chain.hook).into(),
        newname: None,
        handle: None,
        _type: Some(match chain.kind {
            ChainKind::Filter => NfChainType::Filter,
            ChainKind::Route => NfChainType::Route,
            ChainKind::Nat => NfChainType::NAT,
        }),
        hook: Some(match chain.hook {
            Hook::Prerouting => NfHook::Prerouting,
            Hook::Output => NfHook::Output,
            Hook::Postrouting => NfHook::Postrouting,
        }),
        prio: Some(chain.priority),
        dev: None,
        policy: Some(NfChainPolicy::Accept),
    })
}

fn rule(table: TableName, hook: Hook, rule: &Rule) -> NfListObject<'_> {
    let mut statements: Vec<_> = rule.matches.iter().map(matches).collect();
    statements.push(action(&rule.action));
    NfListObject::Rule(schema::Rule {
        family: NfFamily::INet,
        table: table.as_str().into(),
        chain: text::hook(hook).into(),
        expr: statements.into(),
        handle: None,
        index: None,
        comment: Some(rule.why.into()),
    })
}

fn matches(m: &Match) -> Statement<'_> {
    let (left, op, right) = match m {
        Match::InBy(interface) => (meta(MetaKey::Iifname), Operator::EQ, string(interface.as_str())),
        Match::OutByLoopback => (meta(MetaKey::Oifname), Operator::EQ, string("lo")),
        Match::NotOutByLoopback => (meta(MetaKey::Oifname), Operator::NEQ, string("lo")),
        Match::From(ip) => (
            field(Family::of(*ip).header(), "saddr"),
            Operator::EQ,
            Expression::String(ip.to_string().into()),
        ),
        Match::To(ip) => (
            field(Family::of(*ip).header(), "daddr"),
            Operator::EQ,
            Expression::String(ip.to_string().into()),
        ),
        Match::NotToLoopback(family) => (field(family.header(), "daddr"), Operator::NEQ, loopback(*family)),
        Match::ToSet(family, set) => (
            field(family.header(), "daddr"),
            Operator::EQ,
            Expression::String(format!("@{set}").into()),
        ),
        Match::Tcp => (meta(MetaKey::L4proto), Operator::EQ, string("tcp")),
        Match::TcpOpening => {
            let compared = Expression::List(vec![string("syn"), string("ack")]);
            let flags = BinaryOperation::AND(field("tcp", "flags"), compared);
            let flags = Expression::BinaryOperation(Box::new(flags));
            (flags, Operator::EQ, string("syn"))
        }
        Match::TcpTo(port) => (field("tcp", "dport"), Operator::EQ, number(*port)),
        Match::TcpNotTo(port) => (field("tcp", "dport"), Operator::NEQ, number(*port)),
        Match::UdpTo(port) => (field("udp", "dport"), Operator::EQ, number(*port)),
        Match::UdpFrom(port) => (field("udp", "sport"), Operator::EQ, number(*port)),
        Match::Marked(mark) => (
            masked(meta(MetaKey::Mark), *mark),
            Operator::EQ,
            number(mark.value),
        ),
        Match::NotMarked(mark) => (
            masked(meta(MetaKey::Mark), *mark),
            Operator::NEQ,
            number(mark.value),
        ),
        Match::ConnectionMarked(mark) => (masked(ct("mark"), *mark), Operator::EQ, number(mark.value)),
        Match::FromLocalSocket => (meta(MetaKey::Skuid), Operator::GEQ, number(0_u32)),
    };
    Statement::Match(NfMatch { left, right, op })
}

fn action(action: &Action) -> Statement<'static> {
    match action {
        Action::Accept => Statement::Accept(None),
        Action::Redirect(port) => Statement::Redirect(Some(NAT {
            addr: None,
            family: None,
            port: Some(number(*port)),
            flags: None,
        })),
        Action::SourceNat(ip) => Statement::SNAT(Some(NAT {
            addr: Some(Expression::String(ip.to_string().into())),
            family: Some(match Family::of(*ip) {
                Family::V4 => NATFamily::IP,
                Family::V6 => NATFamily::IP6,
            }),
            port: None,
            flags: None,
        })),
        Action::MarkConnection(Mark { value, mask }) => {
            // The bits of the value are kept too, since they are set at once: nft lists it so.
            let kept = BinaryOperation::AND(ct("mark"), number(!mask | value));
            let kept = Expression::BinaryOperation(Box::new(kept));
            let marked = BinaryOperation::OR(vec![kept, number(*value)]);
            mangle(ct("mark"), Expression::BinaryOperation(Box::new(marked)))
        }
        Action::RestoreMark => mangle(meta(MetaKey::Mark), ct("mark")),
        Action::Zone(zone) => mangle(ct("zone"), number(*zone)),
    }
}

fn mangle<'a>(key: Expression<'a>, value: Expression<'a>) -> Statement<'a> {
    Statement::Mangle(Mangle { key, value })
}

fn loopback(family: Family) -> Expression<'static> {
    match family {
        Family::V4 => Expression::Named(NamedExpression::Prefix(Prefix {
            addr: Box::new(string("127.0.0.0")),
            len: 8,
        })),
        Family::V6 => string("::1"),
    }
}

fn masked(value: Expression<'static>, mark: Mark) -> Expression<'static> {
    Expression::BinaryOperation(Box::new(BinaryOperation::AND(value, number(mark.mask))))
}

fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn ct(key: &'static str) -> Expression<'static> {
    Expression::Named(NamedExpression::CT(CT {
        key: key.into(),
        ..CT::default()
    }))
}

fn field(protocol: &'static str, field: &'static str) -> Expression<'static> {
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(PayloadField {
        protocol: protocol.into(),
        field: field.into(),
    })))
}

fn string(text: &str) -> Expression<'_> {
    Expression::String(text.into())
}

fn number(n: impl Into<u32>) -> Expression<'static> {
    Expression::Number(n.into())
}

#[cfg(test)]
mod tests;
