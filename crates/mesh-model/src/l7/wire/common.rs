//! The messages of `common.proto`, and times.

use std::time::Duration;

use ipnet::IpNet;
use mesh_proto::google::protobuf::Duration as ProtoDuration;
use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use super::{Wire, check};
use crate::gateway::encode_ip;
use crate::invalid::{FieldProblem, InField, Problem};
use crate::l7::filter::Share;
use crate::l7::route::NamedMatch;
use crate::l7::{Created, ObjectRef, ServicePort, TextMatch};
use crate::policy::decode_range;

impl Wire for ObjectRef {
    type Message = pb::ObjectRef;

    fn from_wire(m: &pb::ObjectRef) -> Result<Self, FieldProblem> {
        let namespace = check::name_or_empty(&m.namespace).field("namespace")?;
        Ok(Self {
            kind: check::name(&m.kind).field("kind")?,
            name: NamespacedName::new(namespace, check::name(&m.name).field("name")?),
        })
    }

    fn to_wire(&self) -> pb::ObjectRef {
        pb::ObjectRef {
            kind: self.kind.to_string(),
            namespace: self.name.namespace.to_string(),
            name: self.name.name.to_string(),
        }
    }
}

impl Wire for NamespacedName {
    type Message = pb::NamespacedName;

    fn from_wire(m: &pb::NamespacedName) -> Result<Self, FieldProblem> {
        let namespace = check::name(&m.namespace).field("namespace")?;
        Ok(Self::new(namespace, check::name(&m.name).field("name")?))
    }

    fn to_wire(&self) -> pb::NamespacedName {
        pb::NamespacedName {
            namespace: self.namespace.to_string(),
            name: self.name.to_string(),
        }
    }
}

impl Wire for NamespacedHostname {
    type Message = pb::ServiceName;

    fn from_wire(m: &pb::ServiceName) -> Result<Self, FieldProblem> {
        service_name(&m.namespace, &m.hostname)
    }

    fn to_wire(&self) -> pb::ServiceName {
        pb::ServiceName {
            namespace: self.namespace.to_string(),
            hostname: self.hostname.to_string(),
        }
    }
}

impl Wire for ServicePort {
    type Message = pb::ServicePort;

    fn from_wire(m: &pb::ServicePort) -> Result<Self, FieldProblem> {
        Ok(Self {
            service: service_name(&m.namespace, &m.hostname)?,
            port: check::port(m.port).field("port")?,
        })
    }

    fn to_wire(&self) -> pb::ServicePort {
        pb::ServicePort {
            namespace: self.service.namespace.to_string(),
            hostname: self.service.hostname.to_string(),
            port: self.port.into(),
        }
    }
}

impl Wire for TextMatch {
    type Message = pb::TextMatch;

    fn from_wire(m: &pb::TextMatch) -> Result<Self, FieldProblem> {
        use pb::text_match::Match;
        Ok(match m.r#match.as_ref().ok_or(Problem::Missing).field("match")? {
            Match::Exact(s) => Self::Exact(s.into()),
            Match::Prefix(s) => Self::Prefix(s.into()),
            Match::Suffix(s) => Self::Suffix(s.into()),
            Match::Regex(s) => Self::Regex(check::pattern(s).field("regex")?),
            Match::Present(pb::Empty {}) => Self::Present,
        })
    }

    fn to_wire(&self) -> pb::TextMatch {
        use pb::text_match::Match;
        let one = match self {
            Self::Exact(s) => Match::Exact(s.to_string()),
            Self::Prefix(s) => Match::Prefix(s.to_string()),
            Self::Suffix(s) => Match::Suffix(s.to_string()),
            Self::Regex(pattern) => Match::Regex(pattern.as_str().to_owned()),
            Self::Present => Match::Present(pb::Empty {}),
        };
        pb::TextMatch { r#match: Some(one) }
    }
}

impl Wire for NamedMatch {
    type Message = pb::NamedMatch;

