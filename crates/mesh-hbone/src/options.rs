//! What can be tuned, with every default beside its reason.

use std::time::Duration;

/// Tunables of both ends of HBONE connections. Products read the ones that are named after an environment variable
/// from it.
///
/// # Memory
/// One connection holds at most its connection window of unread bytes from the peer, plus
/// [`data_frame_budget`](Self::data_frame_budget) bytes of book-keeping for them, plus, per stream,
/// [`send_buffer`](Self::send_buffer) bytes not yet written, plus 64 KiB each of undecrypted and of unsent records. The
/// connection window is taken from a [`ReceiveBudget`](crate::ReceiveBudget), so that many connections together stay
/// bounded as well. An idle connection holds none of this, only what HTTP/2 and TLS know and the multiplexer's own two
/// frame buffers: some tens of KiB.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HboneOptions {
    /// Bytes that a peer may send on one stream before we read them (`HTTP2_STREAM_WINDOW_SIZE`).
    ///
    /// 4 MiB, as upstream: 3 Gbit/s over a round trip of 10 ms.
    pub stream_window: u32,
    /// Bytes that a peer may send on all streams before we read them (`HTTP2_CONNECTION_WINDOW_SIZE`).
    ///
    /// 16 MiB, as upstream: four streams whose readers are stuck leave the others running.
    pub connection_window: u32,
    /// The largest DATA frame that we accept (`HTTP2_FRAME_SIZE`).
    ///
    /// 1 MiB, as upstream.
    pub frame_size: u32,
    /// Streams that a peer may hold open to us.
    ///
    /// 200, as upstream: twice what its clients use.
    pub max_streams_served: u32,
    /// Streams that we open on one connection before another is made (`POOL_MAX_STREAMS_PER_CONNECTION`); fewer when the
    /// peer allows fewer.
    ///
    /// 100, as upstream.
    pub max_streams_per_connection: usize,
    /// Header bytes that a client accepts in a response.
    ///
    /// 16 KiB, as upstream: a response has one header.
    pub response_header_list: u32,
    /// Header bytes that a server accepts in a request.
    ///
    /// 64 KiB, as upstream.
    pub request_header_list: u32,
    /// Bytes of one stream that wait to be encrypted.
    ///
    /// 256 KiB: two of the relay's flushes, so that one can be filled while the other is sent; back-pressure reaches
    /// the application then.
    pub send_buffer: usize,
    /// What unread DATA frames below 256 bytes may cost before the connection is ended: each costs 256 less its length.
    ///
    /// 16 MiB, about 65,000 frames. The `h2` crate's own default was once low enough for one slow reader to end a
    /// connection that a hundred others share (its issue 939); without any bound, the books of a 4 MiB window of
    /// one-byte frames would take a gigabyte.
    pub data_frame_budget: usize,
    /// How the peer's liveness is found out.
    pub keepalive: KeepaliveOptions,
    /// How long a connection may take from the first packet until a stream can be opened.
    ///
    /// 10 s, as upstream's TCP connect, but for all steps together.
    pub connect_deadline: Duration,
    /// How long a TLS handshake and the HTTP/2 preface may take, at either end.
    ///
    /// 5 s: a handshake costs milliseconds; two lost packets are forgiven.
    pub handshake_deadline: Duration,
    /// How long the answer to a CONNECT request may take.
    ///
    /// 15 s: the far end gives up connecting to its target after 10 s and says so, which should arrive.
    pub answer_deadline: Duration,
    /// How long a client's connection without a stream is kept (`POOL_UNUSED_RELEASE_TIMEOUT`).
    ///
    /// 5 minutes, as upstream.
    pub idle_timeout: Duration,
}

/// When a PING is sent and how long its answer may take. Any byte from the peer counts as a sign of life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepaliveOptions {
    /// Silence after which a PING is sent.
    ///
    /// 10 s, as upstream.
    pub idle: Duration,
    /// Silence after a PING that ends the connection.
    ///
    /// 20 s, as upstream.
    pub timeout: Duration,
}

impl Default for HboneOptions {
    fn default() -> Self {
        Self {
            stream_window: 4 * MIB,
            connection_window: 16 * MIB,
            frame_size: MIB,
            max_streams_served: 200,
            max_streams_per_connection: 100,
            response_header_list: 16 * KIB,
            request_header_list: 64 * KIB,
            send_buffer: 256 * 1024,
            data_frame_budget: 16 * 1024 * 1024,
            keepalive: KeepaliveOptions::default(),
            connect_deadline: Duration::from_secs(10),
            handshake_deadline: Duration::from_secs(5),
            answer_deadline: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(300),
        }
    }
}

impl Default for KeepaliveOptions {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10),
            timeout: Duration::from_secs(20),
        }
    }
}

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;
