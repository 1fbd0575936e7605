//! A request's body that can be sent again while it is short: one buffer for retries and copies.
//!
//! Frames pass through as they come; their first [`LIMIT`] bytes are kept (shared with what is sent, not copied). Beyond
//! that nothing is kept, and the request can be tried only once more than it was, that is: not again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use super::copy::{Copies, CopyBody};
use super::memory::{Memory, Share};
use super::passed::Passed;
use super::{Body, BodyError};

/// A body, to be sent any number of times while it is short. Clones are the same body.
#[derive(Clone)]
pub struct Replay {
    shared: Rc<RefCell<Shared>>,
}

/// The beginning of a body.
#[derive(Clone, Debug)]
pub struct Filled {
    /// Its bytes.
    pub bytes: Bytes,
    /// They are all of it.
    pub complete: bool,
    /// It broke off.
    pub error: bool,
}

/// One time that it is sent.
pub struct ReplayBody {
    shared: Rc<RefCell<Shared>>,
    /// How many of the kept frames were sent.
    sent: usize,
    trailers_sent: bool,
    /// Which time it is: only the last one may read on.
    turn: u64,
}

struct Shared {
    source: Body,
    kept: VecDeque<Bytes>,
    kept_bytes: usize,
    /// As much, and no more.
    keep_up_to: usize,
    trailers: Option<HeaderMap>,
    /// More came than is kept.
    overflown: bool,
    ended: bool,
    error: Option<BodyError>,
    turn: u64,
    passed: Passed,
    /// Wakes who waits for more of it, or for its end.
    on_more: Option<Waker>,
    /// The client is waited for: it was asked for more and has not sent any.
    waits: bool,
    /// When it last was not, or nobody asked it.
    moved: Instant,
    /// What it may have in all, told in advance.
    hint: SizeHint,
    copies: Copies,
    /// What is kept counts here.
    share: Option<Share>,
}

impl std::fmt::Debug for Replay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replay").finish_non_exhaustive()
    }
}

impl Replay {
    /// Of what comes in.
    #[must_use]
    pub fn new(source: impl Into<Body>) -> Self {
        let source = source.into();
        let (ended, hint) = (source.is_end_stream(), source.size_hint());
        Self {
            shared: Rc::new(RefCell::new(Shared {
                source,
                kept: VecDeque::new(),
                kept_bytes: 0,
                keep_up_to: LIMIT,
                trailers: None,
                overflown: false,
                ended,
                error: None,
                turn: 0,
                passed: Passed::default(),
                on_more: None,
                waits: false,
                moved: Instant::now(),
                hint,
                copies: Copies::none(),
                share: None,
            })),
        }
    }

    /// What is kept of it counts.
    #[must_use]
    pub fn counted(self, memory: &Memory) -> Self {
        self.shared.borrow_mut().share = Some(memory.share());
        self
    }

    /// The body from its beginning; what was sent before ends.
    ///
    /// Sent again after it has become too long, it fails with [`BodyError::NotKept`].
    #[must_use]
    pub fn body(&self) -> ReplayBody {
        let mut shared = self.shared.borrow_mut();
        shared.turn += 1;
        shared.pause();
        ReplayBody {
            shared: self.shared.clone(),
            sent: 0,
            trailers_sent: false,
            turn: shared.turn,
        }
    }

    /// The body for a copy of the request; asked for before anything of it is sent.
    #[must_use]
    pub fn copy(&self) -> CopyBody {
        let mut shared = self.shared.borrow_mut();
        let shared = &mut *shared;
        let end = shared.ended.then(|| shared.trailers.clone());
        // What was looked at before it is sent belongs to the copy, too.
        let share = shared.share.as_ref().map(|share| share.memory().share());
        shared.copies.add_after(shared.hint, &shared.kept, end, share)
    }

