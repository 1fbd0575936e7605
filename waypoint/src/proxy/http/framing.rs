//! Where a client's HTTP/1 requests begin and end, read before anybody interprets them (RFC 9112, sections 2.2, 5.2, 6
//! and 7.1).
//!
//! Two readers that see different ends of a request take its rest for different requests: that is request smuggling.
//! Whatever they could disagree about is refused here, also where the RFC lets a recipient mend it. What remains is left
//! to hyper, which reads the same bytes. `docs/decisions/http1-framing.md` has the rules one by one, with what hyper does.
//!
//! No byte is copied as long as lines come whole, and a body's bytes are only counted.

use memchr::memchr;

use super::gate::Phase;

/// A reader of one connection's bytes.
#[derive(Debug)]
pub struct Framing {
    state: State,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// Bytes of the head or of the trailers so far.
    section: usize,
    head: Head,
    limit: usize,
    /// Heads that came to their end.
    heads: u64,
    /// The head asked for a change of protocol, and nobody has answered yet.
    upgrading: bool,
}

/// Why a connection is refused; but for [`Self::NoRoom`] always the client's fault, and nothing to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// RFC 9112, 2.2: a recipient may take a single LF for the end of a line, and another one may not.
    #[error("a line ends without CR")]
    BareLf,
    /// RFC 9112, 2.2: one is tolerated.
    #[error("several empty lines in front of a request")]
    EmptyLines,
    /// RFC 9112, 5.2.
    #[error("a header is continued on a second line")]
    Folded,
    /// RFC 9112, 6.3.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    /// RFC 9112, 6.3: they may be equal, but some take the list for one number.
    #[error("several Content-Length headers")]
    SeveralLengths,
    /// RFC 9110, 8.6.
    #[error("Content-Length is no number")]
    InvalidLength,
    /// RFC 9112, 6.1.
    #[error("Transfer-Encoding is not exactly \"chunked\"")]
    UnknownEncoding,
    /// RFC 9112, 6.1.
    #[error("Transfer-Encoding in HTTP/1.0")]
    EncodingInHttp10,
    /// RFC 9112, 7.1.
    #[error("a chunk's size is no number, or something unexpected stands behind it")]
    ChunkSize,
    /// RFC 9112, 7.1.
    #[error("a chunk is longer than it said")]
    ChunkEnd,
    /// RFC 9110, 5.4; RFC 6585, 5.
    #[error("the header or trailer is too large")]
    TooLarge,
    /// This proxy has no memory left for the rest of a long head.
    #[error("no memory is left for a header of this length")]
    NoRoom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between requests; so many empty lines were passed over.
    Between(u8),
    Fields,
    /// So many bytes.
    Body(u64),
    ChunkSize,
    /// So many bytes, and CRLF.
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    Trailers,
    /// Nothing more until somebody says what became of the change of protocol.
    Held,
}

