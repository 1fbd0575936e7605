//! What is told about a request or connection, however it ends: once, at the latest when it is dropped.

use std::ops::{Deref, DerefMut};

use super::tail::Counted;
use crate::flags::ResponseFlag;
use crate::reply::LocalReply;
use crate::telemetry::{Report, Telemetry};

/// A report that is going to be made. Dropped without [`Story::complete`], the client went away.
#[derive(Debug)]
pub struct Story {
    telemetry: Option<Telemetry>,
    report: Box<Report>,
    complete: bool,
    /// Counts as long as this lasts.
    active: Option<Counted>,
}

impl Story {
    /// Of what begins.
    #[must_use]
    pub fn new(telemetry: Telemetry, report: Report) -> Self {
        Self {
            telemetry: Some(telemetry),
            report: Box::new(report),
            complete: false,
            active: None,
        }
    }

    /// The same; it counts as active until its end.
    #[must_use]
    pub(crate) fn holding(mut self, active: Counted) -> Self {
        self.active = Some(active);
        self
    }

    /// It is answered from here.
    pub fn reply(&mut self, reply: &LocalReply) {
        self.report.answered_with(reply.status);
        self.report.details = reply.details;
        if let Some(flag) = reply.flag {
            self.report.flags.add(flag);
        }
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
        &self.report
    }
}

impl DerefMut for Story {
    fn deref_mut(&mut self) -> &mut Report {
        &mut self.report
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if !self.complete {
            self.report
                .flags
                .add(ResponseFlag::DownstreamConnectionTermination);
            self.report.details = "downstream_remote_disconnect";
        }
        if let Some(telemetry) = &self.telemetry {
            telemetry.finished(&self.report);
        }
    }
}
