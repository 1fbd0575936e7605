//! A [`super::Stream`] for the relay.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use mesh_hbone::Tunnel;
use mesh_net::relay::AbortReason;
use mesh_net::{ChunkRead, ChunkWrite, StreamError, TcpChunks};
use tokio::net::TcpStream;

use super::PipeEnd;
use super::duplex::{Duplex, DuplexChunks};

/// A stream of chunks, whatever carries it.
pub struct ChunkStream {
    /// Received and not yet read.
    unread: Bytes,
    /// Written and not yet sent.
    unsent: VecDeque<Bytes>,
    carrier: Carrier,
}

enum Carrier {
    Tcp(TcpChunks),
    Tunnel(Tunnel),
    Pipe(PipeEnd),
    Duplex(DuplexChunks),
}

macro_rules! on_carrier {
    ($this:expr, $stream:ident => $call:expr) => {
        match &mut $this.carrier {
            Carrier::Tcp($stream) => $call,
            Carrier::Tunnel($stream) => $call,
            Carrier::Pipe($stream) => $call,
            Carrier::Duplex($stream) => $call,
        }
    };
}

impl ChunkStream {
    pub(super) fn tcp(unread: Bytes, stream: TcpStream) -> Self {
        Self::new(unread, VecDeque::new(), Carrier::Tcp(TcpChunks::new(stream)))
    }

    pub(super) fn tunnel(unread: Bytes, tunnel: Tunnel, unsent: VecDeque<Bytes>) -> Self {
        Self::new(unread, unsent, Carrier::Tunnel(tunnel))
    }

    pub(super) fn pipe(unread: Bytes, pipe: PipeEnd, unsent: VecDeque<Bytes>) -> Self {
        Self::new(unread, unsent, Carrier::Pipe(pipe))
    }

    pub(super) fn duplex(unread: Bytes, stream: Box<dyn Duplex>) -> Self {
        Self::new(
            unread,
            VecDeque::new(),
            Carrier::Duplex(DuplexChunks::new(stream)),
        )
    }

    fn new(unread: Bytes, unsent: VecDeque<Bytes>, carrier: Carrier) -> Self {
        Self {
            unread,
            unsent,
            carrier,
        }
    }

    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        while !self.unsent.is_empty() {
            ready!(on_carrier!(self, s => s.poll_write_chunks(cx, &mut self.unsent)))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl ChunkRead for ChunkStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        if !self.unread.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.unread))));
        }
        on_carrier!(self, s => s.poll_chunk(cx))
    }
}

impl ChunkWrite for ChunkStream {
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, StreamError>> {
        ready!(self.poll_unsent(cx))?;
        on_carrier!(self, s => s.poll_write_chunks(cx, chunks))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_unsent(cx))?;
        on_carrier!(self, s => s.poll_flush(cx))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        ready!(self.poll_unsent(cx))?;
        on_carrier!(self, s => s.poll_finish(cx))
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        on_carrier!(self, s => s.poll_closed(cx))
    }

    fn leave(&mut self) {
        on_carrier!(self, s => s.leave());
    }

    fn abort(&mut self, reason: AbortReason) {
        on_carrier!(self, s => s.abort(reason));
    }
}
