//! What each operator gives.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::Duration;

use super::clock::Clock;
use super::parse::{header_argument, nothing};
use crate::Needs;
use crate::attributes::{Attribute, Attributes as _, EndField, HeaderSet};
use crate::cel::Expression;
use crate::record::Record;

/// An operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// Something that is text, cut to so many bytes.
    Text(Argument, Option<usize>),
    /// Something that is a number.
    Number(Number),
    /// `%START_TIME(format)%`
    Start(Clock),
}

/// Something that is text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    Header(HeaderSet, headers::Names),
    Protocol,
    ResponseDetails,
    Termination,
    ResponseFlags,
    LongFlags,
    UpstreamFailure,
    EndpointIdentity,
    SpanId,
    UpstreamHost,
    UpstreamCluster,
    UpstreamLocal(Shown),
    DownstreamLocal(Shown),
    DownstreamRemote(Shown),
    ServerName,
    RouteName,
    PeerIdentity,
    TraceId,
    GrpcStatusName,
    Attribute(Attribute),
    Expression(Box<Expression>),
    Constant(Box<str>),
    /// What external authorization said, under these names, each inside the one before.
    Metadata(Box<[Box<str>]>),
    Nothing,
}

/// Which part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Address and port.
    Whole,
    /// The address.
    Ip,
    /// The port.
    Port,
}

/// Something that is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    ResponseCode,
    GrpcStatus,
    BytesReceived,
    BytesSent,
    WireReceived,
    WireSent,
    Duration,
    RequestDuration,
    ResponseDuration,
    ResponseTxDuration,
    Attempts,
    ServiceTime,
}

/// Names of headers.
pub(crate) mod headers {
    /// Of two headers the first that is there counts.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub(crate) struct Names {
        /// Asked for first, in lower case.
        pub(crate) first: Box<str>,
        /// Asked for if the first is not there.
        pub(crate) second: Option<Box<str>>,
    }
}

