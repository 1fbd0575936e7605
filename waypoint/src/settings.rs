//! How connections and requests are treated: every number beside its reason.

use std::time::Duration;

/// Limits and timers of the data path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of a request's header, and of an answer's.
    ///
    /// 60 KiB, as Envoy.
    pub header_bytes: usize,
    /// Headers of a request, and of an answer.
    ///
    /// 100, as Envoy.
    pub headers: usize,
    /// From the first byte of a request's header to its last.
    ///
    /// 60 s, as Istio's edge profile.
    pub header_timeout: Duration,
    /// What one HTTP/1 connection reads ahead, or has waiting to be sent, of bodies.
    ///
    /// 128 KiB: two of the pieces that sockets are read in; Envoy's limit for both together is 1 MiB.
    pub connection_buffer: usize,
    /// What one HTTP/2 stream has waiting to be sent.
    ///
    /// 256 KiB.
    pub send_buffer: usize,
    /// Streams of one connection that a client opened and reset, and that nobody looked at yet (CVE-2023-44487).
    ///
    /// 50.
    pub pending_resets: usize,
    /// Streams of one connection that were reset for the client's fault, until the connection is (CVE-2025-8671).
    ///
    /// 500, as Envoy's premature resets.
    pub faulty_streams: usize,
    /// Copies of requests say so: `-shadow` stands behind their host.
    ///
    /// No, as Istio: applications route by their own host.
    pub shadow_suffix: bool,
    /// How long a copy of a request may take whose rule does not say.
    ///
    /// 60 s.
    pub mirror_timeout: Duration,
    /// A client's connection without a request.
    ///
    /// 1 h, as Envoy.
    pub idle_timeout: Duration,
    /// After so long without a request an HTTP/1 connection gives back what only requests need. Longer than the pauses of a
    /// client that has a next request, shorter than those of people.
    pub rest_after: Duration,
    /// A connection to an endpoint without a request.
    ///
    /// 60 s. Envoy's hour is longer than what most servers keep (nginx: 75 s), so that the next request meets a
    /// connection which is just being closed.
    pub upstream_idle: Duration,
    /// For a connection to an endpoint to come about.
    ///
    /// 10 s, as Istio.
    pub connect_timeout: Duration,
    /// Connections without a request that are kept for each endpoint and worker.
    pub upstream_idle_connections: usize,
    /// Streams at once on one HTTP/2 connection.
    ///
    /// 1024, Envoy's newer default.
    pub max_streams: u32,
    /// Streams at once on one HTTP/2 connection to an endpoint, before another is made.
    ///
    /// 100: what servers allow most often (RFC 9113, section 6.5.2, recommends no less).
    pub upstream_streams: u32,
    /// Of one HTTP/2 stream, unread.
    ///
    /// 1 MiB: 800 Mbit/s over a round trip of 10 ms; Envoy's edge profile has 64 KiB, its default 16 MiB.
    pub stream_window: u32,
    /// Of one HTTP/2 connection, unread.
    pub connection_window: u32,
    /// Bytes of bodies that the whole process holds, of all connections together.
    ///
    /// 1 GiB, if nobody says anything else; `LATEEN_BUFFER_LIMIT`, or half of what the container may have.
    pub buffer_limit: usize,
    /// A tunnel's connection takes no further stream after this, more or less by a fifth, so that clients spread anew over
    /// all replicas.
    pub tunnel_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            header_bytes: 60 * 1024,
            headers: 100,
            header_timeout: Duration::from_secs(60),
            connection_buffer: 128 * 1024,
            send_buffer: 256 * 1024,
            pending_resets: 50,
            shadow_suffix: false,
            mirror_timeout: Duration::from_secs(60),
            faulty_streams: 500,
            idle_timeout: Duration::from_secs(60 * 60),
            rest_after: Duration::from_millis(500),
            upstream_idle: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            upstream_idle_connections: 256,
            max_streams: 1024,
            upstream_streams: 100,
            stream_window: 1024 * 1024,
            connection_window: 4 * 1024 * 1024,
            buffer_limit: 1 << 30,
            tunnel_age: Duration::from_secs(10 * 60),
        }
    }
}
