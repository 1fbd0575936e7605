//! The story of one connection: one access log line and one set of metrics.
//!
//! # Layout
//! - this file: [`ConnectionRecord`], from open to finish, and the log lines.
//! - `labels`: who the two ends are, as metrics and logs name them.
//! - `outcome`: how a connection ended; the closed set of reasons.
//! - `traffic`: the `istio_tcp_*` metrics.
//!
//! Names, keys and values are upstream's, so that dashboards and log pipelines keep working; the keys `policy` on denials
//! and `dst.waypoint_skipped` on connections that went past a missing waypoint are ours. Keys, in the order of the line: `src.{addr, workload, namespace, identity, cluster}`,
//! `dst.{addr, hbone_addr, service, workload, namespace, identity, cluster}`, `direction`, `bytes_sent`, `bytes_recv`,
//! `duration`, `error`, `policy`. What is unknown is left out. Lines have the target `access`: INFO once at the end,
//! ERROR if the connection failed, DEBUG when it opens, WARN when it was refused before anything was known about it.

mod labels;
mod outcome;
mod traffic;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use mesh_net::RelayCounters;
use mesh_types::{Authority, NamespacedName, Peer, Strng};
use tokio::time::Instant;
use tracing::Level;

pub use labels::{End, Reporter, Security, ServiceName, TrafficLabels};
pub use outcome::{Failure, Outcome, ResponseFlag};
pub use traffic::{SocketGuard, Traffic};

use traffic::OpenSeries;

/// What is known about a connection when it opens.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Which proxy reports: the client's or the server's.
    pub reporter: Reporter,
    /// How the connection is secured on the wire.
    pub security: Security,
    /// The client's address.
    pub src: Peer,
    /// Where the connection goes at layer 4: the next hop (outbound), the address it was accepted at (inbound).
    pub dst: SocketAddr,
    /// The authority of the CONNECT request.
    pub hbone_target: Option<Authority>,
    /// The client's workload.
    pub source: End,
    /// The server's workload.
    pub destination: End,
    /// The service that was addressed.
    pub service: Option<ServiceName>,
    /// When the connection was accepted.
    pub start: Instant,
}

/// An open connection, as metrics and logs see it. [`ConnectionRecord::finish`] tells how it ended, once; dropped
/// without that, it ended because the proxy drained.
#[derive(Debug)]
pub struct ConnectionRecord {
    traffic: Traffic,
    series: OpenSeries,
    src: Peer,
    dst: SocketAddr,
    hbone_target: Option<Authority>,
    source_name: Option<Strng>,
    destination_name: Option<Strng>,
    waypoint_skipped: Option<Box<str>>,
    start: Instant,
    finished: bool,
}

/// The one list of fields of an access log line.
macro_rules! access_event {
    ($level:expr, $record:expr, $message:literal $(, $key:ident = $value:expr)* $(,)?) => {{
        let labels = $record.series.labels();
        let mutual = labels.security == Security::MutualTls;
        tracing::event!(
            target: "access",
            parent: None,
            $level,
            src.addr = %$record.src,
            src.workload = $record.source_name.as_deref(),
            src.namespace = labels.source.namespace.as_deref(),
            src.identity = labels.source.principal.as_ref().filter(|_| mutual).map(ToString::to_string),
            src.cluster = labels.source.cluster.as_deref(),
            dst.addr = %$record.dst,
            dst.hbone_addr = $record.hbone_target.as_ref().map(display),
            dst.service = labels.service.as_ref().map(|s| s.hostname.as_str()),
            dst.workload = $record.destination_name.as_deref(),
            dst.namespace = labels.destination.namespace.as_deref(),
            dst.identity = labels.destination.principal.as_ref().filter(|_| mutual).map(ToString::to_string),
            dst.cluster = labels.destination.cluster.as_deref(),
            dst.waypoint_skipped = $record.waypoint_skipped.as_deref(),
            direction = labels.reporter.direction(),
            $($key = $value,)*
            $message
        );
    }};
}

