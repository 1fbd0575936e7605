//! gRPC-web (gRPC, "gRPC-Web protocol"): requests as servers of gRPC read them, and answers as browsers do, whose last
//! message has the trailers in it.
//!
//! Nothing is held back: a piece goes on as it came, read or written as base64 where the client wants text. What is kept
//! of it are the beginning of a message's head and of four characters.
//!
//! # Layout
//! - this file: [`WebBody`], either direction.
//! - [`messages`]: where messages end. Pure.
//! - [`text`]: base64 in pieces. Pure.

pub mod messages;
pub mod text;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};

use super::{Body, BodyError};
use messages::{Invalid, Messages};
use text::Text;

/// How the bytes of gRPC-web are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As they are: `application/grpc-web`.
    Binary,
    /// In base64: `application/grpc-web-text`.
    Text,
}

/// A body on its way from or to a client of gRPC-web.
pub struct WebBody {
    source: Body,
    way: Way,
    messages: Messages,
    ended: bool,
}

enum Way {
    /// A request, to a server of gRPC. In base64 if there is a reader of it.
    Request(Option<Text>),
    /// An answer. `told`: its status is in its head.
    Answer { coding: Coding, told: bool },
}

impl WebBody {
    /// A client's request; what comes out is gRPC's.
    #[must_use]
    pub fn request(source: Body, coding: Coding) -> Self {
        let text = (coding == Coding::Text).then(Text::default);
        Self::new(source, Way::Request(text))
    }

    /// A server's answer; `told` says that its head has the status already.
    #[must_use]
    pub fn answer(source: Body, coding: Coding, told: bool) -> Self {
        Self::new(source, Way::Answer { coding, told })
    }

    fn new(source: Body, way: Way) -> Self {
        Self {
            ended: source.is_end_stream(),
            source,
            way,
            messages: Messages::default(),
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while !self.ended {
            let frame = match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(self.broken(error)),
                None => return Poll::Ready(self.end(None)),
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                // Nothing stands behind trailers.
                Err(frame) => return Poll::Ready(self.end(frame.into_trailers().ok())),
            };
            match self.pass(data) {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(invalid) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(BodyError::Malformed(invalid))));
                }
            }
        }
        Poll::Ready(None)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.ended
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.way {
            Way::Request(None) => self.source.size_hint(),
            _ => SizeHint::default(),
        }
    }

    fn pass(&mut self, data: Bytes) -> Result<Bytes, Invalid> {
        match &mut self.way {
            Way::Request(text) => {
                let data = match text {
                    Some(text) => text.read(&data)?,
                    None => data,
                };
                self.messages.feed(&data)?;
                Ok(data)
            }
            Way::Answer { coding, .. } => {
                let coding = *coding;
                self.messages.feed(&data)?;
                Ok(written(data, coding))
            }
        }
    }

    /// The source is over; of an answer, with these trailers.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.ended = true;
        let whole = self.messages.is_between();
        match &self.way {
            Way::Request(text) => {
                let whole = whole && text.as_ref().is_none_or(Text::is_between);
                (!whole).then_some(Err(BodyError::Malformed(Invalid::CutOff)))
            }
            Way::Answer { .. } if !whole => Some(Err(BodyError::Malformed(Invalid::CutOff))),
            Way::Answer { coding, told } => match trailers {
                Some(trailers) => Some(last(&trailers, *coding)),
                None if *told => None,
                // gRPC, "Status codes": a server that says nothing.
                None => Some(last(&status(2, "the server gave no status"), *coding)),
            },
        }
    }

    /// A client that reads an answer learns why it ends, where that can still be said.
    fn broken(&mut self, error: BodyError) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.ended = true;
        match &self.way {
            Way::Answer { coding, told: false } if self.messages.is_between() => {
                let (code, message) = match &error {
                    BodyError::TimedOut => (4, "the time for it is over"),
                    BodyError::Denied => (7, "a policy does not allow it any more"),
                    _ => (14, "the server broke it off"),
                };
                Some(last(&status(code, message), *coding))
            }
            _ => Some(Err(error)),
        }
    }
}

fn status(code: u8, message: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", u16::from(code).into());
    trailers.insert("grpc-message", http::HeaderValue::from_static(message));
    trailers
}

/// The last message: what are trailers elsewhere, as lines of HTTP/1.
fn last(trailers: &HeaderMap, coding: Coding) -> Result<Frame<Bytes>, BodyError> {
    let mut message = BytesMut::with_capacity(64);
    message.put_u8(messages::TRAILERS);
    message.put_u32(0);
    for (name, value) in trailers {
        message.put_slice(name.as_str().as_bytes());
        message.put_slice(b": ");
        message.put_slice(value.as_bytes());
        message.put_slice(b"\r\n");
    }
    let length = message.len() - messages::HEAD;
    let length = u32::try_from(length).map_err(|_| BodyError::Malformed(Invalid::TooLong))?;
    message[1..messages::HEAD].copy_from_slice(&length.to_be_bytes());
    Ok(Frame::data(written(message.freeze(), coding)))
}

/// Each piece by itself, so that none waits for the next one (as Envoy, and as clients expect).
fn written(data: Bytes, coding: Coding) -> Bytes {
    match coding {
        Coding::Binary => data,
        Coding::Text => STANDARD.encode(data).into(),
    }
}

#[cfg(test)]
mod tests;
