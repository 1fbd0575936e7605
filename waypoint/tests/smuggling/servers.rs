//! Servers of HTTP/1 that differ in what they take. Each is a function: a connection's bytes in, requests out.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a server reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// As RFC 9112 wants it of whoever reads what clients write: an empty line in front, HTTP/1.0 and whole URIs, too.
    Rfc,
    /// What a proxy may write.
    Strict,
    /// Bare LF, folded lines, spaces before colons, underscores for dashes, numbers with signs, and anything that sounds
    /// like `chunked`.
    Lenient,
    /// As lenient, and Content-Length counts where there is one.
    Lengths,
}

/// Those that stand behind the waypoint.
pub(crate) const SERVERS: [Reader; 3] = [Reader::Strict, Reader::Lenient, Reader::Lengths];

/// A request that a server read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// As far as it came, a character for each byte; without what chunks put around it.
    pub(crate) body: String,
    /// It came to its end.
    pub(crate) whole: bool,
}

/// What a server reads of a connection's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) requests: Vec<Seen>,
    pub(crate) end: End,
    /// Bytes of whole requests.
    pub(crate) consumed: usize,
    /// The client of the last one waits to be told to go on.
    expects: bool,
}

/// What stands at the end of a connection's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing: the last request is whole.
    Between,
    /// A request that may go on.
    Within,
    /// What this server does not take.
    Bad,
}

/// Why there is no more.
enum Stop {
    More,
    Bad,
}

/// Reads all of it.
pub(crate) fn read(bytes: &[u8], reader: Reader) -> Read {
    let mut read = Read {
        requests: Vec::new(),
        end: End::Between,
        consumed: 0,
        expects: false,
    };
    while read.consumed < bytes.len() {
        let mut request = None;
        let stop = one(bytes, read.consumed, reader, &mut request, &mut read.expects);
        read.requests.extend(request);
        match stop {
            Ok(end) => read.consumed = end,
            Err(Stop::More) => read.end = End::Within,
            Err(Stop::Bad) => read.end = End::Bad,
        }
        if read.end != End::Between {
            return read;
        }
    }
    read
}

/// What a connection from the waypoint has carried since somebody took it.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) bytes: Vec<u8>,
    answered: usize,
    /// Of so many requests the clients were told to go on.
    told: usize,
}

impl Wire {
    /// What is to be said now, and whether there may be more: what is a whole request to this server, or to a strict one,
    /// is answered. Whoever waits for more than was sent would wait for ever, and is found out by what it reads.
    fn answer(&mut self, reader: Reader) -> (String, bool) {
        let (own, strict) = (read(&self.bytes, reader), read(&self.bytes, Reader::Strict));
        let going = own.end != End::Bad || strict.end != End::Bad;
        let expects = strict.expects && strict.end == End::Within;
        let whole = |read: Read| -> Vec<Seen> { read.requests.into_iter().filter(|r| r.whole).collect() };
        let (own, strict) = (whole(own), whole(strict));
        let requests = if own.len() > strict.len() { own } else { strict };
        let mut answers = String::new();
        for Seen { method, target, .. } in requests.iter().skip(self.answered) {
            let body = if method == "HEAD" { "" } else { "ok" };
            let seen = format!("x-seen: {method} {target}");
            answers += &format!("HTTP/1.1 200 OK\r\n{seen}\r\ncontent-length: 2\r\n\r\n{body}");
        }
        self.answered = self.answered.max(requests.len());
        if expects && self.told <= self.answered {
            self.told = self.answered + 1;
            answers += "HTTP/1.1 100 Continue\r\n\r\n";
        }
        (answers, going)
    }
}

/// Reads requests to the connection's end, notes every byte, and answers.
pub(crate) async fn serve(mut stream: TcpStream, reader: Reader, wire: Rc<RefCell<Wire>>) {
    loop {
        let (answers, going) = wire.borrow_mut().answer(reader);
        if stream.write_all(answers.as_bytes()).await.is_err() || !going {
            return;
        }
        let mut more = Vec::new();
        match stream.read_buf(&mut more).await {
            Ok(0) | Err(_) => return,
            Ok(_) => wire.borrow_mut().bytes.extend(more),
        }
    }
}