impl ConnectionRecord {
    /// Counts the connection as opened. Everything that metrics need later is looked up here, once.
    #[must_use]
    pub fn open(traffic: &Traffic, opening: Opening) -> Self {
        let name = |end: &End| end.name.clone().or_else(|| end.canonical_service.clone());
        let (source_name, destination_name) = (name(&opening.source), name(&opening.destination));
        let labels = TrafficLabels {
            reporter: opening.reporter,
            source: opening.source.without_name(),
            destination: opening.destination.without_name(),
            service: opening.service,
            flag: ResponseFlag::None,
            security: opening.security,
        };
        let record = Self {
            series: traffic.open(labels),
            traffic: traffic.clone(),
            src: opening.src,
            dst: opening.dst,
            hbone_target: opening.hbone_target,
            source_name,
            destination_name,
            waypoint_skipped: None,
            start: opening.start,
            finished: false,
        };
        access_event!(Level::DEBUG, record, "connection opened");
        record
    }

    /// Says in the connection's line that it goes past its destination's waypoint: which one, and why.
    #[must_use]
    pub fn past_waypoint(mut self, waypoint: &str, why: &dyn fmt::Display) -> Self {
        self.waypoint_skipped = Some(format!("{waypoint} {why}").into());
        self
    }

    /// The counters for the relay; metrics read them while the connection is open.
    #[must_use]
    pub fn counters(&self) -> &Arc<RelayCounters> {
        self.series.counters()
    }

    /// Counts the connection as closed and writes its line.
    pub fn finish(mut self, outcome: &Outcome) {
        self.record(outcome);
    }

    fn record(&mut self, outcome: &Outcome) {
        self.finished = true;
        self.traffic.close(&self.series, outcome.flag());
        let counters = self.series.counters();
        let (sent, received) = match self.series.labels().reporter {
            Reporter::Source => (counters.to_up(), counters.to_down()),
            Reporter::Destination => (counters.to_down(), counters.to_up()),
        };
        let elapsed = self.start.elapsed().as_millis();
        match outcome {
            Outcome::Complete => access_event!(
                Level::INFO,
                self,
                "connection complete",
                bytes_sent = sent,
                bytes_recv = received,
                duration = format!("{elapsed}ms"),
            ),
            Outcome::Broken { error } => access_event!(
                Level::INFO,
                self,
                "connection complete",
                bytes_sent = sent,
                bytes_recv = received,
                duration = format!("{elapsed}ms"),
                error = error.as_ref(),
            ),
            Outcome::Drained | Outcome::Failed(_) => access_event!(
                Level::ERROR,
                self,
                "connection complete",
                bytes_sent = sent,
                bytes_recv = received,
                duration = format!("{elapsed}ms"),
                error = outcome.to_string(),
                policy = outcome.policy().map(ToString::to_string),
            ),
        }
    }
}

impl Drop for ConnectionRecord {
    fn drop(&mut self) {
        if !self.finished {
            self.record(&Outcome::Drained);
        }
    }
}

/// Logs and counts a connection that was refused before enough was known about it for a [`ConnectionRecord`]. `reason`
/// is the closed word for metrics, `error` the sentence for people.
pub fn refused_early(
    traffic: &Traffic,
    reporter: Reporter,
    src: Peer,
    dst: SocketAddr,
    reason: &'static str,
    error: &dyn fmt::Display,
) {
    traffic.refused_early(reporter, reason);
    tracing::event!(
        target: "access",
        parent: None,
        Level::WARN,
        src.addr = %src,
        dst.addr = %dst,
        direction = reporter.direction(),
        error = error.to_string(),
        "connection failed"
    );
}

/// [`refused_early`] for a policy's denial.
pub fn denied_early(
    traffic: &Traffic,
    reporter: Reporter,
    src: Peer,
    dst: SocketAddr,
    policy: Option<&NamespacedName>,
    error: &dyn fmt::Display,
) {
    traffic.refused_early(reporter, "policy");
    tracing::event!(
        target: "access",
        parent: None,
        Level::WARN,
        src.addr = %src,
        dst.addr = %dst,
        direction = reporter.direction(),
        error = error.to_string(),
        policy = policy.map(ToString::to_string),
        "connection failed"
    );
}

#[cfg(test)]
mod tests;
