//! What is to be changed? (`envoy.service.ext_proc.v3.ExternalProcessor`) Messages go to and fro on one stream for each
//! request: for each that is sent, one is answered.

mod wire;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::headers::HeaderChange;

/// The method.
pub const PROCESS: &str = "/envoy.service.ext_proc.v3.ExternalProcessor/Process";

/// Which part of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The request's head.
    RequestHeaders,
    /// The request's body.
    RequestBody,
    /// The request's trailers.
    RequestTrailers,
    /// The answer's head.
    ResponseHeaders,
    /// The answer's body.
    ResponseBody,
    /// The answer's trailers.
    ResponseTrailers,
}

/// How a body is sent (`ProcessingMode.BodySendMode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyMode {
    /// Not at all.
    #[default]
    None,
    /// Each piece as it comes.
    Streamed,
    /// As a whole.
    Buffered,
}

/// What is to be sent further, instead of what was wanted so far (`ProcessingMode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeOverride {
    /// The answer's head.
    pub response_headers: bool,
    /// The request's body.
    pub request_body: BodyMode,
    /// The answer's body.
    pub response_body: BodyMode,
    /// The request's trailers.
    pub request_trailers: bool,
    /// The answer's trailers.
    pub response_trailers: bool,
}

/// A part that is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A head, with its pseudo headers.
    Headers {
        /// Of the request or of the answer.
        of_request: bool,
        /// In their order.
        headers: Vec<(String, HeaderValue)>,
        /// There is no body.
        end: bool,
    },
    /// A body.
    Body {
        /// Of the request or of the answer.
        of_request: bool,
        /// All of it, or the next piece.
        body: Bytes,
        /// Nothing comes behind it.
        end: bool,
    },
    /// What comes behind a body.
    Trailers {
        /// Of the request or of the answer.
        of_request: bool,
        /// In their order.
        headers: Vec<(String, HeaderValue)>,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Processed {
    /// It goes on, changed.
    Go(Part, Changes),
    /// It is answered with this instead.
    Answer(Immediate),
}

/// Changes of what was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Headers to set.
    pub headers: Vec<HeaderChange>,
    /// Headers to take away.
    pub remove: Vec<HeaderName>,
    /// The body instead of the one that was sent, or, if [`Self::finish`], that would be.
    pub body: Option<Bytes>,
    /// Nothing further of this request or answer is to be sent.
    pub finish: bool,
    /// The route is chosen again.
    pub choose_again: bool,
    /// What is to be sent further; only the answer to a head says so.
    pub mode: Option<ModeOverride>,
}

/// An answer from a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Immediate {
    /// The status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<HeaderChange>,
    /// Its body.
    pub body: Bytes,
    /// The status for clients of gRPC.
    pub grpc_status: Option<u8>,
    /// Why, for logs.
    pub details: String,
}

#[cfg(test)]
pub(crate) mod tests;
