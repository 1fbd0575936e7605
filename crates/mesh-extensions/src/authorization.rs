//! May a request or connection pass? (`envoy.service.auth.v3.Authorization`)

mod metadata;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderName;
use serde_json::{Map, Value};

use crate::headers::HeaderChange;

/// The method.
pub const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// What is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Who asks.
    pub source: Peer,
    /// Whom it is for.
    pub destination: Peer,
    /// When it came.
    pub time: Option<SystemTime>,
    /// The request; absent for connections.
    pub request: Option<CheckedRequest>,
    /// The name that the client's TLS handshake asks for.
    pub server_name: Option<String>,
}

/// One side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Who it proved to be.
    pub principal: Option<String>,
    /// What it is called.
    pub labels: BTreeMap<String, String>,
}

/// A request that is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedRequest {
    /// Its `x-request-id`.
    pub id: String,
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The host.
    pub host: String,
    /// `http` or `https`.
    pub scheme: String,
    /// `HTTP/1.1`
    pub protocol: String,
    /// Headers by their names in lower case, with the pseudo headers.
    pub headers: BTreeMap<String, String>,
    /// Bytes of the body, if they are known.
    pub size: Option<u64>,
    /// The beginning of its body, or all of it.
    pub body: Option<CheckedBody>,
}

/// A body that is sent along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckedBody {
    /// As text.
    Text(String),
    /// As bytes.
    Bytes(Bytes),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It may pass.
    Allowed(Allowed),
    /// It may not.
    Denied(Denied),
}

/// What changes when a request passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Headers for the destination.
    pub headers: Vec<HeaderChange>,
    /// Headers that are not for the destination.
    pub remove: Vec<HeaderName>,
    /// Headers for the client.
    pub response_headers: Vec<HeaderChange>,
    /// Query parameters for the destination.
    pub query: Vec<(String, String)>,
    /// Query parameters that are not for the destination.
    pub remove_query: Vec<String>,
    /// What is said of the request beside.
    pub metadata: Map<String, Value>,
}

/// The answer to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// gRPC's word for why; never 0.
    pub code: i32,
    /// The status; 403 if absent.
    pub status: Option<u16>,
    /// Its headers.
    pub headers: Vec<HeaderChange>,
    /// Its body.
    pub body: String,
    /// What is said of the request beside.
    pub metadata: Map<String, Value>,
}

#[cfg(test)]
pub(crate) mod tests;
