//! Load of HTTP, and what answers it: as little work a request as the kernel lets a program have.
//!
//! A proxy is only measured as fast as it is asked, so both ends here are one loop over epoll each, without a runtime,
//! with requests and answers that were written down beforehand. They check what they get: an answer that is not a whole
//! 200 ends the load with an error.
//!
//! # Layout
//! - this file: what a load is, and what came of it.
//! - [`client`]: the near end: connections, pace, latencies.
//! - [`origin`]: the far end: answers HTTP/1.1 and HTTP/2 on one port.
//! - [`tunnels`]: both ends of the same inside tunnels of the mesh.
//! - [`http1`], [`http2`]: what is written and read, without sockets.
//! - [`histogram`]: the latencies of a load.
//! - [`cores`]: who runs where.

pub mod client;
pub mod cores;
pub mod histogram;
pub mod http1;
pub mod http2;
pub mod origin;
mod socket;
pub mod tunnels;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use histogram::Histogram;

/// What is asked, and how often.
#[derive(Clone, Debug)]
pub struct Load {
    /// Whom.
    pub to: SocketAddr,
    /// In which language.
    pub protocol: Protocol,
    /// On so many connections, each with one request at a time.
    pub connections: usize,
    /// For so long.
    pub length: Duration,
    /// When the next request is asked.
    pub pace: Pace,
}

/// When the next request is asked.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As soon as a connection has its answer.
    Closed,
    /// So many times a second, evenly, whatever becomes of the answers. A request that finds no connection free waits,
    /// and its wait counts.
    Open(f64),
}

/// The protocol of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// HTTP/1.1, kept connections, no pipelining.
    Http1,
    /// HTTP/2 without TLS.
    Http2,
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Answers that came in time.
    pub requests: u64,
    /// How long it took.
    pub seconds: f64,
    /// From when a request was due until its answer was there.
    pub latency: Histogram,
}

impl Outcome {
    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

/// The body of every answer: what a small object of an API looks like.
pub const BODY: usize = 1024;
