//! Why a message from the wire is refused.

use std::fmt;

use mesh_types::InvalidIdentity;

use crate::l7::matching::InvalidPattern;

/// A resource that was refused; the text goes to the control plane as a NACK and to the log.
///
/// The fault is the sender's. Retrying is useless until the resource changes; the last good version stays in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {name:?}: {field}: {problem}")]
pub struct InvalidResource {
    /// What it was to be.
    pub kind: ResourceKind,
    /// Its name as in xDS, as far as the message gives one.
    pub name: String,
    /// The path of the offending field, as the `.proto` names it: `rules[0].clauses[1].matches[0].source_ips[2]`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// The kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceKind {
    /// A resource of type Address whose content could not be told.
    Address,
    /// A workload.
    Workload,
    /// A service.
    Service,
    /// An authorization policy.
    Authorization,
    /// A port that a gateway listens on.
    Bind,
    /// A route.
    Route,
    /// A destination that is no service.
    Backend,
    /// A policy for waypoints and gateways.
    Policy,
    /// The labels of a workload.
    EndpointLabels,
    /// Limits that the mesh's own rate-limit service counts.
    Quota,
}

/// What can be wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The bytes are no protobuf message of the type.
    #[error("not a valid protobuf message: {0}")]
    Encoding(String),
    /// The resource goes by another name than its content says.
    #[error("the content is that of {0:?}")]
    OtherName(String),
    /// A value that must be there is not.
    #[error("is missing")]
    Missing,
    /// A string that must say something is empty.
    #[error("is empty")]
    Empty,
    /// An address of neither 4 nor 16 bytes.
    #[error("an address has 4 or 16 bytes, this one has {0}")]
    AddressLength(usize),
    /// A prefix length longer than the address, or one that cuts into the prefix of an IPv4-mapped address.
    #[error("prefix length {length} does not fit address {address}")]
    PrefixLength {
        /// The address.
        address: std::net::IpAddr,
        /// The length, in bits.
        length: u32,
    },
    /// A range where a single address is needed.
    #[error("is a range, but must be a single address")]
    Range,
    /// No port number, or one that cannot be dialled.
    #[error("{0} is not a port number")]
    Port(u32),
    /// An enum value that this version does not know.
    #[error("unknown value {0}")]
    UnknownValue(i32),
    /// A known value that is not supported.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// Not of the form `<namespace>/<name>`.
    #[error("{0:?} is not of the form <namespace>/<name>")]
    NamespacedName(String),
    /// The parts of the identity do not make one.
    #[error(transparent)]
    Identity(InvalidIdentity),
    /// The message has fields that this version does not know.
    #[error("has fields that are not known here")]
    NotUnderstood,
    /// A part of a name that holds the separator.
    #[error("{0:?} has a slash")]
    Slash(String),
    /// A number beyond its bound.
    #[error("{number} is more than {most}")]
    Above {
        /// The number.
        number: u32,
        /// The bound.
        most: u32,
    },
    /// 0, where that makes no sense.
    #[error("is 0")]
    Zero,
    /// A range whose end comes before its begin.
    #[error("{first} to {last} is no range")]
    Backwards {
        /// Its begin.
        first: u32,
        /// Its end.
        last: u32,
    },
    /// Per cents of something that are not all of it.
    #[error("adds up to {0}, not to 100")]
    Sum(u64),
    /// A number that must be prime.
    #[error("{0} is not a prime number")]
    NotPrime(u32),
    /// No status of an HTTP answer.
    #[error("{0} is not an HTTP status from 200 to 599")]
    Status(u32),
    /// No status that sends a client elsewhere.
    #[error("{0} is not one of 301, 302, 303, 307, 308")]
    RedirectStatus(u32),
    /// No status of gRPC.
    #[error("{0} is not a gRPC status")]
    GrpcStatus(u32),
    /// Less than nothing, more than a hundred years, or malformed.
    #[error("{seconds} s and {nanos} ns are not a time from 0 to 100 years")]
    Duration {
        /// Its seconds.
        seconds: i64,
        /// Its nanoseconds.
        nanos: i32,
    },
    /// No token of HTTP.
    #[error("{0:?} is not a token")]
    Token(String),
    /// No name of a header in lower case.
    #[error("{0:?} is not a header name in lower case")]
    Header(String),
    /// A value that would end its header.
    #[error("{0:?} is not a header value")]
    HeaderValue(String),
    /// No host name in lower case.
    #[error("{0:?} is not a host name")]
    Host(String),
    /// No path.
    #[error("{0:?} is not a path of this kind")]
    Path(String),
    /// Neither of the two schemes.
    #[error("{0:?} is neither http nor https")]
    Scheme(String),
    /// Nothing that can be fetched.
    #[error("{0:?} is not an http or https URI")]
    Uri(String),
    /// No regular expression.
    #[error(transparent)]
    Pattern(InvalidPattern),
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "address",
            Self::Workload => "workload",
            Self::Service => "service",
            Self::Authorization => "authorization policy",
            Self::Bind => "bind",
            Self::Route => "route",
            Self::Backend => "backend",
            Self::Policy => "policy",
            Self::EndpointLabels => "labels of",
            Self::Quota => "quota",
        })
    }
}

