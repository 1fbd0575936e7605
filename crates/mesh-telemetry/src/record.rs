//! What is known about one request, or one connection that is no HTTP, when it is told: everything borrowed, nothing
//! looked up again. Metrics, logs, traces and expressions all read this one [`Record`].

mod values;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, Version};
use mesh_model::l7::request::Metadata;
use mesh_model::workload::WorkloadType;
use mesh_model::{Service, Workload};
use mesh_types::{Identity, Strng};

use crate::flags::ResponseFlags;
use crate::trace::SpanContext;

/// One request or connection.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When it began.
    pub began: SystemTime,
    /// From its beginning to its end.
    pub duration: Duration,
    /// From its beginning to the last byte of the request.
    pub request_duration: Option<Duration>,
    /// From its beginning to the first byte of the answer.
    pub answered_after: Option<Duration>,
    /// What the endpoint took for the head of its answer.
    pub service_time: Option<Duration>,
    /// The request; absent for connections.
    pub request: Option<Request<'a>>,
    /// The answer.
    pub response: Response<'a>,
    /// Bytes from the client: of the request's body, or of the connection.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
    /// The same with head, trailers and what is around them, as on the wire.
    pub received_whole: u64,
    /// The same to the client.
    pub sent_whole: u64,
    /// The client's connection.
    pub connection: Connection<'a>,
    /// The client's workload.
    pub source: &'a End,
    /// The workload of the endpoint that was used last.
    pub destination: &'a End,
    /// The service that was addressed.
    pub service: Option<&'a ServiceName>,
    /// The endpoint.
    pub upstream: Upstream<'a>,
    /// The route and its rule.
    pub route: Option<&'a str>,
    /// What those who were asked about it said of it.
    pub metadata: Option<&'a Metadata>,
    /// The span that is reported of it, or would be.
    pub trace: Option<&'a SpanContext>,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// Path and query, as asked for.
    pub path: &'a str,
    /// The authority.
    pub authority: &'a str,
    /// The scheme.
    pub scheme: &'a str,
    /// The protocol.
    pub version: Version,
    /// Whether it is one of gRPC.
    pub grpc: bool,
    /// `x-request-id`
    pub id: Option<&'a str>,
    /// `user-agent`
    pub user_agent: Option<&'a str>,
    /// `x-forwarded-for`
    pub forwarded_for: Option<&'a str>,
    /// All headers; absent where nobody said that they are needed ([`crate::Needs`]).
    pub headers: Option<&'a HeaderMap>,
    /// gRPC messages that were not told before, where they were counted.
    pub messages: Option<u64>,
}

/// An answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// The status; 0 when there was none.
    pub code: u16,
    /// The gRPC status.
    pub grpc_status: Option<u8>,
    /// Why it was answered so.
    pub flags: ResponseFlags,
    /// Why, in a word; empty when there is none.
    pub details: &'a str,
    /// The policy that denied it.
    pub policy: Option<&'a str>,
    /// Why the connection was ended.
    pub termination: Option<&'a str>,
    /// Its headers; absent where nobody said that they are needed.
    pub headers: Option<&'a HeaderMap>,
    /// Its trailers; absent where nobody said that they are needed.
    pub trailers: Option<&'a HeaderMap>,
    /// gRPC messages that were not told before, where they were counted.
    pub messages: Option<u64>,
}

/// The client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'a> {
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that the client asked for.
    pub local: SocketAddr,
    /// Whether both ends proved who they are.
    pub mutual_tls: bool,
    /// The server name of the client's TLS.
    pub server_name: Option<&'a str>,
}

/// The endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Upstream<'a> {
    /// Its address.
    pub address: Option<SocketAddr>,
    /// Our address towards it.
    pub local: Option<SocketAddr>,
    /// What it is an endpoint of.
    pub cluster: Option<&'a str>,
    /// What failed towards it.
    pub failure: Option<&'a str>,
    /// Tries, with the first.
    pub attempts: u32,
}

/// One end: a workload as logs and metrics name it. What is `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct End {
    /// The name of the instance: a Pod. Never a label of a metric.
    pub name: Option<Strng>,
    /// The name of the owner: a Deployment.
    pub workload: Option<Strng>,
    /// What kind of owner it is.
    pub kind: Option<WorkloadType>,
    /// The canonical service; also the label `app`.
    pub canonical_service: Option<Strng>,
    /// Its revision; also the label `version`.
    pub canonical_revision: Option<Strng>,
    /// The namespace.
    pub namespace: Option<Strng>,
    /// The identity: proved by a certificate for clients, expected of it for endpoints.
    pub principal: Option<Identity>,
    /// The cluster.
    pub cluster: Option<Strng>,
    /// The region.
    pub region: Option<Strng>,
    /// The zone.
    pub zone: Option<Strng>,
}