    /// Whether it could be sent from its beginning now.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let shared = self.shared.borrow();
        !shared.overflown && shared.error.is_none()
    }

    /// Whether all of it has come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.shared.borrow().ended
    }

    /// Ready once all of it has come, or it broke off. One waits for it at a time.
    pub fn poll_completed(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.borrow_mut();
        if shared.ended || shared.error.is_some() {
            return Poll::Ready(());
        }
        shared.on_more = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Since when its client is not the one who is waited for: its last bytes came then, or nobody has asked for more
    /// since. Ready when it is so; one waits for it at a time.
    pub fn poll_since(&self, cx: &mut Context<'_>) -> Poll<Instant> {
        let mut shared = self.shared.borrow_mut();
        if !shared.waits {
            return Poll::Ready(shared.moved);
        }
        shared.on_more = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The same, as it is now.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        let shared = self.shared.borrow();
        (!shared.waits).then_some(shared.moved)
    }

    /// The whole of it, if it has come and is kept.
    #[must_use]
    pub fn whole(&self) -> Option<Bytes> {
        let shared = self.shared.borrow();
        if !shared.ended || shared.overflown {
            return None;
        }
        Some(match shared.kept.len() {
            0 => Bytes::new(),
            1 => shared.kept[0].clone(),
            _ => shared.kept.iter().flatten().copied().collect(),
        })
    }

    /// Waits for the first `limit` bytes, or for all of it if that is less, and keeps them, however many they are, for
    /// whoever sends it. To be called before any [`Self::body`].
    pub async fn fill(&self, limit: usize) -> Filled {
        std::future::poll_fn(|cx| self.shared.borrow_mut().poll_fill(limit, cx)).await;
        let shared = self.shared.borrow();
        let mut bytes = BytesMut::with_capacity(shared.kept_bytes.min(limit));
        for kept in &shared.kept {
            let left = limit - bytes.len();
            bytes.extend_from_slice(&kept[..kept.len().min(left)]);
        }
        Filled {
            bytes: bytes.freeze(),
            complete: shared.ended && shared.kept_bytes <= limit,
            error: shared.error.is_some(),
        }
    }

    /// Other bytes instead of all of it, once all of it has come and is kept; its trailers stay.
    pub fn replace(&self, bytes: Bytes) {
        let mut shared = self.shared.borrow_mut();
        debug_assert!(shared.ended && !shared.overflown, "the whole of it is replaced");
        shared.kept_bytes = bytes.len();
        shared.count();
        shared.hint = SizeHint::with_exact(bytes.len() as u64);
        shared.kept.clear();
        if !bytes.is_empty() {
            shared.kept.push_back(bytes);
        }
    }

    /// How much has come.
    #[must_use]
    pub fn passed(&self) -> Passed {
        self.shared.borrow().passed.clone()
    }

    /// How what comes is counted; said before any of it has come.
    pub fn count(&self, how: impl FnOnce(&mut Passed)) {
        how(&mut self.shared.borrow_mut().passed);
    }

    /// Why it broke off, if it did.
    #[must_use]
    pub fn error(&self) -> Option<BodyError> {
        self.shared.borrow().error.clone()
    }
}

