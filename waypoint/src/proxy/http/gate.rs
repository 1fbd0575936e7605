//! A client's HTTP/1 connection as hyper reads it: through [`Framing`], and not while a change of protocol is in
//! question.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};

use super::framing::{Framing, Violation};
use crate::body::memory::{Memory, Share, Unsent};
use crate::settings::Settings;
use crate::stream::Stream;

/// What is known of a connection's bytes, for both of its owners: hyper's side reads, the other one watches.
#[derive(Debug)]
pub(super) struct Gate {
    framing: RefCell<Framing>,
    phase: Cell<Phase>,
    /// When the phase began.
    since: Cell<Instant>,
    violation: Cell<Option<Violation>>,
    /// Something of an answer did not go out yet.
    stalled: Cell<bool>,
    /// What was read and may not have been used: the beginning of a head, requests behind the one that is answered.
    ahead: RefCell<Share>,
    waker: RefCell<Option<Waker>>,
}

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Between,
    Head,
    Body,
}

/// A connection behind its gate.
pub(super) struct Gated {
    stream: Stream,
    unsent: Rc<Unsent>,
    gate: Rc<Gate>,
    /// Has been through the gate, and not been read.
    passed: Bytes,
}

/// What a connection has waited for in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// For another request.
    Idle,
    /// For the rest of a head.
    Head,
    /// For another request, for so long that what reading needs is not kept.
    Rest,
}

impl Gate {
    pub(super) fn new(settings: &Settings, memory: &Memory) -> Rc<Self> {
        Rc::new(Self {
            framing: RefCell::new(Framing::new(settings.header_bytes)),
            phase: Cell::new(Phase::Between),
            since: Cell::new(Instant::now()),
            violation: Cell::new(None),
            stalled: Cell::new(false),
            ahead: RefCell::new(memory.share()),
            waker: RefCell::default(),
        })
    }

    /// Why it is refused.
    pub(super) fn violation(&self) -> Option<Violation> {
        self.violation.get()
    }

    /// Whether what is refused stands in the body of a request that is among the first so many: whoever serves it has
    /// been told.
    pub(super) fn is_in_body_of(&self, served: u64) -> bool {
        let framing = self.framing.borrow();
        framing.phase() == Phase::Body && framing.heads() <= served
    }

    /// Whether an answer of its own would not fall into the middle of another one.
    pub(super) fn can_answer(&self) -> bool {
        !self.stalled.get()
    }

    /// Whether it rests: all that came were whole requests, and the last one is a while ago; else, while no request is
    /// being answered, when to ask again.
    pub(super) fn rests(&self, settings: &Settings, now: Instant) -> Result<(), Instant> {
        let due = self.since.get() + settings.rest_after;
        let between = self.is_between() && self.framing.borrow().is_at_beginning() && !self.stalled.get();
        if !between {
            return Err(now + settings.rest_after);
        }
        if due <= now { Ok(()) } else { Err(due) }
    }

    /// Whether nothing of a request has come.
    pub(super) fn is_between(&self) -> bool {
        self.phase.get() == Phase::Between
    }

    fn written(&self, wanted: usize, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.stalled
            .set(!matches!(done, Poll::Ready(Ok(n)) if n == wanted));
        done
    }

    /// An answer goes out that changes no protocol.
    pub(super) fn unchanged(&self) {
        let mut framing = self.framing.borrow_mut();
        framing.unchanged();
        self.note(framing.phase());
        drop(framing);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether it was waited for too long, or when to ask again. Asked while no request is being answered.
    pub(super) fn overdue(&self, settings: &Settings, now: Instant) -> Result<Waited, Instant> {
        let (waited, limit) = match self.phase.get() {
            Phase::Between => (Waited::Idle, settings.idle_timeout),
            Phase::Head => (Waited::Head, settings.header_timeout),
            // Whoever reads the body has timeouts of its own.
            Phase::Body => return Err(now + settings.header_timeout),
        };
        let due = self.since.get() + limit;
        if due <= now { Ok(waited) } else { Err(due) }
    }

    /// A request is being answered: what was waited for does not count.
    pub(super) fn busy(&self, now: Instant) {
        if self.phase.get() == Phase::Between {
            self.since.set(now);
        }
    }

    fn note(&self, phase: Phase) {
        if self.phase.replace(phase) != phase {
            self.since.set(Instant::now());
        }
    }

    /// More is asked for: what was read is used, but for the beginning of a head. Gives how much that is, if it may go on.
    fn asked(&self) -> io::Result<usize> {
        let begun = self.framing.borrow().begun();
        let mut ahead = self.ahead.borrow_mut();
        ahead.set(begun);
        if begun > MODEST && ahead.memory().is_full() {
            self.violation.set(Some(Violation::NoRoom));
            return Err(io::Error::new(io::ErrorKind::OutOfMemory, Violation::NoRoom));
        }
        Ok(begun)
    }

    fn feed(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut framing = self.framing.borrow_mut();
        let before = self.phase.get();
        match framing.feed(bytes) {
            Ok(passed) => {
                let phase = framing.phase();
                // A whole request that came at once leaves the phase as it was, but not its beginning.
                if before == Phase::Between && phase == Phase::Between {
                    self.since.set(Instant::now());
                }
                self.note(phase);
                Ok(passed)
            }
            Err(violation) => {
                self.violation.set(Some(violation));
                Err(io::Error::new(io::ErrorKind::InvalidData, violation))
            }
        }
    }
}

impl Gated {
    /// `passed` has been through this gate already.
    pub(super) fn new(stream: Stream, gate: Rc<Gate>, unsent: Rc<Unsent>, passed: Bytes) -> Self {
        Self {
            stream,
            unsent,
            gate,
            passed,
        }
    }

    pub(super) fn into_inner(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.passed.is_empty() {
            let fits = this.passed.len().min(buf.remaining());
            buf.put_slice(&this.passed.split_to(fits));
            return Poll::Ready(Ok(()));
        }
        if this.gate.framing.borrow().is_held() {
            *this.gate.waker.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let begun = this.gate.asked()?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        this.gate.ahead.borrow_mut().set(begun + read.len());
        let passed = this.gate.feed(read)?;
        if passed < read.len() {
            this.stream.unread(read[passed..].to_vec());
            buf.set_filled(before + passed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gated {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = done {
            self.unsent.written(bytes);
        }
        self.gate.written(buf.len(), done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(bytes)) = done {
            self.unsent.written(bytes);
        }
        self.gate.written(bufs.iter().map(|b| b.len()).sum(), done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The last answer on a connection whose bytes nobody reads any more. What the client still sends is read for a moment:
/// closed with unread bytes, the connection would be reset, and the answer lost with it.
pub(super) async fn refuse(stream: &mut Stream, status: http::StatusCode) {
    let reason = status.canonical_reason().unwrap_or_default();
    let code = status.as_u16();
    let answer = format!("HTTP/1.1 {code} {reason}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let farewell = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // The client may be gone already, and may talk for ever.
    let _ = timeout(FAREWELL, farewell).await;
}

/// Of a head, however little memory is left.
const MODEST: usize = 4 * 1024;
/// As Envoy's delayed close.
const FAREWELL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
