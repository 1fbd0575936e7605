//! Bytes between two streams of chunks: the hot path of the product.
//!
//! A stream gives and takes [`Bytes`], not borrowed buffers, so that a TCP socket, an HTTP/2 tunnel and whatever comes
//! later hand data over without copying it once more.
//!
//! # Layout
//! - this file: the two traits, why streams fail, the counters.
//! - `copy`: [`relay`] itself.
//! - `tcp`: [`TcpChunks`], a TCP connection as a stream of chunks.
//! - `block`: the memory that is read into.
//! - `fault`: waiting for a socket's error alone.

mod block;
mod copy;
mod fault;
mod tcp;

pub use copy::{MAX_IN_FLIGHT, RelayEnd, Side, relay};
pub use tcp::TcpChunks;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;

/// The receiving half of a stream.
pub trait ChunkRead {
    /// The next chunk, never empty; `None` once the peer has finished its direction (FIN, END_STREAM), and from then on.
    /// After an error nothing more is asked.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>>;
}

/// The sending half of a stream.
pub trait ChunkWrite {
    /// Takes bytes from the front of `chunks`, as many as go now; a chunk that was taken in part is left with its rest.
    /// Ready with the number of bytes taken (at least one, unless `chunks` is empty); pending when none goes now.
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, StreamError>>;

    /// Sends on what was taken and is still held here.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>>;

    /// Flushes, then finishes this direction (FIN, END_STREAM); the other direction goes on.
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>>;

    /// Ready when the peer has given the stream up, so that nothing more will be taken: asked while there is nothing to
    /// read any more that would say so. Never ready where that cannot be known before the next write.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        let _ = cx;
        Poll::Pending
    }

    /// Takes nothing more of what the peer sends, once our own direction is finished: what was sent in it still arrives.
    /// Nothing else is asked afterwards.
    fn leave(&mut self);

    /// Ends both directions in a way that the peer cannot mistake for a finished stream (RST, RST_STREAM): at once, or at
    /// the latest when the value is dropped. Does nothing when both are over. Nothing else is asked afterwards.
    fn abort(&mut self, reason: AbortReason);
}

/// Why a stream ended before it was finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer reset it.
    #[error("reset by the peer")]
    Reset,
    /// The peer takes nothing more, and there is nothing wrong: its own direction stays what it is (HTTP/2: RST_STREAM with
    /// NO_ERROR; RFC 9113, section 8.1). Only a writer meets it.
    #[error("nothing more is taken by the peer")]
    Declined,
    /// What carries it is gone: a connection that was closed under its streams, a socket that was shut.
    #[error("connection closed")]
    Closed,
    /// The peer did not answer in time (keep-alive, `TCP_USER_TIMEOUT`, HTTP/2 PING).
    #[error("peer does not answer")]
    TimedOut,
    /// A certificate that what carries it was authenticated with has expired.
    #[error("a certificate of the connection has expired")]
    Expired,
    /// The peer broke the protocol.
    #[error("protocol violated by the peer")]
    Protocol,
    /// The network or this machine.
    #[error("{0}")]
    Io(io::ErrorKind),
}

/// Why a stream is aborted from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AbortReason {
    /// The stream at the other side of the relay failed (for HTTP/2: CONNECT_ERROR, RFC 9113, 8.5).
    OtherSide,
    /// Nobody is interested any more (for HTTP/2: CANCEL).
    Cancelled,
    /// What allowed it no longer does: a policy or a certificate.
    Revoked,
    /// Our own fault.
    Internal,
}

/// How many bytes went each way. Written by one relay, readable by anybody meanwhile.
#[derive(Debug, Default)]
pub struct RelayCounters {
    to_up: AtomicU64,
    to_down: AtomicU64,
}

// === impl StreamError ===

impl From<&io::Error> for StreamError {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset => Self::Reset,
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionAborted => Self::Closed,
            io::ErrorKind::TimedOut => Self::TimedOut,
            other => Self::Io(other),
        }
    }
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Reset => io::ErrorKind::ConnectionReset,
            StreamError::Closed | StreamError::Declined => io::ErrorKind::BrokenPipe,
            StreamError::Expired => io::ErrorKind::ConnectionAborted,
            StreamError::TimedOut => io::ErrorKind::TimedOut,
            StreamError::Protocol => io::ErrorKind::InvalidData,
            StreamError::Io(kind) => kind,
        };
        Self::new(kind, error)
    }
}

// === impl RelayCounters ===

impl RelayCounters {
    /// Bytes from the down side that the up side has taken.
    #[must_use]
    pub fn to_up(&self) -> u64 {
        self.to_up.load(Ordering::Relaxed)
    }

    /// Bytes from the up side that the down side has taken.
    #[must_use]
    pub fn to_down(&self) -> u64 {
        self.to_down.load(Ordering::Relaxed)
    }

    pub(crate) fn taken_by(&self, side: Side, bytes: usize) {
        let counter = match side {
            Side::Up => &self.to_up,
            Side::Down => &self.to_down,
        };
        // One writer: a plain load and store, without the cost of a locked addition.
        let sum = counter.load(Ordering::Relaxed).wrapping_add(bytes as u64);
        counter.store(sum, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
