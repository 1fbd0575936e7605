//! Any other byte stream as a stream of chunks: TLS, and what HTTP/2 gives for a stream that changed its protocol.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use mesh_net::relay::AbortReason;
use mesh_net::{ChunkRead, ChunkWrite, StreamError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

/// A byte stream that nothing more is known of.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

/// It, in chunks.
pub(super) struct DuplexChunks {
    /// Gone once it was aborted: dropped without a farewell, which TLS and HTTP/2 tell from an end.
    stream: Option<Box<dyn Duplex>>,
    room: BytesMut,
}

impl DuplexChunks {
    pub(super) fn new(stream: Box<dyn Duplex>) -> Self {
        Self {
            stream: Some(stream),
            room: BytesMut::new(),
        }
    }

    fn stream(&mut self) -> Result<Pin<&mut Box<dyn Duplex>>, StreamError> {
        self.stream.as_mut().map(Pin::new).ok_or(StreamError::Closed)
    }
}

impl ChunkRead for DuplexChunks {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(StreamError::Closed));
        };
        self.room.reserve(CHUNK);
        // Nothing is kept in this future between two polls.
        let read = ready!(pin!(stream.read_buf(&mut self.room)).poll(cx));
        Poll::Ready(match read {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(self.room.split().freeze())),
            Err(error) => Err(error.into()),
        })
    }
}

impl ChunkWrite for DuplexChunks {
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, StreamError>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut used = 0;
        for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()).take(SLICES) {
            slices[used] = IoSlice::new(chunk);
            used += 1;
        }
        if used == 0 {
            chunks.clear();
            return Poll::Ready(Ok(0));
        }
        let written = ready!(self.stream()?.poll_write_vectored(cx, &slices[..used]))?;
        if written == 0 {
            return Poll::Ready(Err(StreamError::Io(io::ErrorKind::WriteZero)));
        }
        let mut left = written;
        while let Some(chunk) = chunks.front_mut() {
            if chunk.len() > left {
                chunk.advance(left);
                break;
            }
            left -= chunk.len();
            chunks.pop_front();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.stream()?.poll_flush(cx).map_err(StreamError::from)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.stream()?.poll_shutdown(cx).map_err(StreamError::from)
    }

    /// Dropped after its own end was sent.
    fn leave(&mut self) {
        self.stream = None;
    }

    fn abort(&mut self, _: AbortReason) {
        self.stream = None;
    }
}

/// A TLS record has at most as much.
const CHUNK: usize = 16 * 1024;
const SLICES: usize = 16;
