//! A tunnel as a byte stream, so that TLS and HTTP/2 run inside it (double HBONE).

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use mesh_net::{ChunkRead, ChunkWrite};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Tunnel;

/// A tunnel with the traits of a socket.
pub struct TunnelIo {
    tunnel: Tunnel,
    /// Received and not yet read.
    unread: Bytes,
    /// Empty between two writes; kept for its memory.
    unsent: VecDeque<Bytes>,
}

impl TunnelIo {
    pub(super) fn new(tunnel: Tunnel) -> Self {
        Self {
            tunnel,
            unread: Bytes::new(),
            unsent: VecDeque::with_capacity(1),
        }
    }
}

impl AsyncRead for TunnelIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.unread.is_empty() {
            match ready!(this.tunnel.poll_chunk(cx))? {
                Some(chunk) => this.unread = chunk,
                None => return Poll::Ready(Ok(())),
            }
        }
        let fits = this.unread.len().min(buf.remaining());
        buf.put_slice(&this.unread[..fits]);
        this.unread.advance(fits);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(this.tunnel.poll_room(cx, buf.len()))?.min(buf.len());
        this.unsent.push_back(Bytes::copy_from_slice(&buf[..room]));
        let written = this.tunnel.poll_write_chunks(cx, &mut this.unsent);
        this.unsent.clear();
        written.map_err(io::Error::from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tunnel.poll_flush(cx).map_err(io::Error::from)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tunnel.poll_finish(cx).map_err(io::Error::from)
    }
}
