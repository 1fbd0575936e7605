//! A stream that crosses from one worker to another: two directions of chunks, each bounded, that can be sent.
//!
//! The worker that accepted a tunnel drives its HTTP/2 connection and so must move its bytes; whatever is done with them
//! may be done elsewhere. Chunks are handed over, not copied.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use mesh_net::relay::AbortReason;
use mesh_net::{ChunkRead, ChunkWrite, StreamError};
use parking_lot::Mutex;

/// One end of a pipe. Dropped before its own direction is finished, it is reset; after that, what still comes is declined.
#[derive(Debug)]
pub struct PipeEnd {
    incoming: Arc<Mutex<Direction>>,
    outgoing: Arc<Mutex<Direction>>,
    received_all: bool,
    sent_all: bool,
}

#[derive(Debug, Default)]
struct Direction {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<Result<(), StreamError>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Both ends.
#[must_use]
pub fn pipe() -> (PipeEnd, PipeEnd) {
    let (there, back) = (Arc::default(), Arc::default());
    (
        PipeEnd::new(Arc::clone(&there), Arc::clone(&back)),
        PipeEnd::new(back, there),
    )
}

impl PipeEnd {
    fn new(incoming: Arc<Mutex<Direction>>, outgoing: Arc<Mutex<Direction>>) -> Self {
        Self {
            incoming,
            outgoing,
            received_all: false,
            sent_all: false,
        }
    }

    fn reset(&mut self) {
        if !self.sent_all {
            self.outgoing.lock().finish(Err(StreamError::Reset));
        }
        if !self.received_all {
            // Whoever still writes is told with its next write.
            self.incoming.lock().give_up(StreamError::Reset);
        }
        self.sent_all = true;
        self.received_all = true;
    }
}

impl ChunkRead for PipeEnd {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        if self.received_all {
            return Poll::Ready(Ok(None));
        }
        let mut incoming = self.incoming.lock();
        if let Some(chunk) = incoming.chunks.pop_front() {
            incoming.bytes -= chunk.len();
            if incoming.bytes <= CAPACITY / 2 {
                wake(&mut incoming.writer);
            }
            return Poll::Ready(Ok(Some(chunk)));
        }
        match incoming.end {
            None => {
                incoming.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(Ok(())) => {
                drop(incoming);
                self.received_all = true;
                Poll::Ready(Ok(None))
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
        }
    }
}

impl ChunkWrite for PipeEnd {
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, StreamError>> {
        let mut outgoing = self.outgoing.lock();
        if let Some(Err(error)) = outgoing.end {
            return Poll::Ready(Err(error));
        }
        let mut taken = 0;
        while outgoing.bytes < CAPACITY {
            let Some(chunk) = chunks.pop_front() else { break };
            if !chunk.is_empty() {
                taken += chunk.len();
                outgoing.bytes += chunk.len();
                outgoing.chunks.push_back(chunk);
            }
        }
        if taken > 0 {
            wake(&mut outgoing.reader);
        } else if !chunks.is_empty() {
            outgoing.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if !self.sent_all {
            self.outgoing.lock().finish(Ok(()));
            self.sent_all = true;
        }
        Poll::Ready(Ok(()))
    }

    fn leave(&mut self) {
        if !self.received_all {
            self.incoming.lock().give_up(StreamError::Declined);
            self.received_all = true;
        }
    }

    fn abort(&mut self, _: AbortReason) {
        self.reset();
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        match self.sent_all {
            true => self.leave(),
            false => self.reset(),
        }
    }
}

impl Direction {
    /// The first end counts.
    fn finish(&mut self, end: Result<(), StreamError>) {
        self.end.get_or_insert(end);
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    /// Nobody reads what is there and what may come.
    fn give_up(&mut self, error: StreamError) {
        self.chunks.clear();
        self.bytes = 0;
        self.finish(Err(error));
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Of each direction; one more chunk may come on top. Twice what the relay flushes, so that both threads have work.
const CAPACITY: usize = 256 * 1024;

#[cfg(test)]
mod tests;
