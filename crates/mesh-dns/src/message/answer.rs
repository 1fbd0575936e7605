//! What a client asks, and reads in the answer.

use std::net::IpAddr;

use domain::base::iana::{Class, Rcode};
use domain::base::{Message, MessageBuilder, Name, ToName};
use domain::rdata::{A, Aaaa, Soa};

use super::Kind;

/// What an answer says about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its addresses; none where it has none of the kind, or does not exist.
    pub addresses: Vec<IpAddr>,
    /// For how long that may be remembered, in seconds; `None` where the answer does not say.
    pub ttl: Option<u32>,
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It breaks the format.
    #[error("the answer is broken")]
    Malformed,
    /// It answers another question.
    #[error("the answer belongs to another question")]
    Mismatch,
    /// It did not fit: the question is to be asked over TCP.
    #[error("the answer did not fit")]
    Truncated,
    /// The server could not, or would not, answer.
    #[error("the server answered {0}")]
    Refused(Rcode),
}

/// The question for a host name's addresses; `None` where no such name can be asked about.
#[must_use]
pub fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let name: Name<Vec<u8>> = name.parse().ok()?;
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(id);
    builder.header_mut().set_rd(true);
    let mut question = builder.question();
    question.push((&name, kind.rtype(), Class::IN)).ok()?;
    let mut additional = question.additional();
    let edns = additional.opt(|opt| {
        // What passes every path without fragments (DNS Flag Day 2020).
        opt.set_udp_payload_size(UNFRAGMENTED);
        Ok(())
    });
    edns.ok()?;
    Some(additional.finish())
}

/// Reads the answer to a [`question`], along its chain of aliases.
///
/// # Errors
/// Says why it is none.
pub fn read_answer(question: &[u8], answer: &[u8], kind: Kind) -> Result<Found, Unusable> {
    let malformed = |_| Unusable::Malformed;
    let question = Message::from_slice(question).map_err(|_| Unusable::Malformed)?;
    let answer = Message::from_slice(answer).map_err(|_| Unusable::Malformed)?;
    if !answer.is_answer(question) {
        return Err(Unusable::Mismatch);
    }
    if answer.header().tc() {
        return Err(Unusable::Truncated);
    }
    match answer.header().rcode() {
        Rcode::NOERROR => {}
        Rcode::NXDOMAIN => return Ok(nothing(answer)),
        other => return Err(Unusable::Refused(other)),
    }
    let owner = answer.canonical_name().ok_or(Unusable::Malformed)?;
    let mut addresses = Vec::new();
    let mut ttl: Option<u32> = None;
    for record in answer.answer().map_err(malformed)? {
        let record = record.map_err(malformed)?;
        // The aliases on the way expire, too.
        let seconds = record.ttl().as_secs();
        ttl = Some(ttl.map_or(seconds, |least| least.min(seconds)));
        if !record.owner().name_eq(&owner) || record.class() != Class::IN {
            continue;
        }
        let ip: Option<IpAddr> = match kind {
            Kind::A => {
                let data = record.to_record::<A>().map_err(malformed)?;
                data.map(|r| r.data().addr().into())
            }
            Kind::Aaaa => {
                let data = record.to_record::<Aaaa>().map_err(malformed)?;
                data.map(|r| r.data().addr().into())
            }
            Kind::Other(_) => None,
        };
        addresses.extend(ip.filter(|_| addresses.len() < MOST_ADDRESSES));
    }
    if addresses.is_empty() {
        return Ok(nothing(answer));
    }
    Ok(Found { addresses, ttl })
}

/// How long a no is true, its zone says (RFC 2308, section 5).
fn nothing(answer: &Message<[u8]>) -> Found {
    let soa = answer.authority().ok().and_then(|section| {
        let mut zones = section.limit_to::<Soa<_>>().flatten();
        zones.next().map(|record| {
            let minimum = record.data().minimum().as_secs();
            record.ttl().as_secs().min(minimum)
        })
    });
    Found {
        addresses: Vec::new(),
        ttl: soa,
    }
}

const UNFRAGMENTED: u16 = 1232;
/// More than any client needs to choose from.
const MOST_ADDRESSES: usize = 256;