    fn from_wire(m: &pb::NamedMatch) -> Result<Self, FieldProblem> {
        Ok(Self {
            name: check::text(&m.name).field("name")?,
            value: super::required("value", m.value.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::NamedMatch {
        pb::NamedMatch {
            name: self.name.to_string(),
            value: Some(self.value.to_wire()),
        }
    }
}

/// A [`NamedMatch`] whose name is a header's.
pub(in crate::l7) fn header_match(m: &pb::NamedMatch) -> Result<NamedMatch, FieldProblem> {
    check::header(&m.name).field("name")?;
    NamedMatch::from_wire(m)
}

impl Wire for IpNet {
    type Message = pb::IpRange;

    fn from_wire(m: &pb::IpRange) -> Result<Self, FieldProblem> {
        decode_range(&m.address, m.length)
    }

    fn to_wire(&self) -> pb::IpRange {
        pb::IpRange {
            address: encode_ip(self.addr()),
            length: self.prefix_len().into(),
        }
    }
}

/// A pair; names that are a header's are for [`header_pair`] to read.
impl Wire for (Strng, Strng) {
    type Message = pb::KeyValue;

    fn from_wire(m: &pb::KeyValue) -> Result<Self, FieldProblem> {
        Ok((check::text(&m.key).field("key")?, Strng::from(&m.value)))
    }

    fn to_wire(&self) -> pb::KeyValue {
        pb::KeyValue {
            key: self.0.to_string(),
            value: self.1.to_string(),
        }
    }
}

/// A header and its value.
pub(in crate::l7) fn header_pair(m: &pb::KeyValue) -> Result<(Strng, Strng), FieldProblem> {
    let name = check::header(&m.key).field("key")?;
    Ok((name, check::header_value(&m.value).field("value")?))
}

/// The way to a claim.
impl Wire for Vec<Strng> {
    type Message = pb::ClaimPath;

    fn from_wire(m: &pb::ClaimPath) -> Result<Self, FieldProblem> {
        check::some("names", check::each("names", &m.names, check::text)?)
    }

    fn to_wire(&self) -> pb::ClaimPath {
        pb::ClaimPath {
            names: super::strings(self),
        }
    }
}

impl Wire for Share {
    type Message = pb::Share;

    fn from_wire(m: &pb::Share) -> Result<Self, FieldProblem> {
        let numerator = check::at_most(m.numerator, m.denominator).field("numerator")?;
        Self::new(numerator, m.denominator)
            .ok_or(Problem::Zero)
            .field("denominator")
    }

    fn to_wire(&self) -> pb::Share {
        let (numerator, denominator) = self.parts();
        pb::Share {
            numerator,
            denominator,
        }
    }
}

impl Wire for Duration {
    type Message = ProtoDuration;

    fn from_wire(m: &ProtoDuration) -> Result<Self, FieldProblem> {
        let parts = (u64::try_from(m.seconds), u32::try_from(m.nanos));
        let time = match parts {
            (Ok(seconds), Ok(nanos)) if seconds <= LONGEST.as_secs() && nanos < 1_000_000_000 => {
                Self::new(seconds, nanos)
            }
            _ => Self::MAX,
        };
        match time <= LONGEST {
            true => Ok(time),
            false => Err(Problem::Duration {
                seconds: m.seconds,
                nanos: m.nanos,
            }
            .into()),
        }
    }

    /// What is longer than may be read becomes the longest.
    fn to_wire(&self) -> ProtoDuration {
        let bounded = (*self).min(LONGEST);
        ProtoDuration {
            seconds: i64::try_from(bounded.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(bounded.subsec_nanos()).unwrap_or_default(),
        }
    }
}

impl Created {
    pub(in crate::l7) fn from_wire(seconds: Option<u64>) -> Self {
        seconds.map_or_else(Self::unknown, Self::at)
    }
}

/// Neither part may hold the separator: the name of one service must not read as another's.
fn service_name(namespace: &str, hostname: &str) -> Result<NamespacedHostname, FieldProblem> {
    let namespace = check::name(namespace).field("namespace")?;
    Ok(NamespacedHostname::new(
        namespace,
        check::name(hostname).field("hostname")?,
    ))
}

/// A hundred years: beyond it, adding to a clock could overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
