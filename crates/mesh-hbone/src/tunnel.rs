//! One CONNECT tunnel: a stream of an HBONE connection as chunks.

mod io;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use mesh_net::relay::AbortReason;
use mesh_net::{ChunkRead, ChunkWrite, StreamError};
use mesh_types::Identity;

use crate::closed::ConnectionState;
use crate::pool::Lease;
use crate::request::Baggage;

pub use io::TunnelIo;

/// A tunnel, at either end.
///
/// Back-pressure: at most the stream's window lies unread here, and at most the send buffer unsent. A tunnel that is
/// dropped before both directions are finished is reset (CANCEL), so that the peer never takes it for finished.
pub struct Tunnel {
    recv: RecvStream,
    send: SendStream<Bytes>,
    connection: Rc<ConnectionState>,
    baggage: Option<Baggage>,
    received_all: bool,
    sent_all: bool,
    /// Counts the stream in the pool until it is over.
    lease: Option<Lease>,
}

impl Tunnel {
    pub(crate) fn new(recv: RecvStream, send: SendStream<Bytes>, connection: Rc<ConnectionState>) -> Self {
        Self {
            recv,
            send,
            connection,
            baggage: None,
            received_all: false,
            sent_all: false,
            lease: None,
        }
    }

    pub(crate) fn with_baggage(mut self, baggage: Option<Baggage>) -> Self {
        self.baggage = baggage;
        self
    }

    pub(crate) fn with_lease(mut self, lease: Lease) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Who is at the other end of the connection, verified in its handshake; nothing when its certificate carries an
    /// identity that is not of the mesh's form (a service's foreign subject name).
    #[must_use]
    pub fn peer(&self) -> Option<&Identity> {
        self.connection.peer()
    }

    /// Our address of the connection that carries it; nothing at a server.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.connection.local()
    }

    /// What the far end says about the workload that answered, for telemetry only. Always nothing at a server.
    #[must_use]
    pub fn peer_baggage(&self) -> Option<&Baggage> {
        self.baggage.as_ref()
    }

    /// The tunnel as a byte stream, for a connection inside it.
    #[must_use]
    pub fn into_io(self) -> TunnelIo {
        TunnelIo::new(self)
    }

    /// How much of `wanted` bytes can be sent now: at least one.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, StreamError>> {
        self.send.reserve_capacity(wanted);
        let room = self.send.capacity();
        if room > 0 {
            return Poll::Ready(Ok(room));
        }
        loop {
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(0)) => {}
                Some(Ok(room)) => return Poll::Ready(Ok(room)),
                Some(Err(error)) => return Poll::Ready(Err(self.connection.stream_error(&error))),
                None => return Poll::Ready(Err(self.why_unwritable(cx))),
            }
        }
    }

    /// The multiplexer says only that the stream takes nothing more.
    fn why_unwritable(&mut self, cx: &mut Context<'_>) -> StreamError {
        match self.send.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => reset(reason),
            Poll::Ready(Err(error)) => self.connection.stream_error(&error),
            Poll::Pending => StreamError::Closed,
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, data: Bytes, end: bool) -> Result<(), StreamError> {
        match self.send.send_data(data, end) {
            Ok(()) => Ok(()),
            // It was open when we looked: the peer reset it, or the connection ended.
            Err(_) => Err(self.why_unwritable(cx)),
        }
    }

    fn end_stream_if_over(&mut self) {
        if self.received_all && self.sent_all {
            self.lease = None;
        }
    }
}

impl ChunkRead for Tunnel {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        loop {
            if self.received_all {
                return Poll::Ready(Ok(None));
            }
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) if data.is_empty() => {}
                Some(Ok(data)) => {
                    // The peer may send as much again. It fails only for streams that are gone, whose window is too.
                    let _ = self.recv.flow_control().release_capacity(data.len());
                    return Poll::Ready(Ok(Some(data)));
                }
                Some(Err(error)) => return Poll::Ready(Err(self.connection.stream_error(&error))),
                None => {
                    self.received_all = true;
                    self.end_stream_if_over();
                }
            }
        }
    }
}

impl ChunkWrite for Tunnel {
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, StreamError>> {
        let mut taken = 0;
        loop {
            let wanted = chunks.iter().map(Bytes::len).sum();
            if wanted == 0 {
                chunks.clear();
                return Poll::Ready(Ok(taken));
            }
            let room = match self.poll_room(cx, wanted) {
                Poll::Ready(room) => room?,
                Poll::Pending if taken > 0 => return Poll::Ready(Ok(taken)),
                Poll::Pending => return Poll::Pending,
            };
            let data = take_frame(chunks, room);
            taken += data.len();
            self.send(cx, data, false)?;
        }
    }

    /// Nothing waits here: what was taken is the multiplexer's, whose driver sends it.
    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if !self.sent_all {
            self.send(cx, Bytes::new(), true)?;
            self.sent_all = true;
            self.end_stream_if_over();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        Poll::Ready(match ready!(self.send.poll_reset(cx)) {
            Ok(reason) => reset(reason),
            Err(error) => self.connection.stream_error(&error),
        })
    }

    /// The multiplexer says so once what is queued went, when this value is dropped: NO_ERROR at a server, as here our
    /// direction is finished.
    fn leave(&mut self) {
        self.lease = None;
    }

    fn abort(&mut self, reason: AbortReason) {
        if !(self.received_all && self.sent_all) {
            self.send.send_reset(code(reason));
            self.received_all = true;
            self.sent_all = true;
        }
        self.lease = None;
    }
}

/// What a reset by the peer means to whoever sends (RFC 9113, section 8.1): a server that has sent all that it had, and does
/// not care for the rest of what it is sent, says so without an error.
fn reset(reason: Reason) -> StreamError {
    match reason {
        Reason::NO_ERROR => StreamError::Declined,
        _ => StreamError::Reset,
    }
}

/// The code of a reset (RFC 9113, section 7).
fn code(reason: AbortReason) -> Reason {
    match reason {
        AbortReason::OtherSide => Reason::CONNECT_ERROR,
        AbortReason::Internal => Reason::INTERNAL_ERROR,
        // To the peer it makes no difference why nobody is interested any more.
        _ => Reason::CANCEL,
    }
}

/// The bytes of the next DATA frame: one chunk, or many small ones together, since each frame costs both ends as much
/// as some hundred bytes do, and unread small ones are counted against the connection.
fn take_frame(chunks: &mut VecDeque<Bytes>, room: usize) -> Bytes {
    while chunks.front().is_some_and(Bytes::is_empty) {
        chunks.pop_front();
    }
    let Some(first) = chunks.pop_front() else {
        return Bytes::new();
    };
    if first.len() > room {
        return split(first, room, chunks);
    }
    let limit = room.min(JOINED);
    let fits =
        |chunks: &VecDeque<Bytes>, have: usize| chunks.front().is_some_and(|c| have + c.len() <= limit);
    if !fits(chunks, first.len()) {
        return first;
    }
    let mut joined = BytesMut::with_capacity(limit);
    joined.extend_from_slice(&first);
    while fits(chunks, joined.len()) {
        if let Some(chunk) = chunks.pop_front() {
            joined.extend_from_slice(&chunk);
        }
    }
    joined.freeze()
}

/// The first `room` bytes of a chunk; the rest goes back to the front.
fn split(mut chunk: Bytes, room: usize, chunks: &mut VecDeque<Bytes>) -> Bytes {
    let data = chunk.split_to(room);
    chunks.push_front(chunk);
    data
}

/// Chunks are joined up to this size: one record.
const JOINED: usize = 16 * 1024;

#[cfg(test)]
mod tests;
