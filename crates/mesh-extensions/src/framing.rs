//! Messages of gRPC in a body (gRPC over HTTP/2, "Requests", "Responses").

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderMap;

/// The media type of requests and answers.
pub const CONTENT_TYPE: &str = "application/grpc";

/// Why there is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FramingError {
    /// The body ends within a message, or there is none.
    #[error("the body ends within a message")]
    Short,
    /// More than one message where one was to come.
    #[error("more than one message")]
    Several,
    /// It is compressed, which nobody asked for.
    #[error("a compressed message")]
    Compressed,
    /// It is longer than what is taken.
    #[error("a message of {0} bytes")]
    TooLong(u32),
}

/// The status of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// 0 is success.
    pub code: u32,
    /// For people.
    pub message: String,
}

/// Messages out of the pieces of a body.
#[derive(Debug)]
pub struct Reader {
    buffer: BytesMut,
    limit: u32,
}

/// A message as it stands in a body.
#[must_use]
pub fn frame(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// The one message of a body.
///
/// # Errors
/// When there is none, or another one, or it is longer than `limit`.
pub fn single(body: &[u8], limit: u32) -> Result<Bytes, FramingError> {
    let mut reader = Reader::new(limit);
    reader.push(body);
    let message = reader.message()?.ok_or(FramingError::Short)?;
    match reader.buffer.is_empty() {
        true => Ok(message),
        false => Err(FramingError::Several),
    }
}

impl Reader {
    /// Takes messages up to so many bytes.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            buffer: BytesMut::new(),
            limit,
        }
    }

    /// A piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next message, if all of it has come.
    ///
    /// # Errors
    /// When it is compressed, or longer than what is taken.
    pub fn message(&mut self) -> Result<Option<Bytes>, FramingError> {
        if self.buffer.len() < PREFIX {
            return Ok(None);
        }
        let length = u32::from_be_bytes([self.buffer[1], self.buffer[2], self.buffer[3], self.buffer[4]]);
        if self.buffer[0] != 0 {
            return Err(FramingError::Compressed);
        }
        if length > self.limit {
            return Err(FramingError::TooLong(length));
        }
        let length = length as usize;
        if self.buffer.len() - PREFIX < length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Whether nothing is left of a message that has begun.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// The status in trailers, or in the headers of an answer without a body; absent when there is none.
#[must_use]
pub fn status(headers: &HeaderMap) -> Option<Status> {
    let code = headers.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let message = headers.get("grpc-message").map(|value| value.as_bytes());
    Some(Status {
        code,
        message: percent_decoded(message.unwrap_or_default()),
    })
}

/// At most a line of it.
fn percent_decoded(text: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(text.len().min(LONGEST_MESSAGE));
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first()
        && decoded.len() < LONGEST_MESSAGE
    {
        rest = tail;
        let hex = (*byte == b'%').then(|| tail.get(..2)).flatten();
        let encoded = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match encoded {
            Some(byte) => {
                decoded.push(byte);
                rest = &tail[2..];
            }
            None => decoded.push(*byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// One byte of flags, four of length.
const PREFIX: usize = 5;
const LONGEST_MESSAGE: usize = 1024;

#[cfg(test)]
mod tests;