impl ReplayBody {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let source = self.shared.clone();
        let shared = source.borrow_mut();
        if self.turn != shared.turn {
            return Poll::Ready(Some(Err(BodyError::NotKept)));
        }
        if let Some(kept) = shared.kept.get(self.sent) {
            self.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(kept.clone()))));
        }
        if shared.overflown && self.sent == 0 {
            return Poll::Ready(Some(Err(BodyError::NotKept)));
        }
        if !shared.ended {
            return self.poll_source(shared, cx);
        }
        let trailers = shared.trailers.clone().filter(|_| !self.trailers_sent);
        self.trailers_sent = true;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let shared = self.shared.borrow();
        let all_sent = shared.overflown || self.sent == shared.kept.len();
        shared.ended && all_sent && (self.trailers_sent || shared.trailers.is_none())
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let shared = self.shared.borrow();
        match shared.hint.exact() {
            // What is left of it, for this time.
            Some(all) if self.sent == 0 => SizeHint::with_exact(all),
            _ => SizeHint::default(),
        }
    }

    fn poll_source(
        &mut self,
        mut shared: std::cell::RefMut<'_, Shared>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(shared.poll_more(cx));
        let frame = match frame {
            Some(Ok(frame)) => super::without_forbidden_trailers(frame),
            Some(Err(error)) => {
                shared.error = Some(error.clone());
                shared.copies.end(&Err(error.clone()));
                shared.wake();
                return Poll::Ready(Some(Err(error)));
            }
            None => {
                shared.end();
                return Poll::Ready(None);
            }
        };
        match frame.data_ref() {
            Some(data) => {
                shared.passed.data(data);
                let data = data.clone();
                shared.copies.data(&data);
                shared.keep(data);
                // After an overflow any number but 0 says that this time it was sent from its beginning.
                self.sent = if shared.overflown {
                    usize::MAX
                } else {
                    shared.kept.len()
                };
            }
            None => {
                shared.trailers = frame.trailers_ref().cloned();
                self.trailers_sent = true;
            }
        }
        if shared.source.is_end_stream() {
            shared.end();
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Shared {
    fn poll_fill(&mut self, limit: usize, cx: &mut Context<'_>) -> Poll<()> {
        // What comes with the last byte that is wanted is kept as well.
        self.keep_up_to = self.keep_up_to.max(limit.saturating_add(LONGEST_FRAME));
        while !self.ended && self.error.is_none() && self.kept_bytes <= limit {
            match ready!(self.poll_more(cx)) {
                Some(Ok(frame)) => match super::without_forbidden_trailers(frame).into_data() {
                    Ok(data) => {
                        self.passed.data(&data);
                        self.keep(data);
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => {
                    self.copies.end(&Err(error.clone()));
                    self.error = Some(error);
                    self.wake();
                }
                None => self.end(),
            }
            if self.source.is_end_stream() {
                self.end();
            }
        }
        Poll::Ready(())
    }

    fn end(&mut self) {
        self.ended = true;
        self.passed.end(self.trailers.as_ref());
        self.copies.end(&Ok(self.trailers.clone()));
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.on_more.take() {
            waker.wake();
        }
    }

    /// More from the client.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = std::pin::Pin::new(&mut self.source).poll_frame(cx);
        if frame.is_pending() {
            self.waits = true;
            return Poll::Pending;
        }
        self.moved = Instant::now();
        if std::mem::take(&mut self.waits) {
            self.wake();
        }
        frame
    }

    /// Nobody asks for more at the moment.
    fn pause(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.moved = Instant::now();
            self.wake();
        }
    }

    fn keep(&mut self, data: Bytes) {
        self.kept_bytes += data.len();
        // A request without a body is no burden, nor is what somebody is to look at who was asked for it before.
        let short = || self.share.as_ref().is_some_and(Share::is_high) && self.kept_bytes > LITTLE;
        if self.overflown || self.kept_bytes > self.keep_up_to || self.keep_up_to == LIMIT && short() {
            self.overflown = true;
            self.kept.clear();
            if let Some(share) = &mut self.share {
                share.clear();
            }
            return;
        }
        self.kept.push_back(data);
        self.count();
    }

    fn count(&mut self) {
        if let Some(share) = &mut self.share {
            share.set(self.kept_bytes);
        }
    }
}

/// As much as linkerd2-proxy and agentgateway keep: most request bodies that are worth a retry are shorter.
pub const LIMIT: usize = 64 * 1024;
/// However short memory is.
const LITTLE: usize = 4 * 1024;
/// Hyper hands out no more at once: what fits into its buffers, or into a frame of HTTP/2.
const LONGEST_FRAME: usize = 1024 * 1024;
