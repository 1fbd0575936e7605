//! What is said to and fro about one request: one stream of gRPC, shared by the request, its answer and both bodies.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body::Body as _;
use mesh_extensions::framing::{self, FramingError, Reader, frame};
use mesh_extensions::processing::{BodyMode, Changes, Immediate, PROCESS, Part, Processed, Sent};
use mesh_model::l7::ServicePort;
use mesh_model::l7::processing::{BodySendMode, ExternalProcessing};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::body::Body;
use crate::filters::call::method_uri;
use crate::upstream::call::CallVersion;
use crate::worker::Worker;

/// Words about one request. Clones are the same conversation.
#[derive(Clone)]
pub(crate) struct Conversation {
    shared: Rc<RefCell<Shared>>,
    patience: Duration,
}

/// What becomes of a part that was sent.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// It goes on, changed.
    Go(Changes),
    /// It is answered with this instead.
    Answer(Rc<Immediate>),
    /// Nothing more is to be said: it goes on as it is.
    Over,
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("{0}")]
    Call(String),
    #[error("it took too long")]
    TimedOut,
    #[error("gRPC status {}: {}", .0.code, .0.message)]
    Status(framing::Status),
    #[error("it ended without a status")]
    NoStatus,
    #[error(transparent)]
    Framing(#[from] FramingError),
    #[error(transparent)]
    Misunderstood(#[from] mesh_extensions::Misunderstood),
    #[error("it answered about something that was not sent")]
    OtherPart,
    #[error("a body is longer than {0} bytes")]
    TooLong(u32),
    #[error("the body broke off")]
    Broken,
}

struct Shared {
    say: mpsc::UnboundedSender<Bytes>,
    first: Option<(BodyMode, BodyMode)>,
    hear: Hear,
    heard: Reader,
    /// Parts that were sent and not answered.
    asked: Vec<Part>,
    /// Answers that nobody has taken.
    answers: VecDeque<(Part, Changes)>,
    /// Nothing comes behind it.
    end: Option<End>,
    waiting: Arc<Waiting>,
}

enum Hear {
    Calling(Pin<Box<dyn Future<Output = Result<Body, Failed>>>>),
    Open(Body),
}

#[derive(Clone)]
enum End {
    Over,
    Answer(Rc<Immediate>),
    Failed(Failed),
}

/// Who waits for a word: the request, or one of the bodies, each in a task of its own. A word wakes all of them, as nobody
/// knows for whom it is before it is read.
#[derive(Default)]
struct Waiting(Mutex<Vec<Waker>>);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let waiting = std::mem::take(&mut *self.0.lock());
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Conversation {
    /// Begins one; the service is called when the first answer is waited for.
    pub(super) fn begin(worker: &Rc<Worker>, policy: &ExternalProcessing) -> Self {
        let (say, words) = Body::spoken();
        let call = call(worker.clone(), policy.service.clone(), policy.timeout, words);
        Self {
            shared: Rc::new(RefCell::new(Shared {
                say,
                first: Some((mode(policy.mode.request_body), mode(policy.mode.response_body))),
                hear: Hear::Calling(Box::pin(call)),
                heard: Reader::new(LONGEST_WORD),
                asked: Vec::new(),
                answers: VecDeque::new(),
                end: None,
                waiting: Arc::default(),
            })),
            patience: policy.timeout,
        }
    }

    /// Sends a part, to be answered.
    pub(super) fn say(&self, part: Part, sent: &Sent) {
        let mut shared = self.shared.borrow_mut();
        let word = match shared.first.take() {
            Some((request, response)) => sent.encode_first(request, response),
            None => sent.encode(),
        };
        shared.asked.push(part);
        // Nobody listens any more: it is over, as hearing will show.
        let _ = shared.say.send(frame(&word));
    }

    /// Sends a part and waits for the answer.
    pub(super) async fn ask(&self, part: Part, sent: &Sent) -> Result<Said, Failed> {
        self.say(part, sent);
        let answer = std::future::poll_fn(|cx| self.poll_answer(part, cx));
        match timeout(self.patience, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(self.time_is_over()),
        }
    }

    /// The next answer about a part.
    pub(super) fn poll_answer(&self, part: Part, cx: &mut Context<'_>) -> Poll<Result<Said, Failed>> {
        let mut shared = self.shared.borrow_mut();
        loop {
            let at = shared.answers.iter().position(|(about, _)| *about == part);
            if let Some((_, changes)) = at.and_then(|at| shared.answers.remove(at)) {
                return Poll::Ready(Ok(Said::Go(changes)));
            }
            match &shared.end {
                None => {}
                Some(End::Over) => return Poll::Ready(Ok(Said::Over)),
                Some(End::Answer(answer)) => return Poll::Ready(Ok(Said::Answer(answer.clone()))),
                Some(End::Failed(error)) => return Poll::Ready(Err(error.clone())),
            }
            shared.waiting.0.lock().push(cx.waker().clone());
            ready!(shared.poll_word());
            // Somebody else may have waited for this one.
            shared.waiting.wake_by_ref_all();
        }
    }

    /// Nobody waits for it any longer.
    pub(super) fn time_is_over(&self) -> Failed {
        self.shared.borrow_mut().end = Some(End::Failed(Failed::TimedOut));
        Failed::TimedOut
    }

    /// How it ended, if not well: what a body that broke off because of it cannot say.
    pub(super) fn verdict(&self) -> Option<Result<Rc<Immediate>, Failed>> {
        match &self.shared.borrow().end {
            None | Some(End::Over) => None,
            Some(End::Answer(answer)) => Some(Ok(answer.clone())),
            Some(End::Failed(error)) => Some(Err(error.clone())),
        }
    }
}

impl Waiting {
    fn wake_by_ref_all(self: &Arc<Self>) {
        self.clone().wake();
    }
}

impl Shared {
    /// Reads one word, or finds that there is no further one.
    fn poll_word(&mut self) -> Poll<()> {
        match ready!(self.poll_message()) {
            Ok(None) => self.end = Some(End::Over),
            Ok(Some(message)) => match Processed::decode(&message) {
                Ok(Processed::Answer(answer)) => self.end = Some(End::Answer(Rc::new(answer))),
                Ok(Processed::Go(part, changes)) => {
                    match self.asked.iter().position(|asked| *asked == part) {
                        Some(at) => {
                            self.asked.remove(at);
                            self.answers.push_back((part, changes));
                        }
                        None => self.end = Some(End::Failed(Failed::OtherPart)),
                    }
                }
                Err(error) => self.end = Some(End::Failed(error.into())),
            },
            Err(error) => self.end = Some(End::Failed(error)),
        }
        Poll::Ready(())
    }

    /// The next message; `None` where the other side has nothing more to say.
    fn poll_message(&mut self) -> Poll<Result<Option<Bytes>, Failed>> {
        let waker = Waker::from(self.waiting.clone());
        let cx = &mut Context::from_waker(&waker);
        loop {
            let hear = match &mut self.hear {
                Hear::Open(hear) => hear,
                Hear::Calling(call) => {
                    let hear = match ready!(call.as_mut().poll(cx)) {
                        Ok(hear) => hear,
                        Err(error) => return Poll::Ready(Err(error)),
                    };
                    self.hear = Hear::Open(hear);
                    continue;
                }
            };
            match self.heard.message() {
                Ok(Some(message)) => return Poll::Ready(Ok(Some(message))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            let Some(frame) = ready!(Pin::new(hear).poll_frame(cx)) else {
                return Poll::Ready(Err(Failed::NoStatus));
            };
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Err(Failed::Call(error.to_string()))),
            };
            match frame.into_data() {
                Ok(data) => self.heard.push(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return Poll::Ready(match framing::status(&trailers) {
                        Some(framing::Status { code: 0, .. }) => Ok(None),
                        Some(status) => Err(Failed::Status(status)),
                        None => Err(Failed::NoStatus),
                    });
                }
            }
        }
    }
}

async fn call(
    worker: Rc<Worker>,
    service: ServicePort,
    limit: Duration,
    words: Body,
) -> Result<Body, Failed> {
    let mut request = Request::new(words);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = method_uri(&service, PROCESS);
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(framing::CONTENT_TYPE),
    );
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let response = worker
        .upstream
        .call(&service, CallVersion::Http2, request, limit)
        .await;
    let response = response.map_err(|error| Failed::Call(error.to_string()))?;
    if response.status() != StatusCode::OK {
        return Err(Failed::Call(format!("the answer is {}", response.status())));
    }
    if let Some(status) = framing::status(response.headers()).filter(|status| status.code != 0) {
        return Err(Failed::Status(status));
    }
    Ok(response.into_body())
}

fn mode(mode: BodySendMode) -> BodyMode {
    match mode {
        BodySendMode::None => BodyMode::None,
        BodySendMode::Streamed => BodyMode::Streamed,
        BodySendMode::Buffered => BodyMode::Buffered,
    }
}

/// A body and what comes with it.
const LONGEST_WORD: u32 = 5 * 1024 * 1024;
