//! A report as everybody who tells of it sees it.

use std::time::Duration;

use mesh_telemetry::metrics::{EndRef, ServiceRef};
use mesh_telemetry::record::{Connection, Record, Request, Response, Upstream};

use super::Reporting;
use crate::frontend::Frontend;
use crate::telemetry::Report;

/// What is known when a request or connection begins, beside who asks.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Begun<'a> {
    /// The request, normalised; absent for connections.
    pub(crate) request: Option<&'a mesh_model::l7::request::Request<'a>>,
    /// The route and its rule.
    pub(crate) route: Option<&'a str>,
}

impl Reporting {
    /// A request or connection that begins, as expressions see it.
    pub(crate) fn with_begun<R>(
        &self,
        report: &Report,
        begun: &Begun<'_>,
        then: impl FnOnce(&Record<'_>) -> R,
    ) -> R {
        let source = self.client(&report.accepted).0;
        let path = begun.request.map(|request| request.path_and_query());
        self.with_record(report, &source, |record, _, _| {
            let now = record.request.zip(begun.request).zip(path.as_deref());
            let request = now.map(|((known, now), path)| Request {
                method: now.method,
                path,
                authority: now.authority,
                headers: Some(now.headers),
                ..known
            });
            then(&Record {
                request,
                route: begun.route,
                ..*record
            })
        })
    }

    pub(super) fn with_record<R>(
        &self,
        report: &Report,
        source: &EndRef,
        then: impl FnOnce(&Record<'_>, &EndRef, Option<&ServiceRef>) -> R,
    ) -> R {
        self.with_messages(report, None, source, then)
    }

    pub(super) fn with_messages<R>(
        &self,
        report: &Report,
        messages: Option<(u64, u64)>,
        source: &EndRef,
        then: impl FnOnce(&Record<'_>, &EndRef, Option<&ServiceRef>) -> R,
    ) -> R {
        let accepted = &report.accepted;
        let recorder = &self.0.recorder;
        let destination = report.upstream_workload.as_ref();
        let destination = destination.map_or_else(|| recorder.nobody().clone(), |w| recorder.workload(w));
        let service = match &accepted.frontend {
            Frontend::Service { service, .. } => Some(recorder.service(service)),
            Frontend::Workload { .. } | Frontend::Listener { .. } => None,
        };
        let answered_after = report.answered.map(|at| at.duration_since(report.start));
        let record = Record {
            began: report.began,
            duration: report.start.elapsed(),
            request_duration: request_duration(report),
            answered_after,
            service_time: report.service_time(),
            request: report.request.as_ref().map(|line| Request {
                method: &line.method,
                path: line.path.as_str(),
                authority: line.authority.to_str().unwrap_or_default(),
                scheme: accepted.scheme(),
                version: line.version,
                grpc: line.grpc,
                id: line.id.as_ref().and_then(|v| v.to_str().ok()),
                user_agent: line.user_agent.as_ref().and_then(|v| v.to_str().ok()),
                forwarded_for: line.forwarded_for.as_ref().and_then(|v| v.to_str().ok()),
                headers: line.headers.as_ref(),
                messages: messages.map(|(received, _)| received),
            }),
            response: Response {
                code: report.status,
                grpc_status: report.grpc_status,
                flags: report.flags,
                // What ended a connection is said once.
                details: match report.termination {
                    None => report.details,
                    Some(_) => "",
                },
                policy: report.policy.as_deref(),
                termination: report.termination.as_deref(),
                headers: report.response_headers.as_ref(),
                trailers: report.trailers.as_ref(),
                messages: messages.map(|(_, sent)| sent),
            },
            received: report.received,
            sent: report.sent,
            received_whole: report.received
                + report.received_around
                + report.request.as_ref().map_or(0, |line| line.bytes),
            sent_whole: report.sent + report.sent_around,
            connection: Connection {
                peer: accepted.client.peer.addr(),
                local: accepted.client.destination,
                mutual_tls: accepted.client.identity.is_some(),
                server_name: accepted.client.server_name.as_deref(),
            },
            source: source.end(),
            destination: destination.end(),
            service: service.as_ref().map(|service| service.service().as_ref()),
            upstream: Upstream {
                address: report.upstream,
                local: report.upstream_local,
                cluster: report.upstream_cluster.as_deref(),
                failure: report.upstream_failure.as_deref(),
                attempts: report.attempts,
            },
            route: report.route.as_deref(),
            metadata: report.metadata.as_ref(),
            trace: report.trace.as_ref(),
        };
        then(&record, &destination, service.as_ref())
    }
}

/// From the beginning to the last byte of the request.
fn request_duration(report: &Report) -> Option<Duration> {
    report.request.as_ref()?;
    let ended = report.request_ended.unwrap_or(report.start);
    Some(ended.saturating_duration_since(report.start))
}
