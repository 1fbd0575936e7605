//! Where requests and connections are reported: one [`Report`] each, when it is over.
//!
//! This is the seam for metrics, access logs and traces: whatever they need is a field of a report, filled in where it
//! becomes known; nobody looks anything up again. [`Telemetry::finished`] is called exactly once for each request and
//! each connection, however it ended.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::{Method, StatusCode, Version};
use mesh_model::Workload;
use mesh_types::{Peer, Strng};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::time::Instant;
use tracing::Level;

use crate::connection::Accepted;
use crate::flags::ResponseFlags;

/// Takes reports. Clones are the same.
#[derive(Clone)]
pub struct Telemetry {
    refused: IntCounterVec,
    observer: Option<Observer>,
}

/// Sees every report.
pub type Observer = Arc<dyn Fn(&Report) + Send + Sync>;

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
    /// What failed towards the endpoint (`%UPSTREAM_TRANSPORT_FAILURE_REASON%`).
    pub upstream_failure: Option<String>,
    /// Bytes of the body from the client.
    pub received: u64,
    /// Bytes of the body to the client.
    pub sent: u64,
    /// When the endpoint's answer began.
    pub answered: Option<Instant>,
    /// The endpoint that was used last.
    pub upstream: Option<SocketAddr>,
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
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct RequestLine {
    /// The method.
    pub method: Method,
    /// The path with its query, as it was asked for.
    pub path: Strng,
    /// The authority.
    pub authority: Strng,
    /// The protocol.
    pub version: Version,
    /// Whether it is one of gRPC.
    pub grpc: bool,
    /// Its `x-request-id`.
    pub id: Option<Strng>,
    /// Its `user-agent`.
    pub user_agent: Option<Strng>,
    /// Its `x-forwarded-for`.
    pub forwarded_for: Option<Strng>,
}

impl Telemetry {
    /// Counts into this registry.
    ///
    /// # Panics
    /// When the registry has such metrics already.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let refused = IntCounterVec::new(
            Opts::new(
                "lateen_waypoint_refused_total",
                "Connections and tunnels that were refused before anything was served",
            ),
            &["reason"],
        )
        .expect("constant names are valid");
        registry
            .register(Box::new(refused.clone()))
            .expect("one waypoint counts into a registry");
        Self {
            refused,
            observer: None,
        }
    }

    /// With somebody who sees every report.
    #[must_use]
    pub fn observed_by(self, observer: Observer) -> Self {
        Self {
            observer: Some(observer),
            ..self
        }
    }

    /// A connection or tunnel that means nothing here. `reason` is the closed word for metrics.
    pub fn refused(&self, peer: Peer, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
        tracing::event!(target: "access", parent: None, Level::INFO, src.addr = %peer, error = reason, "connection refused");
    }

    /// A request or connection is over.
    pub fn finished(&self, report: &Report) {
        if let Some(observer) = &self.observer {
            observer(report);
        }
        let duration = report.start.elapsed().as_millis();
        let request = report.request.as_ref();
        tracing::event!(
            target: "access",
            parent: None,
            Level::INFO,
            src.addr = %report.accepted.client.peer,
            src.identity = report.accepted.client.identity.as_ref().map(tracing::field::display),
            method = request.map(|r| r.method.as_str()),
            path = request.map(|r| r.path.as_str()),
            authority = request.map(|r| r.authority.as_str()),
            status = report.status,
            flags = %report.flags,
            details = &*report.code_details(),
            policy = report.policy.as_deref(),
            audited = report.audited.as_deref(),
            dry_run = report.dry_run.as_deref(),
            bytes_received = report.received,
            bytes_sent = report.sent,
            duration = %format_args!("{duration}ms"),
            upstream = report.upstream.as_ref().map(tracing::field::display),
            attempts = report.attempts,
            route = report.route.as_deref(),
            error = report.upstream_failure.as_deref(),
            "request"
        );
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
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
            answered: None,
            upstream: None,
            upstream_workload: None,
            upstream_cluster: None,
            attempts: 0,
            route: None,
            policy: None,
            audited: None,
            dry_run: None,
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
}
