//! What is told about one request or connection: everything is filled in where it becomes known.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use mesh_model::Workload;
use mesh_model::l7::request::Metadata;
use mesh_telemetry::trace::SpanContext;
use mesh_types::Strng;
use tokio::time::Instant;

use crate::connection::Accepted;
use crate::flags::ResponseFlags;

/// What is told about one request, or one connection that is no HTTP.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who asked, and for what.
    pub accepted: Arc<Accepted>,
    /// When it began, for people.
    pub began: SystemTime,
    /// When it began, for durations.
    pub start: Instant,
    /// The request; absent for connections.
    pub request: Option<RequestLine>,
    /// The status of the answer; 0 when there was none.
    pub status: u16,
    /// The gRPC status, where the answer has one.
    pub grpc_status: Option<u8>,
    /// Why it was answered so.
    pub flags: ResponseFlags,
    /// Why, in a word (`%RESPONSE_CODE_DETAILS%`).
    pub details: &'static str,
    /// Why the connection was ended (`%CONNECTION_TERMINATION_DETAILS%`).
    pub termination: Option<Cow<'static, str>>,
    /// What failed towards the endpoint (`%UPSTREAM_TRANSPORT_FAILURE_REASON%`).
    pub upstream_failure: Option<String>,
    /// Bytes of the body from the client.
    pub received: u64,
    /// Bytes of the body to the client.
    pub sent: u64,
    /// What was around them: the head, chunks or frames, trailers.
    pub received_around: u64,
    /// What was around those to the client.
    pub sent_around: u64,
    /// When the last byte of the request came.
    pub request_ended: Option<Instant>,
    /// When the endpoint's answer began.
    pub answered: Option<Instant>,
    /// The endpoint that was used last.
    pub upstream: Option<SocketAddr>,
    /// Our address towards it.
    pub upstream_local: Option<SocketAddr>,
    /// Its workload.
    pub upstream_workload: Option<Arc<Workload>>,
    /// What it is an endpoint of.
    pub upstream_cluster: Option<Strng>,
    /// Tries, with the first.
    pub attempts: u32,
    /// The route, and its rule.
    pub route: Option<Strng>,
    /// The policy that denied it, and its rule.
    pub policy: Option<Strng>,
    /// AUDIT rules that matched.
    pub audited: Option<Strng>,
    /// What policies on trial would have done.
    pub dry_run: Option<Strng>,
    /// What those who were asked about it said of it.
    pub metadata: Option<Metadata>,
    /// The headers of the answer, where somebody needs them.
    pub response_headers: Option<HeaderMap>,
    /// Its trailers, where somebody needs them.
    pub trailers: Option<HeaderMap>,
    /// The span that is reported of it.
    pub trace: Option<SpanContext>,
    /// When the endpoint that was used last was asked.
    pub asked: Option<Instant>,
    /// Of a connection: it reached an endpoint, and was counted as opened.
    pub opened: bool,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct RequestLine {
    /// The method.
    pub method: Method,
    /// The path with its query, as it was asked for.
    pub path: PathAndQuery,
    /// The authority.
    pub authority: HeaderValue,
    /// The protocol.
    pub version: Version,
    /// Bytes of its head on the wire.
    pub bytes: u64,
    /// Whether it is one of gRPC.
    pub grpc: bool,
    /// Its `x-request-id`.
    pub id: Option<HeaderValue>,
    /// Its `user-agent`.
    pub user_agent: Option<HeaderValue>,
    /// Its `x-forwarded-for`.
    pub forwarded_for: Option<HeaderValue>,
    /// All its headers, where somebody needs them.
    pub headers: Option<HeaderMap>,
}

impl Report {
    /// Of something that begins now.
    #[must_use]
    pub fn new(accepted: Arc<Accepted>) -> Self {
        Self {
            accepted,
            began: SystemTime::now(),
            start: Instant::now(),
            request: None,
            status: 0,
            grpc_status: None,
            flags: ResponseFlags::NONE,
            details: "",
            upstream_failure: None,
            received: 0,
            sent: 0,
            received_around: 0,
            sent_around: 0,
            request_ended: None,
            answered: None,
            upstream: None,
            upstream_local: None,
            termination: None,
            upstream_workload: None,
            upstream_cluster: None,
            attempts: 0,
            route: None,
            policy: None,
            audited: None,
            dry_run: None,
            metadata: None,
            response_headers: None,
            trailers: None,
            trace: None,
            asked: None,
            opened: false,
        }
    }

    /// `%RESPONSE_CODE_DETAILS%`: with the policy and the rule where one denied it, in Envoy's form.
    #[must_use]
    pub fn code_details(&self) -> Cow<'static, str> {
        match &self.policy {
            Some(policy) if self.details == "rbac_access_denied" => {
                let policy = policy.replace(' ', "_");
                format!("rbac_access_denied_matched_policy[{policy}]").into()
            }
            _ => self.details.into(),
        }
    }

    /// The answer's status.
    pub fn answered_with(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        self.answered = Some(Instant::now());
    }

    /// How long the endpoint took for the head of its answer.
    #[must_use]
    pub fn service_time(&self) -> Option<Duration> {
        Some(self.answered?.duration_since(self.asked?))
    }
}