/// A line, without its end, and where the next one begins.
fn line(bytes: &[u8], at: usize, reader: Reader) -> Result<(&[u8], usize), Stop> {
    let end = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|b| *b == b'\n'));
    let end = at + end.ok_or(Stop::More)?;
    let line = &bytes[at..end];
    match line.strip_suffix(b"\r") {
        Some(line) => Ok((line, end + 1)),
        None if reader.is_strict() => Err(Stop::Bad),
        None => Ok((line, end + 1)),
    }
}

/// One request, from `at`; gives its end. What is known of it is there also where it has none.
fn one(
    bytes: &[u8],
    mut at: usize,
    reader: Reader,
    request: &mut Option<Seen>,
    expects: &mut bool,
) -> Result<usize, Stop> {
    let (mut first, mut next) = line(bytes, at, reader)?;
    let mut empty = 0;
    while first.is_empty() {
        empty += 1;
        if reader == Reader::Strict || reader == Reader::Rfc && empty > 1 {
            return Err(Stop::Bad);
        }
        at = next;
        (first, next) = line(bytes, at, reader)?;
    }
    let (method, target, version) = request_line(first, reader)?;
    let (head, next) = fields(bytes, next, reader)?;
    if reader.is_strict() && (head.hosts > 1 || head.hosts == 0 && version != "HTTP/1.0") {
        return Err(Stop::Bad);
    }
    if reader == Reader::Rfc && (method == "CONNECT" || version == "HTTP/1.0" && head.chunked) {
        return Err(Stop::Bad);
    }
    *expects = head.expects;
    let seen = request.insert(Seen {
        method,
        target,
        body: String::new(),
        whole: false,
    });
    let mut body = Vec::new();
    let chunked = head.chunked && !(reader == Reader::Lengths && head.length.is_some());
    let end = match chunked {
        true => chunks(bytes, next, reader, &mut body),
        false => {
            let end = next.saturating_add(head.length.unwrap_or(0));
            body.extend(&bytes[next..end.min(bytes.len())]);
            if end <= bytes.len() {
                Ok(end)
            } else {
                Err(Stop::More)
            }
        }
    };
    seen.body = body.into_iter().map(char::from).collect();
    seen.whole = end.is_ok();
    end
}

fn request_line(line: &[u8], reader: Reader) -> Result<(String, String, String), Stop> {
    let text = String::from_utf8_lossy(line).into_owned();
    let words: Vec<&str> = match reader.is_strict() {
        true => text.split(' ').collect(),
        false => text.split_whitespace().collect(),
    };
    let word = |n: usize| words.get(n).copied().unwrap_or_default().to_owned();
    let (method, mut target, version) = (word(0), word(1), word(2));
    if !reader.is_strict() {
        return Ok((method, target, version));
    }
    let is_version = version == "HTTP/1.1" || reader == Reader::Rfc && version == "HTTP/1.0";
    let is_method = !method.is_empty() && method.bytes().all(is_token);
    if words.len() != 3 || !is_version || !is_method || target.bytes().any(|b| b.is_ascii_control()) {
        return Err(Stop::Bad);
    }
    if reader == Reader::Rfc {
        // RFC 9112, 3.2.2. What stands behind a number sign is no part of a target, and nobody's.
        if let Some((_, rest)) = target.split_once("://") {
            target = rest
                .find('/')
                .map_or_else(|| "/".to_owned(), |at| rest[at..].to_owned());
        }
        target.truncate(target.find('#').unwrap_or(target.len()));
    }
    if !(target.starts_with('/') || target == "*" && method == "OPTIONS") {
        return Err(Stop::Bad);
    }
    Ok((method, target, version))
}

#[derive(Default)]
struct Head {
    length: Option<usize>,
    chunked: bool,
    hosts: u32,
    expects: bool,
}

