//! What is told about a request or connection, however it ends: once, at the latest when it is dropped.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;
use http_body::SizeHint;
use mesh_telemetry::metrics::{ByteCounts, OpenFlow};
use mesh_telemetry::plan::Plan;
use mesh_telemetry::trace::request_id::REQUEST_ID;
use tokio::time::Instant;

use super::tail::Counted;
use crate::body::Replay;
use crate::body::passed::{self, Direction, Framing, Passed};
use crate::filters::identity::request_id;
use crate::flags::ResponseFlag;
use crate::reply::LocalReply;
use crate::telemetry::{Call, Report, Reporting, RequestLine};
use crate::upstream::{Cluster, Endpoint};

/// A report that is going to be made. Dropped without [`Story::complete`], the client went away.
#[derive(Debug)]
pub struct Story {
    telemetry: Option<Reporting>,
    /// What is told of it, and how; absent before that is known.
    plan: Option<Rc<Plan>>,
    report: Option<Box<Report>>,
    complete: bool,
    /// Counts as long as this lasts.
    active: Option<Counted>,
    /// What comes of the request's body.
    body: Option<Replay>,
    /// What has gone of the answer's.
    sent: Passed,
    /// Of gRPC.
    call: Option<Rc<Call>>,
}

impl Story {
    /// Of what begins.
    #[must_use]
    pub fn new(telemetry: Reporting, report: Report) -> Self {
        Self {
            telemetry: Some(telemetry),
            plan: None,
            report: Some(Box::new(report)),
            complete: false,
            active: None,
            body: None,
            sent: Passed::default(),
            call: None,
        }
    }

    /// Of nothing: nobody is told of it.
    #[must_use]
    pub(crate) fn none() -> Self {
        Self {
            telemetry: None,
            plan: None,
            report: None,
            complete: true,
            active: None,
            body: None,
            sent: Passed::default(),
            call: None,
        }
    }

    /// The same; it counts as active until its end.
    #[must_use]
    pub(crate) fn holding(mut self, active: Counted) -> Self {
        self.active = Some(active);
        self
    }

    /// What is told of it, and how.
    pub fn planned(&mut self, plan: Rc<Plan>) {
        self.plan = Some(plan);
    }

    /// What is told of it, and how.
    #[must_use]
    pub fn plan(&self) -> Option<&Rc<Plan>> {
        self.plan.as_ref()
    }

