//! A TCP connection as a stream of chunks.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::block;
use super::fault::Fault;
use super::{AbortReason, ChunkRead, ChunkWrite, StreamError};

/// A TCP connection as a stream of chunks. Dropped before both directions are finished, it is reset, so that a truncated
/// stream never looks like a complete one.
#[derive(Debug)]
pub struct TcpChunks {
    stream: TcpStream,
    received_end: bool,
    sent_end: bool,
    /// Made when it is first asked for: few connections are ever half closed.
    fault: Option<Box<Fault>>,
}

// === impl TcpChunks ===

impl TcpChunks {
    /// Takes the connection over.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            received_end: false,
            sent_end: false,
            fault: None,
        }
    }

    /// The socket, for its addresses and options. Reading or writing through it is not seen here.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    fn is_over(&self) -> bool {
        self.received_end && self.sent_end
    }

    /// close(2) sends RST instead of FIN from now on, and drops what is still queued.
    fn reset_on_close(&self) {
        // Fails only on a socket that is gone, and then there is nobody left to tell.
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// One system call; the number of bytes that went.
    fn poll_write_once(&mut self, cx: &mut Context<'_>, chunks: &VecDeque<Bytes>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        if let (Some(only), 1) = (chunks.front(), chunks.len()) {
            return stream.poll_write(cx, only);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        for (slice, chunk) in slices.iter_mut().zip(chunks) {
            *slice = IoSlice::new(chunk);
            used += 1;
        }
        stream.poll_write_vectored(cx, &slices[..used])
    }
}

impl From<TcpStream> for TcpChunks {
    fn from(stream: TcpStream) -> Self {
        Self::new(stream)
    }
}

impl ChunkRead for TcpChunks {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        if self.received_end {
            return Poll::Ready(Ok(None));
        }
        let stream = Pin::new(&mut self.stream);
        let chunk = ready!(block::read_with(|buf| stream.poll_read(cx, buf)))?;
        self.received_end = chunk.is_none();
        Poll::Ready(Ok(chunk))
    }
}

impl ChunkWrite for TcpChunks {
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, StreamError>> {
        let mut taken = 0;
        while !chunks.is_empty() {
            match self.poll_write_once(cx, chunks) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(StreamError::Closed)),
                Poll::Ready(Ok(written)) => {
                    taken += written;
                    advance(chunks, written);
                }
                // What went before is counted; the error comes again with the next write.
                Poll::Ready(Err(_)) | Poll::Pending if taken > 0 => break,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if !self.sent_end {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.sent_end = true;
        }
        Poll::Ready(Ok(()))
    }

    /// Once the peer's direction is finished its socket is readable for ever, so that only an error tells anything new.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        if !self.received_end || self.sent_end {
            return Poll::Pending;
        }
        let fault = self
            .fault
            .get_or_insert_with(|| Box::new(Fault::of(&self.stream)));
        ready!(fault.poll(cx));
        Poll::Ready(match self.stream.take_error() {
            // Linux' word for a reset that comes after a FIN.
            Ok(Some(error)) if error.kind() == io::ErrorKind::BrokenPipe => StreamError::Reset,
            Ok(Some(error)) | Err(error) => StreamError::from(error),
            Ok(None) => StreamError::Closed,
        })
    }

    fn leave(&mut self) {
        // close(2) sends what is queued and FIN, unless something came that was not read.
        self.received_end |= self.sent_end;
    }

    fn abort(&mut self, _reason: AbortReason) {
        if self.is_over() {
            return;
        }
        self.reset_on_close();
        self.received_end = true;
        self.sent_end = true;
    }
}

impl Drop for TcpChunks {
    fn drop(&mut self) {
        if !self.is_over() {
            self.reset_on_close();
        }
    }
}

/// Removes the first `written` bytes; chunks that went whole give their memory back.
fn advance(chunks: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(front) = chunks.front_mut() {
        if written < front.len() {
            front.advance(written);
            return;
        }
        written -= front.len();
        if let Some(done) = chunks.pop_front() {
            block::recycle(done);
        }
    }
}

/// A full queue of HTTP/2's smallest frames fits; beyond that another call costs little in comparison.
const MAX_SLICES: usize = 64;

#[cfg(test)]
mod tests;
