//! The body of an answer on its way to the client, and what ends with it.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Response};
use mesh_balance::Permit;

use super::clock::Deadline;
use super::story::Story;
use crate::body::memory::Unsent;
use crate::body::{Body, BodyError, Watch};
use crate::exchange::Exchange;
use crate::filters::authorization::exchange_denied;
use crate::flags::ResponseFlag;
use crate::route::Rule;
use crate::standing::{Denied, Hearing, Standing};
use crate::upstream::call::Busy;
use crate::upstream::http::Lease;

/// Counts something while it is held.
#[derive(Debug)]
pub(crate) struct Counted(Rc<Cell<u32>>);

/// What is counted at an endpoint and its destination while an answer lasts.
pub(crate) enum Held {
    /// A request is under way there.
    Busy(#[expect(dead_code, reason = "held for what its end does")] Busy),
    /// One of those that there may be.
    Permit(#[expect(dead_code, reason = "held for what its end does")] Permit),
}

/// What lasts as long as an answer.
pub(crate) struct Tail {
    /// `None` after the end.
    pub(crate) story: Option<Story>,
    /// The endpoint's connection.
    pub(crate) lease: Option<Lease>,
    /// When its time is over.
    pub(super) deadline: Option<Deadline>,
    /// Ends it when it is not allowed any more.
    pub(super) lasting: Option<Lasting>,
    /// The endpoint's and the destination's books.
    pub(crate) counted: Vec<Held>,
    /// What the client has not taken of it, with everything else on its connection; how much of it was given.
    pub(crate) unsent: Option<(Rc<Unsent>, usize)>,
}

/// How it is known of an answer that it is still allowed.
pub(super) enum Lasting {
    /// It may last.
    Long(Standing),
    /// It is short, and over at once if nobody takes their time.
    Short {
        exchange: Box<Exchange>,
        rule: Option<Rule>,
        hearing: Hearing,
    },
}

/// An answer from here.
pub(super) fn local(story: Story, response: Response<Body>) -> Response<Body> {
    let tail = Tail {
        story: Some(story),
        lease: None,
        deadline: None,
        lasting: None,
        counted: Vec::new(),
        unsent: None,
    };
    response.map(|body| body.watched(tail))
}

impl Watch for Tail {
    fn data(&mut self, data: &[u8]) {
        if let Some(story) = &mut self.story {
            story.went(data);
        }
        if let Some((unsent, given)) = &mut self.unsent {
            unsent.handed(data.len());
            *given += data.len();
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(story) = &mut self.story {
            story.grpc_status = grpc_status(trailers).or(story.grpc_status);
            story.trailing(trailers);
        }
    }

    fn ended(&mut self, result: Result<(), &BodyError>) {
        let Some(mut story) = self.story.take() else {
            return;
        };
        match result {
            Ok(()) => {
                if let Some(lease) = self.lease.take() {
                    lease.done();
                }
            }
            Err(BodyError::TimedOut) => {
                story.flags.add(ResponseFlag::UpstreamRequestTimeout);
                story.details = "response_timeout";
            }
            Err(BodyError::Denied) => {
                // Which policy was noted when it was found.
                story.flags.add(ResponseFlag::LocalReset);
            }
            Err(BodyError::Processing) => {
                story.flags.add(ResponseFlag::LocalReset);
                story.details = "ext_proc_error";
            }
            Err(error) => {
                story.flags.add(ResponseFlag::UpstreamConnectionTermination);
                story.details = "upstream_reset_after_response_started";
                story.upstream_failure = Some(error.to_string());
            }
        }
        self.counted.clear();
        story.complete();
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.unsent {
            Some((unsent, _)) => unsent.poll_ready(cx),
            None => Poll::Ready(()),
        }
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        if let Some(lasting) = &mut self.lasting
            && let Poll::Ready(denied) = lasting.poll_revoked(cx)
        {
            if let Some(story) = &mut self.story {
                story.policy = Some(denied.policy);
                story.details = denied.details;
            }
            return Poll::Ready(BodyError::Denied);
        }
        match &mut self.deadline {
            Some(deadline) => deadline.poll(cx).map(|()| BodyError::TimedOut),
            None => Poll::Pending,
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // Before its end: what waited is thrown away, at most as much as a stream may have waiting.
        if self.story.is_some()
            && let Some((unsent, given)) = self.unsent.take()
        {
            unsent.lost(given.min(SEND_BUFFER));
        }
        // Nobody took it, and the connection ended for that.
        if let Some(Lasting::Long(standing)) = &self.lasting
            && let Some(denied) = standing.denied()
            && let Some(mut story) = self.story.take()
        {
            story.policy = Some(denied.policy);
            story.details = denied.details;
            story.flags.add(ResponseFlag::LocalReset);
            story.complete();
        }
    }
}

/// [`crate::settings::Settings::send_buffer`], as it is unless somebody changes it.
const SEND_BUFFER: usize = 256 * 1024;

/// The status in headers or trailers.
pub(super) fn grpc_status(headers: &HeaderMap) -> Option<u8> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

impl Lasting {
    fn poll_revoked(&mut self, cx: &mut Context<'_>) -> Poll<Denied> {
        match self {
            Self::Long(standing) => standing.poll_revoked(cx),
            Self::Short {
                exchange,
                rule,
                hearing,
            } => loop {
                ready!(hearing.poll_changed(cx));
                if let Some(denied) = exchange_denied(exchange, rule.as_ref()) {
                    return Poll::Ready(denied);
                }
                exchange.renew(rule.as_ref());
            },
        }
    }
}

impl Counted {
    pub(crate) fn new(counter: &Rc<Cell<u32>>) -> Self {
        counter.set(counter.get() + 1);
        Self(counter.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