impl Operator {
    /// The operator of this name.
    ///
    /// # Errors
    /// `None` when nobody knows it, else what is wrong with what stands in parentheses.
    pub(super) fn find(name: &str, argument: Option<&str>) -> Result<Self, Option<&'static str>> {
        use Argument as A;
        let number = |number| match argument {
            None => Ok(Self::Number(number)),
            Some(_) => Err(Some("it takes nothing in parentheses")),
        };
        let text = |of| nothing(argument, of);
        let header = |set| Ok(Self::Text(A::Header(set, header_argument(argument)?), None));
        match name {
            "START_TIME" => Clock::parse(argument.unwrap_or_default())
                .map(Self::Start)
                .ok_or(Some("this is no format of times")),
            "REQ" => header(HeaderSet::Request),
            "RESP" => match header(HeaderSet::Response)? {
                Self::Text(A::Header(_, names), _) if &*names.first == "x-envoy-upstream-service-time" => {
                    Ok(Self::Number(Number::ServiceTime))
                }
                other => Ok(other),
            },
            "TRAILER" => header(HeaderSet::Trailers),
            "PROTOCOL" => text(A::Protocol),
            "RESPONSE_CODE" => number(Number::ResponseCode),
            "RESPONSE_CODE_DETAILS" => text(A::ResponseDetails),
            "CONNECTION_TERMINATION_DETAILS" => text(A::Termination),
            "RESPONSE_FLAGS" => text(A::ResponseFlags),
            "RESPONSE_FLAGS_LONG" => text(A::LongFlags),
            "GRPC_STATUS_NUMBER" => number(Number::GrpcStatus),
            "GRPC_STATUS" => text(A::GrpcStatusName),
            "BYTES_RECEIVED" => number(Number::BytesReceived),
            "BYTES_SENT" => number(Number::BytesSent),
            "DOWNSTREAM_WIRE_BYTES_RECEIVED" => number(Number::WireReceived),
            "DOWNSTREAM_WIRE_BYTES_SENT" => number(Number::WireSent),
            "DURATION" => number(Number::Duration),
            "REQUEST_DURATION" => number(Number::RequestDuration),
            "RESPONSE_DURATION" => number(Number::ResponseDuration),
            "RESPONSE_TX_DURATION" => number(Number::ResponseTxDuration),
            "UPSTREAM_REQUEST_ATTEMPT_COUNT" => number(Number::Attempts),
            "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => text(A::UpstreamHost),
            "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => text(A::UpstreamCluster),
            "UPSTREAM_LOCAL_ADDRESS" => text(A::UpstreamLocal(Shown::Whole)),
            "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => text(A::UpstreamLocal(Shown::Ip)),
            "UPSTREAM_LOCAL_PORT" => text(A::UpstreamLocal(Shown::Port)),
            "UPSTREAM_TRANSPORT_FAILURE_REASON" => text(A::UpstreamFailure),
            "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => {
                text(A::DownstreamRemote(Shown::Whole))
            }
            "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => {
                text(A::DownstreamRemote(Shown::Ip))
            }
            "DOWNSTREAM_REMOTE_PORT" => text(A::DownstreamRemote(Shown::Port)),
            "DOWNSTREAM_LOCAL_ADDRESS" => text(A::DownstreamLocal(Shown::Whole)),
            "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => text(A::DownstreamLocal(Shown::Ip)),
            "DOWNSTREAM_LOCAL_PORT" => text(A::DownstreamLocal(Shown::Port)),
            "DOWNSTREAM_PEER_URI_SAN" => text(A::PeerIdentity),
            "REQUESTED_SERVER_NAME" => text(A::ServerName),
            "ROUTE_NAME" => text(A::RouteName),
            "TRACE_ID" => text(A::TraceId),
            "SPAN_ID" => text(A::SpanId),
            "UPSTREAM_PEER_URI_SAN" => text(A::EndpointIdentity),
            "HOSTNAME" => text(constant(hostname())),
            "ENVIRONMENT" => {
                let name = argument.ok_or(Some("it takes the name of a variable"))?;
                Ok(Self::Text(constant(std::env::var(name).ok()), None))
            }
            "CEL" => {
                let expression = Expression::compile(argument.unwrap_or_default());
                let expression = expression.map_err(|_| Some("this is no expression"))?;
                Ok(Self::Text(A::Expression(Box::new(expression)), None))
            }
            "FILTER_STATE" => Ok(Self::Text(filter_state(argument)?, None)),
            "DYNAMIC_METADATA" => match argument {
                Some(argument) => Ok(Self::Text(metadata(argument), None)),
                None => Err(Some("it takes the name of a filter")),
            },
            _ => Err(None),
        }
    }

    pub(super) fn write(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        match self {
            Self::Start(clock) => clock.write(record.began, out),
            Self::Number(number) => match number.value(record) {
                Some(number) => drop(write!(out, "{number}")),
                None => out.push(b'-'),
            },
            Self::Text(argument, length) => {
                let start = out.len();
                if !argument.write(record, out) {
                    out.truncate(start);
                    out.push(b'-');
                } else if let Some(length) = length {
                    cut(out, start, *length);
                }
            }
        }
    }

    /// The number that it is, if it is one and there is one. What stands in a header is text.
    pub(super) fn number(&self, record: &Record<'_>) -> Option<u64> {
        match self {
            Self::Number(Number::ServiceTime) => None,
            Self::Number(number) => number.value(record),
            _ => None,
        }
    }

    pub(super) fn needs(&self) -> Needs {
        match self {
            Self::Text(Argument::Header(set, names), _) => {
                let kept = |name: &str| matches!(*set, HeaderSet::Request) && KEPT.contains(&name);
                match kept(&names.first) && names.second.as_ref().is_none_or(|name| kept(name)) {
                    true => Needs::default(),
                    false => Needs::headers(*set),
                }
            }
            Self::Text(Argument::Expression(expression), _) => Needs::of(expression),
            _ => Needs::default(),
        }
    }
}

