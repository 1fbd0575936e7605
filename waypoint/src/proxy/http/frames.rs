//! A client's HTTP/2 frames, counted before anybody reads them: what costs its sender nothing may not cost us much.
//!
//! Each kind that asks for work without being a request has an allowance, which time and honest work give back: requests,
//! bodies, and what is sent to the client. Who overdraws one loses the connection (RFC 9113, sections 6.5.3, 6.7 and 10.5;
//! CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316). What a stream may do besides is held by the multiplexer.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::body::memory::Unsent;
use crate::stream::Stream;

/// Counts the frames of one connection.
#[derive(Debug)]
pub struct Frames {
    /// Of the preface, or of a frame's payload.
    skip: usize,
    head: [u8; HEAD],
    known: usize,
    refilled: Instant,
    /// What is left of each allowance, in frames.
    left: [f64; KINDS],
    /// CONTINUATION frames of the header that is being sent; empty DATA frames in a row.
    row: u32,
    /// The frame that is being read belongs to a request's header; whether the header ends with it.
    header: Option<bool>,
    /// When the last header began.
    header_begun: Instant,
}

/// What there were too many of; always the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flood {
    /// RFC 9113, 6.7.
    #[error("too many PING frames")]
    Ping,
    /// RFC 9113, 6.5.
    #[error("too many SETTINGS frames")]
    Settings,
    /// RFC 9113, 6.4: streams that are opened to be reset.
    #[error("too many RST_STREAM frames")]
    Reset,
    /// RFC 9113, 6.3.
    #[error("too many PRIORITY frames")]
    Priority,
    /// RFC 9113, 6.9.
    #[error("too many WINDOW_UPDATE frames")]
    WindowUpdate,
    /// RFC 9113, 6.1.
    #[error("too many empty DATA frames")]
    EmptyData,
    /// RFC 9113, 6.10.
    #[error("too many CONTINUATION frames")]
    Continuation,
}

/// An allowance.
struct Allowance {
    flood: Flood,
    /// At once.
    most: f64,
    /// Each second.
    by_time: f64,
    /// With each request.
    by_request: f64,
    /// With each KiB that passes, either way.
    by_kib: f64,
}

/// Clients measure round trips with PING while bodies pass (gRPC); they seldom change their settings; they may give up any
/// request, but not thousands for nothing; each window is opened after what filled it (Envoy: ten times for each frame).
const ALLOWANCES: [Allowance; KINDS] = [
    allowance(Flood::Ping, 1000.0, 100.0, 1.0, 1.0),
    allowance(Flood::Settings, 100.0, 5.0, 0.0, 0.0),
    allowance(Flood::Reset, 1000.0, 200.0, 0.0, 1.0),
    allowance(Flood::Priority, 1000.0, 100.0, 10.0, 0.0),
    allowance(Flood::WindowUpdate, 5000.0, 100.0, 4.0, 10.0),
];
const KINDS: usize = 5;

const fn allowance(flood: Flood, most: f64, by_time: f64, by_request: f64, by_kib: f64) -> Allowance {
    Allowance {
        flood,
        most,
        by_time,
        by_request,
        by_kib,
    }
}

