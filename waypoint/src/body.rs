//! The one type of body: of requests and answers, towards clients and endpoints.
//!
//! # Layout
//! - this file: [`Body`], a stream of frames, and why it ends early.
//! - [`mod@copy`]: the same body once more, for a copy of a request.
//! - [`memory`]: how much of bodies is held, all together.
//! - [`passed`]: how much of a message has passed, as it is on the wire.
//! - [`permit`]: a body that waits until it is asked for.
//! - [`replay`]: a request's body that can be sent again, while it is short.
//! - [`web`]: bodies from and to clients of gRPC-web.

pub mod copy;
pub mod memory;
pub mod passed;
pub mod permit;
pub mod replay;
pub mod web;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{self, HeaderName};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::mpsc;

pub use copy::CopyBody;
pub use memory::Memory;
pub use permit::Permit;
pub use replay::{Replay, ReplayBody};

use crate::filters::processing::ProcessedBody;
use permit::Waiting;
use web::{Coding, WebBody};

/// A body.
pub struct Body {
    content: Content,
    watcher: Option<Box<dyn Watch>>,
}

enum Content {
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    /// As somebody says it.
    Spoken(mpsc::UnboundedReceiver<Bytes>),
    Replay(ReplayBody),
    Copy(CopyBody),
    /// Seen by somebody else on its way.
    Processed(Box<ProcessedBody>),
    /// Behind a permit.
    Awaited(Box<(Waiting, ReplayBody)>),
    Web(Box<WebBody>),
}

/// Sees what passes, and how it ends.
pub trait Watch {
    /// These bytes passed.
    fn data(&mut self, data: &[u8]);

    /// Trailers passed.
    fn trailers(&mut self, _trailers: &http::HeaderMap) {}

    /// It is over, once: well, or because of this. Not called when the body is dropped before its end.
    fn ended(&mut self, result: Result<(), &BodyError>);

    /// Asked before each frame: ready when it may come.
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// Asked before each frame: whether it must end here, for instance because its time is over.
    fn poll_cut(&mut self, _cx: &mut Context<'_>) -> Poll<BodyError> {
        Poll::Pending
    }
}

/// Why a body ended early.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The sender broke it off, or broke the protocol.
    #[error("{0}")]
    Broken(std::sync::Arc<hyper::Error>),
    /// Its time is over.
    #[error("the time for it is over")]
    TimedOut,
    /// It is not allowed any more.
    #[error("a policy does not allow it any more")]
    Denied,
    /// It is not written as it should be.
    #[error(transparent)]
    Malformed(web::messages::Invalid),
    /// Whoever is shown it wants none of it, or does not answer.
    #[error("whoever processes it broke it off")]
    Processing,
    /// The beginning is needed again and is not kept.
    #[error("it is too long to be sent again")]
    NotKept,
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self::of(Content::Empty)
    }

    /// What somebody says, until the sender is dropped. Whoever says more than is sent fills the memory: it is for
    /// conversations, where each word waits for an answer.
    #[must_use]
    pub fn spoken() -> (mpsc::UnboundedSender<Bytes>, Self) {
        let (sender, words) = mpsc::unbounded_channel();
        (sender, Self::of(Content::Spoken(words)))
    }

    /// These bytes.
    #[must_use]
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        match bytes.is_empty() {
            true => Self::empty(),
            false => Self::of(Content::Full(bytes)),
        }
    }

    /// The same, watched. A body that is over already ends at once.
    #[must_use]
    pub fn watched(mut self, mut watcher: impl Watch + 'static) -> Self {
        if self.is_end_stream() {
            watcher.ended(Ok(()));
            return self;
        }
        debug_assert!(self.watcher.is_none(), "one watcher sees everything");
        self.watcher = Some(Box::new(watcher));
        self
    }

    /// A request's body that is not read before the permit is given.
    #[must_use]
    pub fn awaiting(permit: &Permit, body: ReplayBody) -> Self {
        Self::of(Content::Awaited(Box::new((Waiting::new(permit.clone()), body))))
    }

    /// What a client of gRPC-web sends, as servers of gRPC read it.
    #[must_use]
    pub fn web_request(self, coding: Coding) -> Self {
        Self::of(Content::Web(Box::new(WebBody::request(self, coding))))
    }

    /// What a server of gRPC answers, as clients of gRPC-web read it; `told` says that its head has the status already.
    #[must_use]
    pub fn web_answer(self, coding: Coding, told: bool) -> Self {
        Self::of(Content::Web(Box::new(WebBody::answer(self, coding, told))))
    }

    /// What somebody else sees on its way.
    pub(crate) fn processed(body: ProcessedBody) -> Self {
        Self::of(Content::Processed(Box::new(body)))
    }

    fn of(content: Content) -> Self {
        Self {
            content,
            watcher: None,
        }
    }

    fn poll_content(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.content {
            Content::Empty => Poll::Ready(None),
            Content::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.content = Content::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Content::Incoming(incoming) => Pin::new(incoming)
                .poll_frame(cx)
                .map_ok(without_forbidden_trailers)
                .map_err(|e| BodyError::Broken(e.into())),
            Content::Spoken(words) => words
                .poll_recv(cx)
                .map(|word| word.map(|word| Ok(Frame::data(word)))),
            Content::Replay(replay) => replay.poll_frame(cx),
            Content::Copy(copy) => copy.poll_frame(cx),
            Content::Processed(processed) => processed.poll_frame(cx),
            Content::Awaited(awaited) => {
                ready!(awaited.0.poll(cx));
                awaited.1.poll_frame(cx)
            }
            Content::Web(web) => web.poll_frame(cx),
        }
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Self::of(Content::Incoming(incoming))
    }
}

