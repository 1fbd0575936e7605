//! Those who connect to a port of ours are let in, and may say nothing: whatever goes out from it announces a receive window of zero
//! (RFC 9293, section 3.8.6).
//!
//! A server that refuses somebody does so after the handshake, and by then what the client said has crossed the wire. One that is told
//! of no room keeps it to itself until the server has made up its mind: the reset is all that it hears. Where the server closes in time
//! nothing is different for it, and the server sees, logs and counts it as ever. Who asks again meanwhile, as the window's probes of
//! TCP do (Linux's bear no data), hears the same.
//!
//! Which of the ports that are redirected to ours it is for is told by the connection's first destination, before it was redirected.

use std::io;

use mesh_types::{PortSet, ports::STRICT_TABLE as TABLE};

use super::generation::{self, Generation};
use super::wire::{self, Attributes, Batch, Kind};
use super::{ask, carry_out};

/// In the calling thread's namespace, whoever connects to one of `ports` and is redirected to `listener` may say nothing from now on,
/// and at other ports of it everybody may; who is connected, too. A second call replaces the first. It lasts as long as the namespace
/// does, whoever asked for it, until it is said of no port.
///
/// Returns the generation of the namespace's rules, unless somebody else changed them meanwhile: another one later may mean that this
/// is lost.
///
/// # Errors
/// Fails without `CAP_NET_ADMIN`, and where the kernel lacks nf_tables or connection tracking. Nothing has changed then.
pub fn set(listener: u16, ports: &PortSet) -> io::Result<Option<Generation>> {
    let before = generation::here();
    // Most pods never have it, and a change is heard by whoever follows their rules.
    if ports.is_none() && !is_there()? {
        return Ok(before);
    }
    carry_out(&transaction(listener, ports))?;
    let after = generation::here();
    Ok(after.filter(|after| before.map(Generation::next) == Some(*after)))
}

fn is_there() -> io::Result<bool> {
    let table = Attributes::default().text(TABLE_NAME, TABLE);
    let answer = ask(&wire::request(GET_TABLE, wire::INET, &table))?;
    Ok(wire::first(&answer, NEW_TABLE).is_some())
}

/// All at once, whatever was there before.
fn transaction(listener: u16, ports: &PortSet) -> Batch {
    let mut batch = Batch::new();
    let table = Attributes::default().text(TABLE_NAME, TABLE);
    batch.add(Kind::NewTable, &table);
    batch.add(Kind::DeleteTable, &table);
    if !ports.is_none() {
        batch.add(Kind::NewTable, &table);
        batch.add(Kind::NewChain, &chain());
        for rule in rules(listener, ports) {
            batch.add(Kind::NewRule, &rule);
        }
    }
    batch.end()
}

fn chain() -> Attributes {
    let hook = Attributes::default()
        .number(HOOK_NUMBER, LOCAL_OUT)
        .number(HOOK_PRIORITY, MANGLE);
    Attributes::default()
        .text(CHAIN_TABLE, TABLE)
        .text(CHAIN_NAME, CHAIN)
        .nested(CHAIN_HOOK, &hook)
        .text(CHAIN_TYPE, "filter")
}

/// Other packets leave the chain first: all traffic of the namespace passes here.
fn rules(listener: u16, ports: &PortSet) -> Vec<Attributes> {
    let at = |port: &u16| vec![original_port(), compare(EQUAL, &port.to_be_bytes())];
    let others = vec![
        source_port(),
        compare(NOT_EQUAL, &listener.to_be_bytes()),
        accept(),
    ];
    let mut rules = vec![rule("not what came in the clear", others)];
    match ports {
        PortSet::Only(ports) => {
            rules.extend(
                ports
                    .iter()
                    .map(|port| rule(SILENT, [at(port), no_room()].concat())),
            );
        }
        PortSet::AllBut(ports) => {
            let open = |port| rule("may be served in the clear", [at(port), vec![accept()]].concat());
            rules.extend(ports.iter().map(open));
            rules.push(rule(SILENT, no_room()));
        }
    }
    rules
}

/// Of TCP; `nft` can say what the rest means only where that comes first.
fn rule(why: &str, expressions: Vec<Attributes>) -> Attributes {
    let tcp = [protocol(), compare(EQUAL, &[TCP])];
    let expressions = tcp.iter().chain(&expressions);
    let list = expressions.fold(Attributes::default(), |list, e| list.nested(LIST_ELEMENT, e));
    // As nft writes a comment: its type, its length, the text with a zero.
    let length = u8::try_from(why.len() + 1).unwrap_or(u8::MAX);
    let comment = [&[0, length], why.as_bytes(), &[0]].concat();
    Attributes::default()
        .text(RULE_TABLE, TABLE)
        .text(RULE_CHAIN, CHAIN)
        .nested(RULE_EXPRESSIONS, &list)
        .bytes(RULE_COMMENT, &comment)
}

