//! A client's byte stream, whatever carries it.
//!
//! # Layout
//! - this file: [`Stream`], for whoever reads and writes bytes.
//! - [`chunks`]: the same stream for the relay. `counted`: a relay whose bytes count.
//! - [`duplex`]: any other byte stream.
//! - [`pipe`]: a stream that crosses to another worker.

pub mod chunks;
pub(crate) mod counted;
pub mod duplex;
pub mod pipe;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use mesh_hbone::Tunnel;
use mesh_net::{ChunkRead, ChunkWrite};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

pub use chunks::ChunkStream;
pub use duplex::Duplex;
pub use pipe::{PipeEnd, pipe};

/// A byte stream, of a client or to an endpoint.
pub struct Stream {
    /// Received and not yet read.
    unread: Bytes,
    carrier: Carrier,
}

enum Carrier {
    Tcp(TcpStream),
    Tunnel(Buffered<Tunnel>),
    Pipe(Buffered<PipeEnd>),
    Duplex(Box<dyn Duplex>),
}

/// A stream of chunks that is written to in bytes: what was taken and does not go yet waits here.
struct Buffered<S> {
    stream: S,
    unsent: VecDeque<Bytes>,
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::of(Carrier::Tcp(stream))
    }
}

impl From<Tunnel> for Stream {
    fn from(tunnel: Tunnel) -> Self {
        Self::of(Carrier::Tunnel(Buffered::new(tunnel)))
    }
}

impl From<PipeEnd> for Stream {
    fn from(pipe: PipeEnd) -> Self {
        Self::of(Carrier::Pipe(Buffered::new(pipe)))
    }
}

impl Stream {
    /// Of anything else that has bytes, such as TLS.
    #[must_use]
    pub fn of_duplex(stream: impl Duplex + 'static) -> Self {
        Self::of(Carrier::Duplex(Box::new(stream)))
    }

    fn of(carrier: Carrier) -> Self {
        Self {
            unread: Bytes::new(),
            carrier,
        }
    }

    /// Gives bytes back that were read: they are read again first.
    pub fn unread(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.unread = match self.unread.is_empty() {
            true => bytes,
            false => [bytes, self.unread.clone()].concat().into(),
        };
    }

    /// The stream for the relay. Nothing that was written is lost.
    #[must_use]
    pub fn into_chunks(self) -> ChunkStream {
        match self.carrier {
            Carrier::Tcp(stream) => ChunkStream::tcp(self.unread, stream),
            Carrier::Tunnel(tunnel) => ChunkStream::tunnel(self.unread, tunnel.stream, tunnel.unsent),
            Carrier::Pipe(pipe) => ChunkStream::pipe(self.unread, pipe.stream, pipe.unsent),
            Carrier::Duplex(stream) => ChunkStream::duplex(self.unread, stream),
        }
    }

    /// Waits until there is something to read, or nothing more will come, without memory to read it into. What was written
    /// goes on its way meanwhile.
    ///
    /// # Errors
    /// Fails when the stream does.
    pub async fn readable(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = Pin::new(&mut *self).poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
            self.poll_readable(cx)
        })
        .await
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match &mut self.carrier {
            Carrier::Tcp(stream) => stream.poll_read_ready(cx),
            Carrier::Tunnel(_) | Carrier::Pipe(_) => self.poll_fill(cx).map_ok(drop),
            Carrier::Duplex(stream) => {
                let mut first = [0];
                let mut read = ReadBuf::new(&mut first);
                ready!(Pin::new(stream).poll_read(cx, &mut read))?;
                self.unread = Bytes::copy_from_slice(read.filled());
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let chunk = match &mut self.carrier {
            Carrier::Tunnel(tunnel) => ready!(tunnel.stream.poll_chunk(cx))?,
            Carrier::Pipe(pipe) => ready!(pipe.stream.poll_chunk(cx))?,
            Carrier::Tcp(_) | Carrier::Duplex(_) => None,
        };
        let more = chunk.is_some();
        self.unread = chunk.unwrap_or_default();
        Poll::Ready(Ok(more))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.unread.is_empty() {
            match &mut this.carrier {
                Carrier::Tcp(stream) => return Pin::new(stream).poll_read(cx, buf),
                Carrier::Duplex(stream) => return Pin::new(stream).poll_read(cx, buf),
                Carrier::Tunnel(_) | Carrier::Pipe(_) => {}
            }
            if !ready!(this.poll_fill(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
        let fits = this.unread.len().min(buf.remaining());
        buf.put_slice(&this.unread[..fits]);
        this.unread.advance(fits);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Carrier::Tunnel(tunnel) => tunnel.poll_write(cx, &[IoSlice::new(buf)]),
            Carrier::Pipe(pipe) => pipe.poll_write(cx, &[IoSlice::new(buf)]),
            Carrier::Duplex(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Carrier::Tunnel(tunnel) => tunnel.poll_write(cx, bufs),
            Carrier::Pipe(pipe) => pipe.poll_write(cx, bufs),
            Carrier::Duplex(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Carrier::Tunnel(tunnel) => tunnel.poll_flush(cx),
            Carrier::Pipe(pipe) => pipe.poll_flush(cx),
            Carrier::Duplex(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.carrier {
            Carrier::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Carrier::Tunnel(tunnel) => tunnel.poll_shutdown(cx),
            Carrier::Pipe(pipe) => pipe.poll_shutdown(cx),
            Carrier::Duplex(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl<S: ChunkWrite> Buffered<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            unsent: VecDeque::new(),
        }
    }

    /// Takes the buffers as one chunk once what was taken before has gone: a head and its body go together.
    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let all: usize = bufs.iter().map(|b| b.len()).sum();
        let mut chunk = BytesMut::with_capacity(all.min(MAX_CHUNK));
        for buf in bufs {
            let room = MAX_CHUNK - chunk.len();
            chunk.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        let taken = chunk.len();
        if taken > 0 {
            self.unsent.push_back(chunk.freeze());
            // What does not go now goes with the next write or flush; an error comes again then.
            let _ = self.poll_drain(cx)?;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            ready!(self.stream.poll_write_chunks(cx, &mut self.unsent))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        self.stream.poll_flush(cx).map_err(io::Error::from)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        self.stream.poll_finish(cx).map_err(io::Error::from)
    }
}

/// Of one write.
const MAX_CHUNK: usize = 64 * 1024;

#[cfg(test)]
mod tests;
