//! [`relay`]: both directions of a connection in one task.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::{AbortReason, ChunkRead, ChunkWrite, RelayCounters, StreamError};

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayEnd {
    /// Both sides finished their directions.
    Finished {
        /// The side that finished first.
        first: Side,
    },
    /// One side failed; the other one was told so by an abort, never by a finish.
    Failed {
        /// The side that failed.
        side: Side,
        /// Why.
        error: StreamError,
    },
}

/// A side of a relay, seen from the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that opened the connection.
    Down,
    /// The one that was connected to.
    Up,
}

/// Carries bytes between the two until both directions are finished or one side fails.
///
/// A finished direction is passed on as finished while the other goes on (half-close). A failure is passed on as an abort,
/// after what had arrived before it; so is dropping the future, as far as the streams abort when dropped. There is no idle
/// timeout. In each direction at most [`MAX_IN_FLIGHT`] bytes and one chunk wait here.
///
/// A side that has finished its direction is read no more; from then on it is asked whether it takes what the other one
/// sends ([`ChunkWrite::poll_closed`]). A side that takes nothing more without a complaint ([`StreamError::Declined`]) is no
/// failure: the other one still gets all that this one sends, and is then left.
pub async fn relay<D, U>(mut down: D, mut up: U, counters: &RelayCounters) -> RelayEnd
where
    D: ChunkRead + ChunkWrite,
    U: ChunkRead + ChunkWrite,
{
    let mut upward = Direction::new(Side::Up);
    let mut downward = Direction::new(Side::Down);
    let mut first = None;
    poll_fn(|cx| {
        // Both are polled even if the first fails: what the failed side had still sent goes to the other one.
        let mut to_up = upward.poll(cx, &mut down, &mut up, counters);
        let mut to_down = downward.poll(cx, &mut up, &mut down, counters);
        let mut closed = Poll::Pending;
        match (to_up.is_ready(), to_down.is_ready()) {
            (true, false) => match down.poll_closed(cx) {
                Poll::Ready(StreamError::Declined) => to_down = downward.decline(),
                other => closed = other.map(|error| Err((Side::Down, error))),
            },
            (false, true) => match up.poll_closed(cx) {
                Poll::Ready(StreamError::Declined) => to_up = upward.decline(),
                other => closed = other.map(|error| Err((Side::Up, error))),
            },
            _ => {}
        }
        for outcome in [to_up, to_down, closed] {
            if let Poll::Ready(Err((side, error))) = outcome {
                let (ours, theirs) = reasons(side);
                down.abort(ours);
                up.abort(theirs);
                return Poll::Ready(RelayEnd::Failed { side, error });
            }
        }
        match (to_up.is_ready(), to_down.is_ready()) {
            (true, true) => {
                if upward.state == State::Declined {
                    down.leave();
                }
                if downward.state == State::Declined {
                    up.leave();
                }
                let first = first.unwrap_or_else(|| upward.ended_by());
                return Poll::Ready(RelayEnd::Finished { first });
            }
            (true, false) => first = first.or_else(|| Some(upward.ended_by())),
            (false, true) => first = first.or_else(|| Some(downward.ended_by())),
            (false, false) => {}
        }
        Poll::Pending
    })
    .await
}

/// One direction: what was read and not yet taken by the other side.
struct Direction {
    to: Side,
    pending: VecDeque<Bytes>,
    pending_bytes: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The writer holds bytes that it was not yet asked to send on.
    Unflushed,
    /// The reader has finished; the rest is to be written, then finished.
    Ending,
    Finished,
    /// The writer takes nothing more; what the reader sends is not read.
    Declined,
}

impl Direction {
    fn new(to: Side) -> Self {
        Self {
            to,
            pending: VecDeque::new(),
            pending_bytes: 0,
            state: State::Open,
        }
    }

