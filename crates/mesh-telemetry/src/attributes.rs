//! The one dictionary of attributes: what expressions may name, in Envoy's and Istio's words
//! (Envoy, "Attributes"; Istio, "Telemetry" and "Authorization policy conditions").
//!
//! Policies, log filters, labels of metrics and limits share it. `docs/attributes.md` is made from it.

mod document;
mod table;

pub use document::document;
pub use table::entries;

use crate::cel::Value;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Known at evaluation only.
    Dynamic,
    /// `null`
    Null,
    /// True or false.
    Bool,
    /// A signed integer.
    Int,
    /// An unsigned integer.
    Uint,
    /// A number with a fraction.
    Double,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// A point in time.
    Timestamp,
    /// A span of time.
    Duration,
    /// A list.
    List,
    /// A map.
    Map,
}

/// From when on a value is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Since {
    /// When the connection is there.
    Connection,
    /// When the head of the request is there: policies and limits see these.
    Request,
    /// When an endpoint answered, or the proxy instead.
    Response,
    /// When it is over: logs, metrics and traces see all.
    End,
}

/// One entry of the dictionary.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name in expressions.
    pub name: &'static str,
    /// What it is.
    pub attribute: Attribute,
    /// Its type.
    pub kind: Type,
    /// From when on it is there.
    pub since: Since,
    /// What it says, in a sentence.
    pub text: &'static str,
}

/// What is meant, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    RequestPath,
    RequestUrlPath,
    RequestQuery,
    RequestHost,
    RequestScheme,
    RequestMethod,
    RequestHeaders,
    RequestReferer,
    RequestUserAgent,
    RequestTime,
    RequestId,
    RequestProtocol,
    RequestDuration,
    RequestSize,
    RequestTotalSize,
    ResponseCode,
    ResponseDetails,
    ResponseFlags,
    ResponseFlagNames,
    ResponseGrpcStatus,
    ResponseHeaders,
    ResponseTrailers,
    ResponseSize,
    ResponseTotalSize,
    ResponseBackendLatency,
    SourceAddress,
    SourcePort,
    DestinationAddress,
    DestinationPort,
    ConnectionMtls,
    ConnectionServerName,
    ConnectionPeerCertificate,
    ConnectionTermination,
    UpstreamAddress,
    UpstreamPort,
    UpstreamLocalAddress,
    UpstreamFailure,
    UpstreamAttempts,
    Cluster,
    Route,
    SourceEnd(EndField),
    DestinationEnd(EndField),
    ServiceHost,
    ServiceName,
    ServiceNamespace,
}

/// What is told of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndField {
    Name,
    Workload,
    Type,
    Namespace,
    Principal,
    CanonicalService,
    CanonicalRevision,
    Cluster,
    Region,
    Zone,
}

/// Which headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderSet {
    /// Of the request.
    Request,
    /// Of the answer.
    Response,
    /// After the answer.
    Trailers,
}

/// Where values come from: a finished [`crate::Record`], or what is known of a request that is under way.
pub trait Attributes {
    /// The value; absent when it is not known, or not yet. Headers are asked for with [`Attributes::header`].
    fn attribute(&self, attribute: Attribute) -> Option<Value<'_>>;

    /// One header, by its name in lower case.
    fn header(&self, set: HeaderSet, name: &str) -> Option<std::borrow::Cow<'_, str>>;

    /// The names of all headers of a set.
    fn header_names(&self, set: HeaderSet) -> Vec<std::borrow::Cow<'_, str>>;
}

/// The entry of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.name == name)
}

impl Attribute {
    /// Which headers it is, if it is headers.
    #[must_use]
    pub fn headers(self) -> Option<HeaderSet> {
        Some(match self {
            Self::RequestHeaders => HeaderSet::Request,
            Self::ResponseHeaders => HeaderSet::Response,
            Self::ResponseTrailers => HeaderSet::Trailers,
            _ => return None,
        })
    }
}

impl Type {
    /// Its name in CEL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dynamic => "dyn",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::List => "list",
            Self::Map => "map",
        }
    }
}

#[cfg(test)]
mod tests;
