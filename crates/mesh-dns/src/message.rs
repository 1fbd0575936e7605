//! Questions and answers on the wire (RFC 1035, section 4).
//!
//! # Layout
//! - this file: [`Query`], what a client asked.
//! - `reply`: what a server answers by itself.
//! - `answer`: what a client asks, and reads in the answer.

mod answer;
mod reply;

use std::fmt;

use domain::base::iana::{Class, Opcode, Rtype};
use domain::base::name::ToLabelIter;
use domain::base::{Message, ParsedName};

pub use answer::{Found, Unusable, question, read_answer};
pub use reply::{Reply, Trouble, refuse_unread, reply};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Anything else, by the number of its type.
    Other(u16),
}

/// A question that a client sent.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    message: &'a Message<[u8]>,
    kind: Kind,
    payload: u16,
}

/// What a server does not answer as a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAQuery {
    /// It is too short to be answered, or itself an answer: answering those makes loops.
    #[error("no question at all")]
    Silence,
    /// It breaks the format.
    #[error("broken question")]
    Malformed,
    /// It is an update, a notification or the like, or not about the Internet.
    #[error("not a plain question")]
    NotPlain,
}

impl<'a> Query<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// Says how to treat what is no question; [`refuse_unread`] answers it.
    pub fn read(octets: &'a [u8]) -> Result<Self, NotAQuery> {
        let message = Message::from_slice(octets).map_err(|_| NotAQuery::Silence)?;
        if message.header().qr() {
            return Err(NotAQuery::Silence);
        }
        if message.header().opcode() != Opcode::QUERY {
            return Err(NotAQuery::NotPlain);
        }
        let question = message.sole_question().map_err(|_| NotAQuery::Malformed)?;
        if question.qclass() != Class::IN {
            return Err(NotAQuery::NotPlain);
        }
        // Without EDNS a datagram of 512 bytes (RFC 1035, 4.2.1), with it at least that (RFC 6891, 6.2.3).
        let payload = message.opt().map_or(CLASSIC_PAYLOAD, |opt| {
            opt.udp_payload_size().clamp(CLASSIC_PAYLOAD, LARGEST_PAYLOAD)
        });
        Ok(Self {
            message,
            kind: Kind::of(question.qtype()),
            payload,
        })
    }

    /// What is asked for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The name, in lower case and without the last dot. `None` for names that no host has: with dots or other than
    /// letters, digits, `-`, `_` and `*` inside a label, and for the root.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        host_name(self.message.sole_question().ok()?.qname())
    }

    /// How long a datagram may be that answers it.
    #[must_use]
    pub fn payload(&self) -> usize {
        self.payload.into()
    }

    /// The message.
    #[must_use]
    pub fn octets(&self) -> &'a [u8] {
        self.message.as_slice()
    }
}

impl fmt::Display for Query<'_> {
    /// `<type> <name>`, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.sole_question() {
            Ok(question) => write!(f, "{} {}", question.qtype(), question.qname()),
            Err(_) => f.write_str("nothing"),
        }
    }
}

fn host_name<O: AsRef<[u8]>>(name: &ParsedName<O>) -> Option<String> {
    let mut text = String::new();
    for label in name.iter_labels().filter(|label| !label.is_root()) {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_*".contains(&b);
        if !label.as_ref().iter().all(|b| allowed(*b)) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.as_ref().iter().map(|b| char::from(b.to_ascii_lowercase())));
    }
    (!text.is_empty()).then_some(text)
}

// === impl Kind ===

impl Kind {
    fn of(rtype: Rtype) -> Self {
        match rtype {
            Rtype::A => Self::A,
            Rtype::AAAA => Self::Aaaa,
            other => Self::Other(other.to_int()),
        }
    }

    fn rtype(self) -> Rtype {
        match self {
            Self::A => Rtype::A,
            Self::Aaaa => Rtype::AAAA,
            Self::Other(number) => Rtype::from_int(number),
        }
    }

    /// The value of a metric's label: one of a few, whatever clients ask.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self.rtype() {
            Rtype::A => "A",
            Rtype::AAAA => "AAAA",
            Rtype::ANY => "ANY",
            Rtype::CNAME => "CNAME",
            Rtype::HTTPS => "HTTPS",
            Rtype::MX => "MX",
            Rtype::NS => "NS",
            Rtype::PTR => "PTR",
            Rtype::SOA => "SOA",
            Rtype::SRV => "SRV",
            Rtype::SVCB => "SVCB",
            Rtype::TXT => "TXT",
            _ => "OTHER",
        }
    }
}

const CLASSIC_PAYLOAD: u16 = 512;
/// More invites fragments; what is longer goes over TCP.
const LARGEST_PAYLOAD: u16 = 4096;

#[cfg(test)]
mod tests;
