//! What a server answers by itself.

use std::net::IpAddr;

use domain::base::iana::Rcode;
use domain::base::message_builder::{AdditionalBuilder, AnswerBuilder};
use domain::base::{Message, MessageBuilder, Name, StaticCompressor, Ttl};
use domain::rdata::{A, Aaaa, Cname};

use super::{Kind, NotAQuery, Query};

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// These addresses; those of the family that was not asked for are left out. None left: the name exists, and has
    /// nothing of the kind (RFC 2308, section 2.2).
    Addresses {
        /// The name that they belong to, where it is not the one that was asked about but the end of an alias.
        alias: Option<&'a str>,
        /// The addresses, in the order of the answer.
        addresses: &'a [IpAddr],
        /// For how long they may be remembered, in seconds.
        ttl: u32,
    },
    /// No answer.
    Trouble(Trouble),
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It cannot be found out now (SERVFAIL).
    Failure,
    /// The question was not understood (FORMERR).
    Format,
    /// Such questions are not answered here (NOTIMP).
    NotImplemented,
}

/// The message that answers a question. What does not fit into `limit` bytes is left out, and the client told to ask over
/// TCP (RFC 2181, section 9).
#[must_use]
pub fn reply(query: &Query<'_>, reply: &Reply<'_>, limit: usize) -> Vec<u8> {
    let mut builder = start(limit);
    let rcode = match reply {
        Reply::Addresses { .. } => Rcode::NOERROR,
        Reply::Trouble(trouble) => trouble.rcode(),
    };
    builder.header_mut().set_ra(true);
    let Ok(mut answer) = builder.start_answer(query.message, rcode) else {
        return refuse(query.octets(), rcode);
    };
    answer.header_mut().set_ra(true);
    let mut fits = true;
    if let Reply::Addresses {
        alias,
        addresses,
        ttl,
    } = reply
    {
        answer.header_mut().set_aa(true);
        fits = push(&mut answer, query, *alias, addresses, *ttl);
    }
    answer.header_mut().set_tc(!fits);
    finish(answer.additional(), query)
}

/// What is answered to a message that is no question; `None` where silence is the answer.
#[must_use]
pub fn refuse_unread(octets: &[u8], why: NotAQuery) -> Option<Vec<u8>> {
    let trouble = match why {
        NotAQuery::Silence => return None,
        NotAQuery::Malformed => Trouble::Format,
        NotAQuery::NotPlain => Trouble::NotImplemented,
    };
    Some(refuse(octets, trouble.rcode()))
}

/// A header alone: the question may be what is wrong.
fn refuse(octets: &[u8], rcode: Rcode) -> Vec<u8> {
    let mut builder = start(usize::from(u16::MAX));
    if let Ok(message) = Message::from_slice(octets) {
        let asked = message.header();
        let header = builder.header_mut();
        header.set_id(asked.id());
        header.set_opcode(asked.opcode());
        header.set_rd(asked.rd());
        header.set_qr(true);
        header.set_rcode(rcode);
    }
    builder.finish().into_target()
}

fn start(limit: usize) -> MessageBuilder<StaticCompressor<Vec<u8>>> {
    let target = StaticCompressor::new(Vec::with_capacity(512));
    let mut builder = MessageBuilder::from_target(target).expect("an empty vector takes a header");
    builder.set_push_limit(limit);
    builder
}

/// Whether all fitted.
fn push(
    answer: &mut AnswerBuilder<StaticCompressor<Vec<u8>>>,
    query: &Query<'_>,
    alias: Option<&str>,
    addresses: &[IpAddr],
    ttl: u32,
) -> bool {
    let Ok(question) = query.message.sole_question() else {
        return true;
    };
    let ttl = Ttl::from_secs(ttl);
    let target = match alias.map(|name| name.parse::<Name<Vec<u8>>>()) {
        None => None,
        Some(Ok(target)) => Some(target),
        // It was part of a name once; that it is none now cannot be.
        Some(Err(_)) => return true,
    };
    if let Some(target) = &target
        && answer.push((question.qname(), ttl, Cname::new(target))).is_err()
    {
        return false;
    }
    addresses.iter().all(|ip| match (ip, query.kind) {
        (IpAddr::V4(ip), Kind::A) => match &target {
            None => answer.push((question.qname(), ttl, A::new(*ip))).is_ok(),
            Some(target) => answer.push((target, ttl, A::new(*ip))).is_ok(),
        },
        (IpAddr::V6(ip), Kind::Aaaa) => match &target {
            None => answer.push((question.qname(), ttl, Aaaa::new(*ip))).is_ok(),
            Some(target) => answer.push((target, ttl, Aaaa::new(*ip))).is_ok(),
        },
        _ => true,
    })
}

/// A client that speaks EDNS is answered so (RFC 6891, section 6.1.1).
fn finish(mut additional: AdditionalBuilder<StaticCompressor<Vec<u8>>>, query: &Query<'_>) -> Vec<u8> {
    if let Some(asked) = query.message.opt() {
        additional.clear_push_limit();
        let pushed = additional.opt(|opt| {
            opt.set_udp_payload_size(super::LARGEST_PAYLOAD);
            opt.set_dnssec_ok(asked.dnssec_ok());
            Ok(())
        });
        pushed.expect("a vector takes another eleven bytes");
    }
    additional.finish().into_target()
}

impl Trouble {
    fn rcode(self) -> Rcode {
        match self {
            Self::Failure => Rcode::SERVFAIL,
            Self::Format => Rcode::FORMERR,
            Self::NotImplemented => Rcode::NOTIMP,
        }
    }
}