// === Expressions: each loads into the one register, or looks at it ===

fn protocol() -> Attributes {
    let meta = Attributes::default()
        .number(META_TO, REGISTER)
        .number(META_KEY, META_PROTOCOL);
    expression("meta", &meta)
}

fn source_port() -> Attributes {
    let load = field(0).number(PAYLOAD_TO, REGISTER);
    expression("payload", &load)
}

/// Where the connection went before it was redirected.
fn original_port() -> Attributes {
    let ct = Attributes::default()
        .number(CT_TO, REGISTER)
        .number(CT_KEY, CT_DESTINATION_PORT)
        .bytes(CT_DIRECTION, &[ORIGINAL]);
    expression("ct", &ct)
}

fn compare(operator: u32, value: &[u8]) -> Attributes {
    let compare = Attributes::default()
        .number(COMPARE_FROM, REGISTER)
        .number(COMPARE_OPERATOR, operator)
        .nested(COMPARE_DATA, &Attributes::default().bytes(DATA_VALUE, value));
    expression("cmp", &compare)
}

fn accept() -> Attributes {
    let verdict = Attributes::default().number(VERDICT_CODE, ACCEPT);
    let data = Attributes::default().nested(DATA_VERDICT, &verdict);
    expression("immediate", &immediate(VERDICT, &data))
}

fn no_room() -> Vec<Attributes> {
    let zero = Attributes::default().bytes(DATA_VALUE, &[0; 2]);
    let write = field(WINDOW)
        .number(PAYLOAD_FROM, REGISTER)
        .number(PAYLOAD_CHECKSUM, INTERNET_CHECKSUM)
        .number(PAYLOAD_CHECKSUM_OFFSET, CHECKSUM)
        .number(PAYLOAD_CHECKSUM_FLAGS, 0);
    vec![
        expression("immediate", &immediate(REGISTER, &zero)),
        expression("payload", &write),
    ]
}

/// Two bytes of the TCP header.
fn field(offset: u32) -> Attributes {
    Attributes::default()
        .number(PAYLOAD_BASE, TRANSPORT_HEADER)
        .number(PAYLOAD_OFFSET, offset)
        .number(PAYLOAD_LENGTH, 2)
}

fn immediate(to: u32, data: &Attributes) -> Attributes {
    Attributes::default()
        .number(IMMEDIATE_TO, to)
        .nested(IMMEDIATE_DATA, data)
}

fn expression(name: &str, data: &Attributes) -> Attributes {
    Attributes::default()
        .text(EXPRESSION_NAME, name)
        .nested(EXPRESSION_DATA, data)
}

const CHAIN: &str = "output";
const SILENT: &str = "nothing may be said in the clear before it is refused";

// linux/netfilter/nf_tables.h, linux/netfilter.h.
const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const TABLE_NAME: u16 = 1;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_COMMENT: u16 = 7;
const LIST_ELEMENT: u16 = 1;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const META_TO: u16 = 1;
const META_KEY: u16 = 2;
const META_PROTOCOL: u32 = 16;
const COMPARE_FROM: u16 = 1;
const COMPARE_OPERATOR: u16 = 2;
const COMPARE_DATA: u16 = 3;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;
const CT_TO: u16 = 1;
const CT_KEY: u16 = 2;
const CT_DIRECTION: u16 = 3;
const CT_DESTINATION_PORT: u32 = 12;
const ORIGINAL: u8 = 0;
const PAYLOAD_TO: u16 = 1;
const PAYLOAD_BASE: u16 = 2;
const PAYLOAD_OFFSET: u16 = 3;
const PAYLOAD_LENGTH: u16 = 4;
const PAYLOAD_FROM: u16 = 5;
const PAYLOAD_CHECKSUM: u16 = 6;
const PAYLOAD_CHECKSUM_OFFSET: u16 = 7;
const PAYLOAD_CHECKSUM_FLAGS: u16 = 8;
const TRANSPORT_HEADER: u32 = 2;
const INTERNET_CHECKSUM: u32 = 1;
const IMMEDIATE_TO: u16 = 1;
const IMMEDIATE_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT: u32 = 0;
const REGISTER: u32 = 1;
/// `NF_ACCEPT`.
const ACCEPT: u32 = 1;
/// `NF_INET_LOCAL_OUT`.
const LOCAL_OUT: u32 = 3;
/// -150, behind connection tracking and before translation: the source is still our port.
const MANGLE: u32 = (-150_i32).cast_unsigned();
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// Offsets in the TCP header (RFC 9293, section 3.1).
const WINDOW: u32 = 14;
const CHECKSUM: u32 = 16;

#[cfg(test)]
mod tests;