#[derive(Debug, Default)]
struct Head {
    http10: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl Framing {
    /// At a connection's beginning; heads and trailers have at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            state: State::Between(0),
            line: Vec::new(),
            section: 0,
            head: Head::default(),
            limit,
            heads: 0,
            upgrading: false,
        }
    }

    /// Reads on. Gives the number of bytes that may be passed on: all, unless a change of protocol is in question.
    ///
    /// # Errors
    /// Says what cannot be passed on. Nothing may be read after that.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.state {
                State::Held => break,
                State::Body(left) => {
                    let (rest, left) = skip(rest, left);
                    self.state = State::Body(left);
                    if left == 0 {
                        self.end();
                    }
                    rest
                }
                State::Chunk(left) => {
                    let (rest, left) = skip(rest, left);
                    self.state = match left {
                        0 => State::ChunkCr,
                        left => State::Chunk(left),
                    };
                    rest
                }
                State::ChunkCr => self.expect(rest, b'\r', State::ChunkLf)?,
                State::ChunkLf => self.expect(rest, b'\n', State::ChunkSize)?,
                State::Between(_) | State::Fields | State::ChunkSize | State::Trailers => {
                    self.take_line(rest)?
                }
            };
        }
        Ok(bytes.len() - rest.len())
    }

    /// The protocol was not changed: what follows is the next request.
    pub fn unchanged(&mut self) {
        self.upgrading = false;
        if self.state == State::Held {
            self.end();
        }
    }

    /// Whether nothing is to be read now.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.state == State::Held
    }

    /// How many heads came to their end.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether all that came were whole requests.
    pub(super) fn is_at_beginning(&self) -> bool {
        self.state == State::Between(0) && self.line.is_empty()
    }

    /// Bytes of a line, head or trailer whose end has not come; what is kept of them here counts once more.
    pub(super) fn begun(&self) -> usize {
        self.section + self.line.len()
    }

    /// What is being read.
    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::Between(_) if self.line.is_empty() => Phase::Between,
            State::Between(_) | State::Fields => Phase::Head,
            _ => Phase::Body,
        }
    }

    fn expect<'b>(&mut self, bytes: &'b [u8], wanted: u8, next: State) -> Result<&'b [u8], Violation> {
        if bytes[0] != wanted {
            return Err(Violation::ChunkEnd);
        }
        self.state = next;
        Ok(&bytes[1..])
    }

    fn take_line<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Violation> {
        let end = memchr(b'\n', bytes);
        let (taken, rest) = bytes.split_at(end.map_or(bytes.len(), |end| end + 1));
        self.section += taken.len();
        let limit = match self.state {
            State::ChunkSize => LONGEST_CHUNK_LINE,
            _ => self.limit,
        };
        if self.section > limit {
            return Err(match self.state {
                State::ChunkSize => Violation::ChunkSize,
                _ => Violation::TooLarge,
            });
        }
        if end.is_none() {
            self.line.extend_from_slice(taken);
            return Ok(rest);
        }
        if self.line.is_empty() {
            self.line_of(taken)?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(taken);
            self.line_of(&line)?;
        }
        Ok(rest)
    }

    /// One line, with its end.
    fn line_of(&mut self, line: &[u8]) -> Result<(), Violation> {
        let line = line.strip_suffix(b"\r\n").ok_or(Violation::BareLf)?;
        match self.state {
            State::Between(passed) if line.is_empty() => {
                self.section = 0;
                self.state = State::Between(passed + 1);
                if passed > 0 {
                    return Err(Violation::EmptyLines);
                }
            }
            State::Between(_) => {
                self.state = State::Fields;
                // A tunnel's bytes follow CONNECT if it is granted, which it never is: the answer closes the connection.
                self.head = Head {
                    http10: line.ends_with(b" HTTP/1.0"),
                    upgrade: line.starts_with(b"CONNECT "),
                    ..Head::default()
                };
            }
            State::Fields if line.is_empty() => self.end_of_head()?,
            State::Fields => self.head.field(line)?,
            State::Trailers if line.is_empty() => self.end(),
            State::Trailers if is_folded(line) => return Err(Violation::Folded),
            State::ChunkSize => {
                self.section = 0;
                self.state = match chunk_size(line)? {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn end_of_head(&mut self) -> Result<(), Violation> {
        self.section = 0;
        self.heads += 1;
        self.upgrading = self.head.upgrade;
        match (self.head.chunked, self.head.length) {
            (true, Some(_)) => return Err(Violation::LengthAndEncoding),
            (true, None) if self.head.http10 => return Err(Violation::EncodingInHttp10),
            (true, None) => self.state = State::ChunkSize,
            (false, None | Some(0)) => self.end(),
            (false, Some(length)) => self.state = State::Body(length),
        }
        Ok(())
    }

    /// Of a request.
    fn end(&mut self) {
        self.section = 0;
        self.state = match self.upgrading {
            true => State::Held,
            false => State::Between(0),
        };
    }
}

impl Head {
    fn field(&mut self, line: &[u8]) -> Result<(), Violation> {
        if is_folded(line) {
            return Err(Violation::Folded);
        }
        match line[0] | 0x20 {
            b'c' => match value_of(line, b"content-length") {
                Some(_) if self.length.is_some() => return Err(Violation::SeveralLengths),
                Some(value) => self.length = Some(length(value)?),
                None => {}
            },
            b't' => match value_of(line, b"transfer-encoding") {
                Some(value) if self.chunked || !value.eq_ignore_ascii_case(b"chunked") => {
                    return Err(Violation::UnknownEncoding);
                }
                Some(_) => self.chunked = true,
                None => {}
            },
            b'u' => self.upgrade |= value_of(line, b"upgrade").is_some(),
            _ => {}
        }
        Ok(())
    }
}

impl Violation {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::TooLarge => 431,
            Self::NoRoom => 503,
            // RFC 9112, 6.1.
            Self::UnknownEncoding => 501,
            _ => 400,
        }
    }

    /// The closed reason (`%RESPONSE_CODE_DETAILS%`).
    #[must_use]
    pub fn details(self) -> &'static str {
        match self {
            Self::BareLf => "http1.bare_lf",
            Self::EmptyLines => "http1.empty_lines",
            Self::Folded => "http1.obsolete_folding",
            Self::LengthAndEncoding => "http1.content_length_and_chunked_not_allowed",
            Self::SeveralLengths => "http1.several_content_lengths",
            Self::InvalidLength => "http1.invalid_content_length",
            Self::UnknownEncoding => "http1.invalid_transfer_encoding",
            Self::EncodingInHttp10 => "http1.transfer_encoding_not_allowed",
            Self::ChunkSize | Self::ChunkEnd => "http1.invalid_chunk",
            Self::TooLarge => "http1.headers_too_large",
            Self::NoRoom => "overload",
        }
    }
}

fn skip(bytes: &[u8], left: u64) -> (&[u8], u64) {
    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (&bytes[here..], left - here as u64)
}

fn is_folded(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// The value of a header line, if it is this header's.
fn value_of<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// RFC 9110, 8.6: digits only; no sign, no list.
fn length(value: &[u8]) -> Result<u64, Violation> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok())
        .ok_or(Violation::InvalidLength)
}

/// RFC 9112, 7.1: hexadecimal digits, and what may stand behind a semicolon. White space between them is "bad" there,
/// and some take what follows it for a part of the number.
fn chunk_size(line: &[u8]) -> Result<u64, Violation> {
    let end = line.iter().position(|b| *b == b';').unwrap_or(line.len());
    let (digits, extension) = line.split_at(end);
    if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Violation::ChunkSize);
    }
    if extension.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err(Violation::ChunkSize);
    }
    let text = std::str::from_utf8(digits).map_err(|_| Violation::ChunkSize)?;
    u64::from_str_radix(text, 16).map_err(|_| Violation::ChunkSize)
}

/// A chunk's size with its extensions.
const LONGEST_CHUNK_LINE: usize = 1024;

#[cfg(test)]
mod tests;
