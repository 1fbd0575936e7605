//! A relay whose bytes count in the account of the process ([`Memory`]).
//!
//! What one side sent and the other one has not taken is held here. While memory is short, a side is read only as far as
//! the other one takes it: a relay with little of its own goes on, one that has more waits.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use mesh_net::relay::AbortReason;
use mesh_net::{ChunkRead, ChunkWrite, RelayCounters, RelayEnd, StreamError};

use crate::body::Memory;
use crate::body::memory::Unsent;

/// [`mesh_net::relay`], counted.
pub(crate) async fn relay<D, U>(memory: &Memory, down: D, up: U, counters: &RelayCounters) -> RelayEnd
where
    D: ChunkRead + ChunkWrite,
    U: ChunkRead + ChunkWrite,
{
    let (upward, downward) = (Rc::new(Unsent::new(memory)), Rc::new(Unsent::new(memory)));
    let down = Counted {
        stream: down,
        gives: upward.clone(),
        takes: downward.clone(),
    };
    let up = Counted {
        stream: up,
        gives: downward,
        takes: upward,
    };
    mesh_net::relay(down, up, counters).await
}

/// One side.
struct Counted<S> {
    stream: S,
    /// What it sent, and the other side has not taken.
    gives: Rc<Unsent>,
    /// What it is to take.
    takes: Rc<Unsent>,
}

impl<S: ChunkRead> ChunkRead for Counted<S> {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        ready!(self.gives.poll_ready(cx));
        let chunk = ready!(self.stream.poll_chunk(cx));
        if let Ok(Some(chunk)) = &chunk {
            self.gives.handed(chunk.len());
        }
        Poll::Ready(chunk)
    }
}

impl<S: ChunkWrite> ChunkWrite for Counted<S> {
    fn poll_write_chunks(
        &mut self,
        cx: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, StreamError>> {
        let taken = ready!(self.stream.poll_write_chunks(cx, chunks));
        if let Ok(taken) = &taken {
            self.takes.written(*taken);
        }
        Poll::Ready(taken)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.stream.poll_flush(cx)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.stream.poll_finish(cx)
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        self.stream.poll_closed(cx)
    }

    fn leave(&mut self) {
        self.stream.leave();
    }

    fn abort(&mut self, reason: AbortReason) {
        self.stream.abort(reason);
    }
}