impl InvalidResource {
    /// The same, under the name that the resource came by where its content gave none.
    pub(crate) fn called(mut self, name: &str) -> Self {
        if self.name.is_empty() {
            name.clone_into(&mut self.name);
        }
        self
    }
}

/// The bytes are no message.
pub(crate) fn unreadable(kind: ResourceKind, name: &str, error: &prost::DecodeError) -> InvalidResource {
    FieldProblem::from(Problem::Encoding(error.to_string()))
        .under("body")
        .of(kind, name)
}

/// The content belongs to another name.
pub(crate) fn misnamed(kind: ResourceKind, name: &str, own_name: &str) -> InvalidResource {
    FieldProblem::from(Problem::OtherName(own_name.to_owned()))
        .under("name")
        .of(kind, name)
}

/// A problem on its way up from a field to its resource; the path grows at the front.
#[derive(Debug)]
pub(crate) struct FieldProblem {
    path: String,
    problem: Problem,
}

impl FieldProblem {
    /// The problem with all of a resource's fields known.
    pub(crate) fn of(self, kind: ResourceKind, name: impl Into<String>) -> InvalidResource {
        InvalidResource {
            kind,
            name: name.into(),
            field: self.path,
            problem: self.problem,
        }
    }

    /// The problem is within `parent`.
    pub(crate) fn under(mut self, parent: &str) -> Self {
        self.path = match self.path.is_empty() {
            true => parent.to_owned(),
            false => format!("{parent}.{}", self.path),
        };
        self
    }
}

impl From<Problem> for FieldProblem {
    fn from(problem: Problem) -> Self {
        Self {
            path: String::new(),
            problem,
        }
    }
}

/// Adds the name of a field to what went wrong in it.
pub(crate) trait InField<T> {
    /// The problem is in `field`.
    fn field(self, field: &str) -> Result<T, FieldProblem>;
}

impl<T, E: Into<FieldProblem>> InField<T> for Result<T, E> {
    fn field(self, field: &str) -> Result<T, FieldProblem> {
        self.map_err(|e| e.into().under(field))
    }
}

/// Decodes every item of a repeated field, naming the index of the first bad one.
pub(crate) fn items<S, T, E: Into<FieldProblem>>(
    field: &str,
    from: impl IntoIterator<Item = S>,
    decode: impl Fn(S) -> Result<T, E>,
) -> Result<Vec<T>, FieldProblem> {
    from.into_iter()
        .enumerate()
        .map(|(i, item)| decode(item).map_err(|e| e.into().under(&format!("{field}[{i}]"))))
        .collect()
}
