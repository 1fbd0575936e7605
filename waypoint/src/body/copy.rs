//! The body of a copy of a request: what comes of the original, as it comes. Whoever takes the copy never holds the
//! original up: one that is too slow loses it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::BodyError;
use super::memory::Share;

/// The body of one copy.
pub struct CopyBody {
    queue: Rc<RefCell<Queue>>,
}

/// Where the original's frames go.
#[derive(Clone)]
pub(super) struct Copies(Vec<Rc<RefCell<Queue>>>);

struct Queue {
    data: VecDeque<Bytes>,
    bytes: usize,
    end: Option<Result<Option<HeaderMap>, BodyError>>,
    hint: SizeHint,
    waker: Option<Waker>,
    /// What waits counts here.
    share: Option<Share>,
}

impl Copies {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn add(&mut self, hint: SizeHint, share: Option<Share>) -> CopyBody {
        let queue = Rc::new(RefCell::new(Queue {
            data: VecDeque::new(),
            bytes: 0,
            end: None,
            hint,
            waker: None,
            share,
        }));
        self.0.push(queue.clone());
        CopyBody { queue }
    }

    /// A copy of which this has come already, and the end, with its trailers, if there is one.
    pub(super) fn add_after(
        &mut self,
        hint: SizeHint,
        kept: &VecDeque<Bytes>,
        end: Option<Option<HeaderMap>>,
        share: Option<Share>,
    ) -> CopyBody {
        let mut only = Self::none();
        let copy = only.add(hint, share);
        kept.iter().for_each(|data| only.data(data));
        if let Some(trailers) = end {
            only.end(&Ok(trailers));
        }
        self.0.append(&mut only.0);
        copy
    }

    pub(super) fn data(&mut self, data: &Bytes) {
        self.0.retain(|queue| {
            let mut queue = queue.borrow_mut();
            queue.bytes += data.len();
            let short = queue.bytes > LITTLE && queue.share.as_ref().is_some_and(Share::is_high);
            if queue.bytes > LIMIT || short {
                queue.finish(Err(BodyError::NotKept));
                return false;
            }
            queue.data.push_back(data.clone());
            queue.count();
            queue.wake();
            true
        });
    }

    pub(super) fn end(&mut self, result: &Result<Option<HeaderMap>, BodyError>) {
        for queue in self.0.drain(..) {
            queue.borrow_mut().finish(result.clone());
        }
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        // The original broke off; its copies may not look whole.
        self.end(&Err(BodyError::NotKept));
    }
}

impl Queue {
    fn finish(&mut self, result: Result<Option<HeaderMap>, BodyError>) {
        if result.is_err() {
            self.data.clear();
            self.bytes = 0;
            self.count();
        }
        self.end.get_or_insert(result);
        self.wake();
    }

    fn count(&mut self) {
        if let Some(share) = &mut self.share {
            share.set(self.bytes);
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl CopyBody {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut queue = self.queue.borrow_mut();
        if let Some(data) = queue.data.pop_front() {
            queue.bytes -= data.len();
            queue.count();
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match &mut queue.end {
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(Ok(trailers)) => Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            Some(Err(error)) => Poll::Ready(Some(Err(error.clone()))),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let queue = self.queue.borrow();
        queue.data.is_empty() && matches!(queue.end, Some(Ok(None)))
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.queue.borrow().hint
    }
}

/// However short memory is.
const LITTLE: usize = 4 * 1024;
/// What waits for a slow copy.
const LIMIT: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