fn fields(bytes: &[u8], mut next: usize, reader: Reader) -> Result<(Head, usize), Stop> {
    let strict = reader.is_strict();
    let mut head = Head::default();
    loop {
        let (field, behind) = line(bytes, next, reader)?;
        next = behind;
        if field.is_empty() {
            return Ok((head, next));
        }
        let text = String::from_utf8_lossy(field).to_ascii_lowercase();
        let Some((name, value)) = text.split_once(':') else {
            match strict {
                true => return Err(Stop::Bad),
                false => continue,
            }
        };
        let control = |b: u8| b.is_ascii_control() && b != b'\t';
        if strict && (name.is_empty() || !name.bytes().all(is_token) || value.bytes().any(control)) {
            return Err(Stop::Bad);
        }
        // Who is lenient takes an underscore for a dash, as CGI does.
        let name = match strict {
            true => name.to_owned(),
            false => name.trim().replace('_', "-"),
        };
        let value = match strict {
            true => value.trim_matches([' ', '\t']),
            false => value.trim_matches(|c: char| c.is_whitespace() || c.is_control()),
        };
        match name.as_str() {
            "host" => head.hosts += 1,
            "expect" => head.expects = value == "100-continue",
            "content-length" if strict => {
                let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                let number = value.parse().ok().filter(|_| digits).ok_or(Stop::Bad)?;
                if head.length.replace(number).is_some() || head.chunked {
                    return Err(Stop::Bad);
                }
            }
            "content-length" => head.length = head.length.or_else(|| number(value)),
            "transfer-encoding" if strict => {
                if value != "chunked" || head.chunked || head.length.is_some() {
                    return Err(Stop::Bad);
                }
                head.chunked = true;
            }
            "transfer-encoding" => head.chunked |= value.contains("chunked"),
            _ => {}
        }
    }
}

/// Chunks and trailers; gives their end.
fn chunks(bytes: &[u8], mut next: usize, reader: Reader, body: &mut Vec<u8>) -> Result<usize, Stop> {
    let strict = reader.is_strict();
    loop {
        let (size, behind) = line(bytes, next, reader)?;
        let size = String::from_utf8_lossy(size).into_owned();
        if strict && size.bytes().any(|b| b.is_ascii_control()) {
            return Err(Stop::Bad);
        }
        let digits = size.split(';').next().unwrap_or_default();
        let size = match strict {
            true => {
                let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
                let size = usize::from_str_radix(digits, 16).ok();
                size.filter(|_| all && digits.len() <= 16).ok_or(Stop::Bad)?
            }
            false => hex(digits).ok_or(Stop::Bad)?,
        };
        next = behind;
        if size == 0 {
            break;
        }
        let end = next.saturating_add(size);
        body.extend(&bytes[next.min(bytes.len())..end.min(bytes.len())]);
        next = end;
        if bytes.len() < next {
            return Err(Stop::More);
        }
        // Who is lenient passes over whatever stands behind a chunk.
        if strict && bytes.len() > next && !b"\r\n".starts_with(&bytes[next..bytes.len().min(next + 2)]) {
            return Err(Stop::Bad);
        }
        next = line(bytes, next, reader)?.1;
    }
    loop {
        let (trailer, behind) = line(bytes, next, reader)?;
        next = behind;
        if trailer.is_empty() {
            return Ok(next);
        }
        if strict
            && !trailer
                .iter()
                .position(|b| *b == b':')
                .is_some_and(|at| trailer[..at].iter().all(|b| is_token(*b)))
        {
            return Err(Stop::Bad);
        }
    }
}

impl Reader {
    fn is_strict(self) -> bool {
        matches!(self, Self::Rfc | Self::Strict)
    }
}

/// RFC 9110, 5.6.2.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// A number as C reads it: what stands in front, with a sign.
fn number(value: &str) -> Option<usize> {
    let value = value.trim_start_matches(['+', ' ', '\t', '"']);
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    value[..end].parse().ok()
}

fn hex(digits: &str) -> Option<usize> {
    let digits = digits.trim().trim_start_matches('+');
    let digits = digits.strip_prefix("0x").unwrap_or(digits);
    let end = digits
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    // Too many digits run over.
    let last = &digits[..end][end.saturating_sub(8)..];
    usize::from_str_radix(last, 16).ok()
}
