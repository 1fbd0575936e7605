//! How much of a message has passed, counted as it is on the wire.
//!
//! HTTP/1 is counted byte by byte. Heads of HTTP/2 are counted as they would be without compression: what they become in
//! it depends on all that passed before.

use std::rc::Rc;

use http::{HeaderMap, Method, StatusCode, Uri, Version, header};
use http_body::SizeHint;
use tokio::time::Instant;

use crate::telemetry::Call;

/// A body on its way.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// Its bytes.
    pub bytes: u64,
    /// What was around them: chunks, frames, trailers.
    pub around: u64,
    /// When it ended.
    pub ended: Option<Instant>,
    framing: Framing,
    /// Whose messages are counted, and which.
    call: Option<(Rc<Call>, Direction)>,
}

/// Which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A request's.
    FromClient,
    /// An answer's.
    ToClient,
}

/// What is around the bytes of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Nothing.
    #[default]
    Bare,
    /// Chunks of HTTP/1.1.
    Chunked,
    /// Frames of HTTP/2.
    Frames,
}

impl Framing {
    /// Of a request's body.
    #[must_use]
    pub fn of_request(version: Version, headers: &HeaderMap) -> Self {
        match version {
            Version::HTTP_2 => Self::Frames,
            _ if headers.contains_key(header::TRANSFER_ENCODING) => Self::Chunked,
            _ => Self::Bare,
        }
    }

    /// Of an answer's body; `size` is what is known of it before.
    #[must_use]
    pub fn of_answer(version: Version, head: &http::response::Parts, size: &SizeHint) -> Self {
        match version {
            Version::HTTP_2 => Self::Frames,
            Version::HTTP_11
                if size.exact().is_none() && !head.headers.contains_key(header::CONTENT_LENGTH) =>
            {
                Self::Chunked
            }
            _ => Self::Bare,
        }
    }

    fn around(self, bytes: usize) -> u64 {
        let bytes = bytes as u64;
        match self {
            Self::Bare => 0,
            Self::Chunked => hex_digits(bytes) + 4,
            Self::Frames => FRAME * bytes.div_ceil(LONGEST_FRAME),
        }
    }

    fn end(self, trailers: Option<&HeaderMap>) -> u64 {
        let fields = trailers.map_or(0, |trailers| self.fields(trailers));
        match self {
            Self::Bare => 0,
            Self::Chunked => LAST_CHUNK + fields,
            Self::Frames if trailers.is_some() => FRAME + fields,
            Self::Frames => 0,
        }
    }

    fn fields(self, headers: &HeaderMap) -> u64 {
        let around = match self {
            // RFC 7541, 6.2.2: a type, and two lengths.
            Self::Frames => 3,
            Self::Bare | Self::Chunked => ": \r\n".len(),
        };
        let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            name.as_str().len() + value.len() + around
        };
        headers.iter().map(field).sum::<usize>() as u64
    }
}

impl Passed {
    /// Of a body with so much around it.
    pub fn framed(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// Its messages are counted there.
    pub fn counted(&mut self, call: Rc<Call>, direction: Direction) {
        self.call = Some((call, direction));
    }

    /// Its messages are not counted.
    pub fn uncounted(&mut self) {
        self.call = None;
    }

    /// These bytes passed.
    pub fn data(&mut self, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        self.bytes += data.len() as u64;
        self.around += self.framing.around(data.len());
        if let Some((call, direction)) = &self.call {
            call.read(*direction, data);
        }
    }

    /// It is over, with these trailers.
    pub fn end(&mut self, trailers: Option<&HeaderMap>) {
        if self.ended.is_none() {
            self.around += self.framing.end(trailers);
            self.ended = Some(Instant::now());
        }
    }
}

/// The head of a request, as it came.
#[must_use]
pub fn request_head(version: Version, method: &Method, uri: &Uri, headers: &HeaderMap) -> u64 {
    let path = uri.path_and_query().map_or(1, |path| path.as_str().len());
    if version == Version::HTTP_2 {
        let authority = uri
            .authority()
            .map_or(0, |authority| authority.as_str().len() + 2);
        let scheme = uri.scheme_str().map_or(0, str::len);
        let pseudo = method.as_str().len() + scheme + path + 3 * 2 + authority;
        return FRAME + pseudo as u64 + Framing::Frames.fields(headers);
    }
    let line = method.as_str().len() + path + "  HTTP/1.1\r\n\r\n".len();
    line as u64 + Framing::Bare.fields(headers)
}

/// The head of an answer, as it goes; `framing` is its body's, `size` what is known of it before.
#[must_use]
pub fn answer_head(version: Version, head: &http::response::Parts, framing: Framing, size: &SizeHint) -> u64 {
    if version == Version::HTTP_2 {
        return FRAME + "200".len() as u64 + 2 + Framing::Frames.fields(&head.headers);
    }
    let reason = head.status.canonical_reason().unwrap_or("<none>").len();
    let line = "HTTP/1.1 200 \r\n\r\n".len() + reason;
    let said = head.headers.contains_key(header::CONTENT_LENGTH) || has_no_body(head.status);
    let added = match (framing, size.exact()) {
        (Framing::Chunked, _) => "transfer-encoding: chunked\r\n".len() as u64,
        (_, Some(length)) if !said => "content-length: \r\n".len() as u64 + digits(length),
        _ => 0,
    };
    line as u64 + added + framing.fields(&head.headers)
}

fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn digits(n: u64) -> u64 {
    u64::from(n.checked_ilog10().unwrap_or(0)) + 1
}

fn hex_digits(n: u64) -> u64 {
    u64::from(n.checked_ilog2().unwrap_or(0) / 4) + 1
}

/// RFC 9113, section 4.1.
const FRAME: u64 = 9;
/// RFC 9113, section 4.2: what everybody takes.
const LONGEST_FRAME: u64 = 16_384;
/// `0`, and the empty line behind the trailers.
const LAST_CHUNK: u64 = 5;

#[cfg(test)]
mod tests;