impl From<CopyBody> for Body {
    fn from(copy: CopyBody) -> Self {
        Self::of(Content::Copy(copy))
    }
}

impl From<ReplayBody> for Body {
    fn from(replay: ReplayBody) -> Self {
        Self::of(Content::Replay(replay))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(watcher) = &mut this.watcher
            && let Poll::Ready(error) = watcher.poll_cut(cx)
        {
            watcher.ended(Err(&error));
            this.watcher = None;
            this.content = Content::Empty;
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(watcher) = &mut this.watcher {
            ready!(watcher.poll_ready(cx));
        }
        let frame = ready!(this.poll_content(cx));
        if let Some(mut watcher) = this.watcher.take() {
            match &frame {
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        watcher.data(data);
                    } else if let Some(trailers) = frame.trailers_ref() {
                        watcher.trailers(trailers);
                    }
                    // Whoever sends it may ask for nothing behind the last frame.
                    match this.is_end_stream() {
                        true => watcher.ended(Ok(())),
                        false => this.watcher = Some(watcher),
                    }
                }
                Some(Err(error)) => watcher.ended(Err(error)),
                None => watcher.ended(Ok(())),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty => true,
            Content::Full(_) | Content::Spoken(_) => false,
            Content::Incoming(incoming) => incoming.is_end_stream(),
            Content::Replay(replay) => replay.is_end_stream(),
            Content::Copy(copy) => copy.is_end_stream(),
            Content::Processed(processed) => processed.is_end_stream(),
            Content::Awaited(awaited) => awaited.1.is_end_stream(),
            Content::Web(web) => web.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Incoming(incoming) => incoming.size_hint(),
            Content::Spoken(_) => SizeHint::default(),
            Content::Replay(replay) => replay.size_hint(),
            Content::Copy(copy) => copy.size_hint(),
            Content::Processed(processed) => processed.size_hint(),
            Content::Awaited(awaited) => awaited.1.size_hint(),
            Content::Web(web) => web.size_hint(),
        }
    }
}

/// Trailers without what says how a message is read, routed or allowed (RFC 9110, section 6.5.1): whoever merges them
/// into the header would read another message.
fn without_forbidden_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            for name in &FORBIDDEN_TRAILERS {
                trailers.remove(name);
            }
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}

const FORBIDDEN_TRAILERS: [HeaderName; 13] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::HOST,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