impl Frames {
    /// At a connection's beginning.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            known: 0,
            refilled: now,
            left: ALLOWANCES.map(|allowance| allowance.most),
            row: 0,
            header: None,
            header_begun: now,
        }
    }

    /// When a request's header began whose last byte has not come.
    #[must_use]
    pub fn header_since(&self) -> Option<Instant> {
        let unfinished = self.header.is_some_and(|ends| !ends || self.skip > 0);
        unfinished.then_some(self.header_begun)
    }

    /// The next bytes.
    ///
    /// # Errors
    /// Says what there are too many of.
    pub fn feed(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Flood> {
        self.passed(bytes.len());
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEAD - self.known).min(bytes.len());
            if taken == 0 {
                return Ok(());
            }
            self.head[self.known..self.known + taken].copy_from_slice(&bytes[..taken]);
            self.known += taken;
            bytes = &bytes[taken..];
            if self.known == HEAD {
                self.known = 0;
                self.frame(now)?;
            }
        }
    }

    /// So many bytes went by, to or from the client.
    pub fn passed(&mut self, bytes: usize) {
        // No connection has as many at once as this would lose.
        let kib = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1024.0;
        self.give_back(|allowance| allowance.by_kib * kib);
    }

    fn frame(&mut self, now: Instant) -> Result<(), Flood> {
        let [a, b, c, kind, flags, ..] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        self.skip = length;
        let ends = flags & 1 != 0;
        if kind == HEADERS {
            self.header_begun = now;
        }
        self.header = matches!(kind, HEADERS | CONTINUATION).then_some(flags & END_HEADERS != 0);
        match kind {
            DATA if length == 0 && !ends => return self.in_a_row(MOST_EMPTY, Flood::EmptyData),
            CONTINUATION => return self.in_a_row(MOST_CONTINUATIONS, Flood::Continuation),
            _ => self.row = 0,
        }
        match kind {
            HEADERS => {
                self.give_back(|allowance| allowance.by_request);
                Ok(())
            }
            PRIORITY => self.spend(3, now),
            RST_STREAM => self.spend(2, now),
            // Answers to ours.
            SETTINGS | PING if ends => Ok(()),
            SETTINGS => self.spend(1, now),
            PING => self.spend(0, now),
            WINDOW_UPDATE => self.spend(4, now),
            _ => Ok(()),
        }
    }

    fn in_a_row(&mut self, most: u32, flood: Flood) -> Result<(), Flood> {
        self.row += 1;
        match self.row > most {
            true => Err(flood),
            false => Ok(()),
        }
    }

    fn spend(&mut self, kind: usize, now: Instant) -> Result<(), Flood> {
        if self.left[kind] < 1.0 {
            let passed = now.saturating_duration_since(self.refilled).as_secs_f64();
            self.refilled = now;
            self.give_back(|allowance| allowance.by_time * passed);
        }
        if self.left[kind] < 1.0 {
            return Err(ALLOWANCES[kind].flood);
        }
        self.left[kind] -= 1.0;
        Ok(())
    }

    fn give_back(&mut self, much: impl Fn(&Allowance) -> f64) {
        for (left, allowance) in self.left.iter_mut().zip(&ALLOWANCES) {
            *left = (*left + much(allowance)).min(allowance.most);
        }
    }
}

impl Flood {
    /// The closed reason, for metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Ping => "http2_ping_flood",
            Self::Settings => "http2_settings_flood",
            Self::Reset => "http2_reset_flood",
            Self::Priority => "http2_priority_flood",
            Self::WindowUpdate => "http2_window_update_flood",
            Self::EmptyData => "http2_empty_data_flood",
            Self::Continuation => "http2_continuation_flood",
        }
    }
}

/// What whoever serves the connection should know of its frames.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) flood: Cell<Option<Flood>>,
    /// Since when a request's header is unfinished.
    pub(super) header_since: Cell<Option<Instant>>,
}

/// A connection whose frames are counted.
pub(super) struct Counting {
    stream: Stream,
    frames: Frames,
    told: Rc<Told>,
    unsent: Rc<Unsent>,
    /// A frame of ours may have gone out in part.
    stalled: bool,
}

impl Counting {
    pub(super) fn new(stream: Stream, told: Rc<Told>, unsent: Rc<Unsent>) -> Self {
        Self {
            stream,
            frames: Frames::new(Instant::now()),
            told,
            unsent,
            stalled: false,
        }
    }

    /// The client is told, if that costs no waiting.
    fn refuse(&mut self, flood: Flood, cx: &mut Context<'_>) -> io::Error {
        self.told.flood.set(Some(flood));
        if !self.stalled {
            let _ = Pin::new(&mut self.stream).poll_write(cx, &CALM_DOWN);
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
        io::Error::new(io::ErrorKind::InvalidData, flood)
    }

    fn wrote(&mut self, wanted: usize, done: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.stalled = !matches!(done, Poll::Ready(Ok(n)) if n == wanted);
        if let Poll::Ready(Ok(bytes)) = done {
            self.frames.passed(bytes);
            self.unsent.written(bytes);
        }
        done
    }
}

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let fed = this.frames.feed(&buf.filled()[before..], Instant::now());
        this.told.header_since.set(this.frames.header_since());
        Poll::Ready(fed.map_err(|flood| this.refuse(flood, cx)))
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(buf.len(), done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(bufs.iter().map(|b| b.len()).sum(), done)
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

const PREFACE: usize = 24;
const HEAD: usize = 9;
const END_HEADERS: u8 = 4;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Streams that have nothing to say end.
const MOST_EMPTY: u32 = 100;
/// A header of 60 KiB has four frames, if they are as long as they may be.
const MOST_CONTINUATIONS: u32 = 64;
/// GOAWAY with ENHANCE_YOUR_CALM.
const CALM_DOWN: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];

#[cfg(test)]
mod tests;