/// A service as labels name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceName {
    /// The host name: `destination_service`.
    pub hostname: Strng,
    /// The object's name: `destination_service_name`.
    pub name: Strng,
    /// The namespace: `destination_service_namespace`.
    pub namespace: Strng,
}

// === impl Record ===

impl Record<'_> {
    /// What metrics call its protocol: `grpc`, `http`, or `tcp`.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match &self.request {
            Some(request) if request.grpc => "grpc",
            Some(_) => "http",
            None => "tcp",
        }
    }

    /// What Envoy calls its protocol: `HTTP/1.1`.
    #[must_use]
    pub fn version(&self) -> Option<&'static str> {
        let request = self.request.as_ref()?;
        Some(match request.version {
            Version::HTTP_09 | Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_11 => "HTTP/1.1",
            Version::HTTP_3 => "HTTP/3",
            _ => "HTTP/2",
        })
    }

    /// Whether it failed, as traces see it: no answer, an error of a server, or of gRPC (Envoy, "Tracing", the tag
    /// `error`).
    #[must_use]
    pub fn is_error(&self) -> bool {
        // Cancelled, and what is the caller's own fault, is none.
        const SERVER_ERRORS: [u8; 6] = [2, 4, 12, 13, 14, 15];
        let grpc = self
            .response
            .grpc_status
            .is_some_and(|status| SERVER_ERRORS.contains(&status));
        grpc || self.response.code >= 500 || self.response.code == 0
    }
}

impl<'a> Request<'a> {
    /// A header, by its name in lower case; values of one name are joined.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        let known = match name {
            ":method" => Some(self.method.as_str()),
            ":path" => Some(self.path),
            ":authority" | "host" => Some(self.authority),
            ":scheme" => Some(self.scheme),
            "x-request-id" => self.id,
            "user-agent" => self.user_agent,
            "x-forwarded-for" => self.forwarded_for,
            _ => None,
        };
        if let Some(known) = known {
            return Some(Cow::Borrowed(known));
        }
        joined(self.headers?, name)
    }

    /// The path without its query.
    #[must_use]
    pub fn path_only(&self) -> &'a str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// The query.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.path.split_once('?').map(|(_, query)| query)
    }
}

/// All values of a header, joined by commas as HTTP lets them be (RFC 9110, section 5.3).
#[must_use]
pub fn joined<'a>(headers: &'a HeaderMap, name: &str) -> Option<Cow<'a, str>> {
    let mut values = headers.get_all(name).iter();
    let first = String::from_utf8_lossy(values.next()?.as_bytes());
    let Some(second) = values.next() else {
        return Some(first);
    };
    let mut all = first.into_owned();
    for value in std::iter::once(second).chain(values) {
        all.push(',');
        all.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    Some(Cow::Owned(all))
}

// === impl End ===

impl End {
    /// What the configuration says of a workload; its identity is the one that is expected of it.
    #[must_use]
    pub fn of_workload(workload: &Workload) -> Self {
        let known = |s: &Strng| (!s.is_empty()).then(|| s.clone());
        Self {
            name: known(&workload.name),
            workload: known(&workload.workload_name),
            kind: Some(workload.workload_type),
            canonical_service: known(&workload.canonical_name),
            canonical_revision: known(&workload.canonical_revision),
            namespace: known(workload.namespace()),
            principal: Some(workload.identity.clone()),
            cluster: known(&workload.cluster_id),
            region: known(&workload.locality.region),
            zone: known(&workload.locality.zone),
        }
    }

    /// Whether anything is known beside what a certificate says.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.workload.is_some() || self.canonical_service.is_some() || self.name.is_some()
    }

    /// What kind of owner it is, as Istio writes it.
    #[must_use]
    pub fn kind_name(&self) -> Option<&'static str> {
        Some(match self.kind? {
            WorkloadType::Deployment => "deployment",
            WorkloadType::CronJob => "cronjob",
            WorkloadType::Pod => "pod",
            WorkloadType::Job => "job",
        })
    }
}

// === impl ServiceName ===

impl From<&Service> for ServiceName {
    fn from(service: &Service) -> Self {
        Self {
            hostname: service.hostname.hostname.clone(),
            namespace: service.hostname.namespace.clone(),
            name: service.name.clone(),
        }
    }
}
