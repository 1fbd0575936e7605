//! A body whose pieces somebody else sees, and changes, as they come.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use mesh_extensions::processing::{Part, Sent};
use tokio::time::{Sleep, sleep};

use super::conversation::{Conversation, Failed, Said};
use super::{Rules, plain};
use crate::body::{Body, BodyError};

/// A body that is processed while it passes: its data, its trailers, or both.
pub struct ProcessedBody {
    source: Body,
    conversation: Conversation,
    rules: Rules,
    of_request: bool,
    data: bool,
    trailers: bool,
    /// Pieces that were sent and not answered, as they were.
    unanswered: VecDeque<Bytes>,
    unanswered_bytes: usize,
    /// Nothing comes from the source any more.
    ended: bool,
    /// What came behind the data.
    behind: Behind,
    /// Nothing more is asked: all goes on as it is.
    passing: bool,
    patience: Option<Pin<Box<Sleep>>>,
}

enum Behind {
    Nothing,
    Trailers(HeaderMap),
    Asked(HeaderMap),
}

impl ProcessedBody {
    /// Of a body, whose data and trailers are sent or not.
    pub(super) fn new(
        source: Body,
        conversation: Conversation,
        rules: Rules,
        of_request: bool,
        data: bool,
        trailers: bool,
    ) -> Self {
        Self {
            source,
            conversation,
            rules,
            of_request,
            data,
            trailers,
            unanswered: VecDeque::new(),
            unanswered_bytes: 0,
            ended: false,
            behind: Behind::Nothing,
            passing: false,
            patience: None,
        }
    }

    /// The next frame.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let waits = match self.poll_answered(cx) {
                Poll::Ready(Ok(Some(data))) if data.is_empty() => continue,
                Poll::Ready(Ok(Some(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Poll::Ready(Ok(None)) => false,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => true,
            };
            if !self.ended && self.unanswered_bytes < WINDOW {
                match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
                    None => self.end(Behind::Nothing),
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) if self.passing || !self.data => {
                            return Poll::Ready(Some(Ok(Frame::data(data))));
                        }
                        Ok(data) => self.send(data, self.source.is_end_stream()),
                        Err(frame) => {
                            let trailers = frame.into_trailers().unwrap_or_default();
                            self.end(Behind::Trailers(trailers));
                        }
                    },
                }
                continue;
            }
            if waits {
                return Poll::Pending;
            }
            return self.poll_behind(cx);
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.ended && self.unanswered.is_empty() && matches!(self.behind, Behind::Nothing)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match self.data {
            true => SizeHint::default(),
            false => self.source.size_hint(),
        }
    }

    /// The oldest piece that was sent, as it is to go on; nothing where none waits.
    fn poll_answered(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyError>> {
        if self.unanswered.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let part = match self.of_request {
            true => Part::RequestBody,
            false => Part::ResponseBody,
        };
        let changed = match self.passing {
            true => None,
            false => match ready!(self.poll_said(part, cx)) {
                Ok(Some(changes)) => changes.body,
                Ok(None) => None,
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        let was = self.unanswered.pop_front().unwrap_or_default();
        self.unanswered_bytes -= was.len();
        Poll::Ready(Ok(Some(changed.unwrap_or(was))))
    }

    /// What becomes of a part; nothing where it goes on as it is.
    fn poll_said(
        &mut self,
        part: Part,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<mesh_extensions::processing::Changes>, BodyError>> {
        let said = match self.conversation.poll_answer(part, cx) {
            Poll::Ready(said) => said,
            Poll::Pending => {
                let limit = self.rules.policy.timeout;
                let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(limit)));
                ready!(patience.as_mut().poll(cx));
                Err(self.conversation.time_is_over())
            }
        };
        self.patience = None;
        Poll::Ready(match said {
            Ok(Said::Go(changes)) => Ok(Some(changes)),
            Ok(Said::Over) => {
                self.passing = true;
                Ok(None)
            }
            Ok(Said::Answer(_)) => Err(BodyError::Processing),
            Err(error) => match self.goes_on(&error) {
                true => Ok(None),
                false => Err(BodyError::Processing),
            },
        })
    }

    fn goes_on(&mut self, error: &Failed) -> bool {
        self.passing = self.rules.failed(error);
        self.passing
    }

    fn send(&mut self, data: Bytes, end: bool) {
        let part = match self.of_request {
            true => Part::RequestBody,
            false => Part::ResponseBody,
        };
        let sent = Sent::Body {
            of_request: self.of_request,
            body: data.clone(),
            end,
        };
        self.conversation.say(part, &sent);
        self.ended |= end;
        self.unanswered_bytes += data.len();
        self.unanswered.push_back(data);
    }

    /// The source is at its end: the other side is told, if it was not with the last piece.
    fn end(&mut self, behind: Behind) {
        let trailers = matches!(behind, Behind::Trailers(_)) && self.trailers;
        if self.data && !self.passing && !trailers {
            self.send(Bytes::new(), true);
        }
        self.ended = true;
        self.behind = behind;
    }

    fn poll_behind(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let part = match self.of_request {
            true => Part::RequestTrailers,
            false => Part::ResponseTrailers,
        };
        match std::mem::replace(&mut self.behind, Behind::Nothing) {
            Behind::Nothing => return Poll::Ready(None),
            Behind::Trailers(trailers) if self.passing || !self.trailers => {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            Behind::Trailers(trailers) => {
                let sent = Sent::Trailers {
                    of_request: self.of_request,
                    headers: plain(&trailers).collect(),
                };
                self.conversation.say(part, &sent);
                self.behind = Behind::Asked(trailers);
            }
            asked @ Behind::Asked(_) => self.behind = asked,
        }
        let said = ready!(self.poll_said(part, cx));
        let Behind::Asked(mut trailers) = std::mem::replace(&mut self.behind, Behind::Nothing) else {
            return Poll::Ready(None);
        };
        match said {
            Err(error) => return Poll::Ready(Some(Err(error))),
            Ok(None) => {}
            Ok(Some(changes)) => self.rules.change_fields(&mut trailers, &changes),
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

/// Bytes that may be on their way to the other side and back: one frame does not wait for the other's answer.
const WINDOW: usize = 64 * 1024;