/// What is kept of every request; an original path is that which was asked for.
const KEPT: [&str; 9] = [
    ":method",
    ":path",
    ":authority",
    ":scheme",
    "host",
    "x-request-id",
    "user-agent",
    "x-forwarded-for",
    "x-envoy-original-path",
];

impl Argument {
    /// Appends it; says whether it was there.
    fn write(&self, record: &Record<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Header(set, names) => {
                let value = header(record, *set, &names.first);
                let value = value.or_else(|| header(record, *set, names.second.as_deref()?));
                put(out, value.as_deref())
            }
            Self::Protocol => put(out, record.version()),
            Self::ResponseDetails => write_details(record, out),
            Self::Termination => put_word(out, record.response.termination),
            Self::LongFlags => write_long_flags(record, out),
            Self::EndpointIdentity => match &record.destination.principal {
                Some(identity) => write!(out, "{identity}").is_ok(),
                None => false,
            },
            Self::SpanId => match record.trace {
                Some(span) => write!(out, "{}", span.span_id).is_ok(),
                None => false,
            },
            Self::ResponseFlags => write!(out, "{}", record.response.flags).is_ok(),
            Self::UpstreamFailure => put_word(out, record.upstream.failure),
            Self::UpstreamHost => match record.upstream.address {
                Some(address) => write!(out, "{address}").is_ok(),
                None => false,
            },
            Self::UpstreamCluster => put(out, record.upstream.cluster),
            Self::UpstreamLocal(shown) => match record.upstream.local {
                Some(address) => shown.write(address, out),
                None => false,
            },
            Self::DownstreamLocal(shown) => shown.write(record.connection.local, out),
            Self::DownstreamRemote(shown) => shown.write(record.connection.peer, out),
            Self::ServerName => put(out, record.connection.server_name),
            Self::RouteName => put(out, record.route),
            Self::PeerIdentity => match &record.source.principal {
                Some(identity) if record.connection.mutual_tls => write!(out, "{identity}").is_ok(),
                _ => false,
            },
            Self::TraceId => match record.trace {
                Some(span) => write!(out, "{}", span.trace_id).is_ok(),
                None => false,
            },
            Self::GrpcStatusName => match record.response.grpc_status {
                Some(status) => match GRPC_NAMES.get(usize::from(status)) {
                    Some(name) => put(out, Some(name)),
                    None => write!(out, "{status}").is_ok(),
                },
                None => false,
            },
            Self::Attribute(attribute) => match record.attribute(*attribute) {
                Some(value) => write!(out, "{value}").is_ok(),
                None => false,
            },
            Self::Expression(expression) => match expression.evaluate(record) {
                Ok(value) => write!(out, "{value}").is_ok(),
                Err(_) => false,
            },
            Self::Constant(text) => put(out, Some(text)),
            Self::Metadata(path) => match record.metadata.and_then(|said| said.get(&path[..])) {
                None => false,
                Some(serde_json::Value::String(text)) => put(out, Some(&text)),
                Some(other) => write!(out, "{other}").is_ok(),
            },
            Self::Nothing => false,
        }
    }
}

impl Number {
    fn value(self, record: &Record<'_>) -> Option<u64> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        match self {
            Self::ResponseCode => Some(record.response.code.into()),
            Self::GrpcStatus => record.response.grpc_status.map(u64::from),
            Self::BytesReceived => Some(record.received),
            Self::BytesSent => Some(record.sent),
            Self::WireReceived => Some(record.received_whole),
            Self::WireSent => Some(record.sent_whole),
            Self::Duration => Some(millis(record.duration)),
            Self::RequestDuration => record.request_duration.map(millis),
            Self::ResponseDuration => record.answered_after.map(millis),
            Self::ResponseTxDuration => {
                let after = record.answered_after?;
                Some(millis(record.duration.saturating_sub(after)))
            }
            Self::Attempts => Some(record.upstream.attempts.into()),
            Self::ServiceTime => record.service_time.map(millis),
        }
    }
}