    /// A policy on trial would have done this, in a word that is the same for all that do.
    pub(crate) fn on_trial(&self, would: &'static str) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.on_trial(would);
        }
    }

    /// What comes of the request's body is counted; `framing` is what is around it.
    pub fn receiving(&mut self, body: &Replay, framing: Framing) {
        body.count(|passed| {
            passed.framed(framing);
            if let Some(call) = &self.call {
                passed.counted(call.clone(), Direction::FromClient);
            }
        });
        self.body = Some(body.clone());
    }

    /// What passes is gRPC, and not to be seen.
    pub(crate) fn count_no_messages(&mut self) {
        self.sent.uncounted();
        if let (Some(call), Some(telemetry)) = (self.call.take(), &self.telemetry) {
            telemetry.forget(&call);
        }
    }

    /// This endpoint is asked.
    pub(crate) fn asking(&mut self, endpoint: &Endpoint) {
        self.attempts += 1;
        self.asked = Some(Instant::now());
        self.upstream = Some(endpoint.address);
        self.upstream_workload.clone_from(&endpoint.workload);
        if let Some(call) = &self.call {
            call.goes_to(endpoint.workload.as_ref());
        }
    }

    /// Nobody may be asked: told and counted where that is because all are in other networks.
    pub(crate) fn nobody_at(&mut self, cluster: &Cluster) {
        let Some(elsewhere) = cluster.only_elsewhere() else {
            return;
        };
        if let Some(telemetry) = &self.telemetry {
            telemetry.elsewhere();
        }
        let why = format!("in other networks, to which there is no way: all {elsewhere} endpoints");
        self.upstream_failure = Some(why);
    }

    /// What is asked for. The context of its trace goes on in these headers, which are those that go to the endpoint.
    pub fn asked_for(&mut self, mut line: RequestLine, headers: &mut HeaderMap) {
        if line.id.is_none() {
            let id = request_id();
            headers.insert(REQUEST_ID, id.clone());
            line.id = Some(id);
        }
        if let Some(plan) = self.plan.clone() {
            if plan.needs.request_headers {
                line.headers = Some(headers.clone());
            }
            if plan.tracer.is_some()
                && let Some(telemetry) = self.telemetry.clone()
            {
                telemetry.trace(&plan, self, headers);
                line.id = headers.get(REQUEST_ID).cloned();
            }
            if line.grpc
                && let Some(telemetry) = &self.telemetry
            {
                let call = telemetry.call(&self.accepted, &plan);
                self.sent.counted(call.clone(), Direction::ToClient);
                self.call = Some(call);
            }
        }
        self.request = Some(line);
    }

    /// This head goes to the client; `size` is what is known of its body.
    pub fn answering(&mut self, head: &http::response::Parts, size: &SizeHint) {
        if self.plan.as_ref().is_some_and(|plan| plan.needs.response_headers) {
            self.response_headers = Some(head.headers.clone());
        }
        let version = self
            .request
            .as_ref()
            .map_or(http::Version::HTTP_11, |line| line.version);
        let framing = Framing::of_answer(version, head, size);
        self.sent.framed(framing);
        self.sent.around += passed::answer_head(version, head, framing, size);
    }

    /// These bytes of its body go to the client.
    pub fn went(&mut self, data: &[u8]) {
        self.sent.data(data);
    }

    /// These trailers go to the client.
    pub fn trailing(&mut self, trailers: &HeaderMap) {
        self.sent.end(Some(trailers));
        if self.plan.as_ref().is_some_and(|plan| plan.needs.trailers) {
            self.trailers = Some(trailers.clone());
        }
    }

    /// It is answered from here.
    pub fn reply(&mut self, reply: &LocalReply) {
        self.answered_with(reply.status);
        self.details = reply.details;
        if let Some(flag) = reply.flag {
            self.flags.add(flag);
        }
    }

    /// A connection that is no HTTP has reached its endpoint; its bytes count as long as the answer is held.
    pub(crate) fn open(&mut self, counts: impl ByteCounts + 'static) -> Option<OpenFlow> {
        let (telemetry, plan) = (self.telemetry.clone()?, self.plan.clone()?);
        self.opened = true;
        Some(telemetry.opened(&plan, self, Arc::new(counts)))
    }

    /// It did not begin after all: nothing is told.
    pub fn forget(mut self) {
        self.complete = true;
        self.telemetry = None;
    }

    /// It came to its end.
    pub fn complete(mut self) {
        self.complete = true;
    }
}

impl Deref for Story {
    type Target = Report;

    fn deref(&self) -> &Report {
        self.report.as_ref().expect("it is taken when it is dropped")
    }
}

impl DerefMut for Story {
    fn deref_mut(&mut self) -> &mut Report {
        self.report.as_mut().expect("it is taken when it is dropped")
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if !self.complete {
            self.flags.add(ResponseFlag::DownstreamConnectionTermination);
            self.details = "downstream_remote_disconnect";
        }
        let (Some(telemetry), Some(mut report)) = (self.telemetry.take(), self.report.take()) else {
            return;
        };
        let received = self.body.take().map(|body| body.passed()).unwrap_or_default();
        if self.complete {
            self.sent.end(None);
        }
        report.request_ended = received.ended;
        report.received += received.bytes;
        report.received_around += received.around;
        report.sent += self.sent.bytes;
        report.sent_around += self.sent.around;
        telemetry.finished(report, self.plan.take(), self.call.take());
    }
}