    /// Carries what can be carried now; ready when the direction is finished, or its writer has declined the rest.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut impl ChunkRead,
        writer: &mut impl ChunkWrite,
        counters: &RelayCounters,
    ) -> Poll<Result<(), (Side, StreamError)>> {
        if matches!(self.state, State::Finished | State::Declined) {
            return Poll::Ready(Ok(()));
        }
        match self.carry(cx, reader, writer, counters) {
            Poll::Ready(Err((side, StreamError::Declined))) if side == self.to => self.decline(),
            other => other,
        }
    }

    fn decline(&mut self) -> Poll<Result<(), (Side, StreamError)>> {
        self.pending = VecDeque::new();
        self.state = State::Declined;
        Poll::Ready(Ok(()))
    }

    /// Whose doing it is that nothing more is carried.
    fn ended_by(&self) -> Side {
        match self.state {
            State::Declined => self.to,
            _ => self.to.other(),
        }
    }

    fn carry(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut impl ChunkRead,
        writer: &mut impl ChunkWrite,
        counters: &RelayCounters,
    ) -> Poll<Result<(), (Side, StreamError)>> {
        for _ in 0..ROUNDS {
            let read = self.fill(cx, reader);
            let drained = match self.drain(cx, writer, counters) {
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err((self.to, error))),
            };
            match read {
                // What had arrived before the error was offered just now; a reset does not wait for a slow reader.
                Fill::Failed(error) => return Poll::Ready(Err((self.to.other(), error))),
                Fill::Full if drained => {}
                Fill::Idle if drained && self.state != State::Ending => return self.flush(cx, writer),
                _ if drained => return self.finish(cx, writer),
                _ => return Poll::Pending,
            }
        }
        // Other connections of this thread have waited long enough.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn fill(&mut self, cx: &mut Context<'_>, reader: &mut impl ChunkRead) -> Fill {
        while self.pending_bytes < MAX_IN_FLIGHT {
            if self.state == State::Ending {
                return Fill::Idle;
            }
            match reader.poll_chunk(cx) {
                Poll::Ready(Ok(Some(chunk))) => {
                    self.pending_bytes += chunk.len();
                    self.pending.push_back(chunk);
                }
                Poll::Ready(Ok(None)) => self.state = State::Ending,
                Poll::Ready(Err(error)) => return Fill::Failed(error),
                Poll::Pending => return Fill::Idle,
            }
        }
        Fill::Full
    }

    /// Ready when nothing is pending.
    fn drain(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut impl ChunkWrite,
        counters: &RelayCounters,
    ) -> Poll<Result<(), StreamError>> {
        while !self.pending.is_empty() {
            match writer.poll_write_chunks(cx, &mut self.pending) {
                Poll::Ready(Ok(taken)) => {
                    self.pending_bytes -= taken;
                    counters.taken_by(self.to, taken);
                    if self.state == State::Open {
                        self.state = State::Unflushed;
                    }
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The reader has nothing more for now: what was written must not wait for it.
    fn flush(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut impl ChunkWrite,
    ) -> Poll<Result<(), (Side, StreamError)>> {
        if self.state == State::Unflushed {
            match writer.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.state = State::Open,
                Poll::Ready(Err(error)) => return Poll::Ready(Err((self.to, error))),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    fn finish(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut impl ChunkWrite,
    ) -> Poll<Result<(), (Side, StreamError)>> {
        match writer.poll_finish(cx) {
            Poll::Ready(Ok(())) => {
                self.state = State::Finished;
                // A half-closed connection may live for days.
                self.pending = VecDeque::new();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err((self.to, error))),
            Poll::Pending => Poll::Pending,
        }
    }
}

enum Fill {
    /// As much as may wait here does.
    Full,
    /// The reader has nothing more for now, or nothing more at all.
    Idle,
    Failed(StreamError),
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Down => Self::Up,
            Self::Up => Self::Down,
        }
    }
}

/// What the two sides (down, up) are told when one of them failed.
fn reasons(failed: Side) -> (AbortReason, AbortReason) {
    match failed {
        Side::Down => (AbortReason::Cancelled, AbortReason::OtherSide),
        Side::Up => (AbortReason::OtherSide, AbortReason::Cancelled),
    }
}

/// Measured: with less in flight a bulk stream waits for its own flushes, more gains nothing.
pub const MAX_IN_FLIGHT: usize = 128 * 1024;
/// At most 1 MiB or so for each direction before the thread's other connections get their turn.
const ROUNDS: usize = 8;
