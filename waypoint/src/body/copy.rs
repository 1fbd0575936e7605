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
}

impl Copies {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn add(&mut self, hint: SizeHint) -> CopyBody {
        let queue = Rc::new(RefCell::new(Queue {
            data: VecDeque::new(),
            bytes: 0,
            end: None,
            hint,
            waker: None,
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
    ) -> CopyBody {
        let mut only = Self::none();
        let copy = only.add(hint);
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
            if queue.bytes > LIMIT {
                queue.finish(Err(BodyError::NotKept));
                return false;
            }
            queue.data.push_back(data.clone());
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
        }
        self.end.get_or_insert(result);
        self.wake();
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

/// What waits for a slow copy.
const LIMIT: usize = 1024 * 1024;

#[cfg(test)]
mod tests;