impl Shown {
    fn write(self, address: std::net::SocketAddr, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Whole => write!(out, "{address}").is_ok(),
            Self::Ip => write!(out, "{}", address.ip()).is_ok(),
            Self::Port => write!(out, "{}", address.port()).is_ok(),
        }
    }
}

fn header<'r>(record: &'r Record<'_>, set: HeaderSet, name: &str) -> Option<Cow<'r, str>> {
    record.header(set, name)
}

/// A denial names its policy, as Envoy's does; there are no spaces in it, since lines are split at them.
fn write_details(record: &Record<'_>, out: &mut Vec<u8>) -> bool {
    let details = record.response.details;
    match record.response.policy {
        Some(policy) if details == "rbac_access_denied" => {
            let policy = policy.replace(' ', "_");
            write!(out, "{details}_matched_policy[{policy}]").is_ok()
        }
        _ => put(out, Some(details)),
    }
}

/// As Envoy writes what may be a sentence: lines are split at spaces.
fn put_word(out: &mut Vec<u8>, text: Option<&str>) -> bool {
    let start = out.len();
    let there = put(out, text);
    for byte in &mut out[start..] {
        if *byte == b' ' {
            *byte = b'_';
        }
    }
    there
}

fn write_long_flags(record: &Record<'_>, out: &mut Vec<u8>) -> bool {
    for (n, flag) in record.response.flags.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        put(out, Some(comma));
        put(out, Some(flag.long_name()));
    }
    !record.response.flags.is_empty()
}

fn put(out: &mut Vec<u8>, text: Option<&str>) -> bool {
    let text = text.unwrap_or_default();
    out.extend_from_slice(text.as_bytes());
    !text.is_empty()
}

/// Cuts what was appended since `start`, between characters.
fn cut(out: &mut Vec<u8>, start: usize, length: usize) {
    let mut end = out.len().min(start.saturating_add(length));
    while end < out.len() && end > start && out[end] & 0b1100_0000 == 0b1000_0000 {
        end -= 1;
    }
    out.truncate(end);
}

fn constant(text: Option<String>) -> Argument {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => Argument::Constant(text.into()),
        None => Argument::Nothing,
    }
}

fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

/// What a filter said of the request: external authorization is the only one here that does; others read as absent.
fn metadata(argument: &str) -> Argument {
    let mut parts = argument.split(':');
    match parts.next() {
        Some("envoy.filters.http.ext_authz") => Argument::Metadata(parts.map(Box::from).collect()),
        _ => Argument::Nothing,
    }
}

/// The objects that Istio's filters leave: the two workloads, whole or by field.
fn filter_state(argument: Option<&str>) -> Result<Argument, Option<&'static str>> {
    let argument = argument.ok_or(Some("it takes the name of an object"))?;
    let mut parts = argument.split(':');
    let object = parts.next().unwrap_or_default();
    let field = match (parts.next(), parts.next()) {
        (Some("FIELD"), Some(field)) => field,
        _ => "workload",
    };
    let field = match field {
        "name" => EndField::Name,
        "workload" => EndField::Workload,
        "type" => EndField::Type,
        "namespace" => EndField::Namespace,
        "identity" => EndField::Principal,
        "service" | "app" => EndField::CanonicalService,
        "revision" | "version" => EndField::CanonicalRevision,
        "cluster" => EndField::Cluster,
        _ => return Err(Some("the object has no such field")),
    };
    match object {
        "downstream_peer" | "wasm.downstream_peer" => Ok(Argument::Attribute(Attribute::SourceEnd(field))),
        "upstream_peer" | "wasm.upstream_peer" => Ok(Argument::Attribute(Attribute::DestinationEnd(field))),
        _ => Ok(Argument::Nothing),
    }
}

/// gRPC's names of its statuses, as `%GRPC_STATUS%` writes them.
const GRPC_NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];
