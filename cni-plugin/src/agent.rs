//! One HTTP/1.1 request over the agent's Unix socket: blocking, bounded in time and size.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::event::Event;

/// The agent's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The HTTP status; 200 means yes.
    pub status: u16,
    /// The reason, where it says no.
    pub text: String,
}

/// Why there is no answer. Each may be gone at the next try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// Nobody listens on the socket.
    #[error(
        "the node agent is not running: cannot connect to {path}: {source}; its pods: kubectl get pods -A -o wide -l app=istio-cni"
    )]
    Unreachable {
        /// The socket.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// It took too long.
    #[error("the node agent at {path} did not answer within {seconds} s")]
    TimedOut {
        /// The socket.
        path: String,
        /// How long it was given.
        seconds: u64,
    },
    /// The connection broke.
    #[error("the connection to the node agent at {path} broke: {source}")]
    Broken {
        /// The socket.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The connection ended before the answer: the agent was stopped or killed meanwhile.
    #[error(
        "the node agent at {path} ended before it answered (stopped, killed or restarted meanwhile): nothing is \
         known to be done, so the runtime has to ask again; if this repeats, the agent's log says why it ends"
    )]
    Ended {
        /// The socket.
        path: String,
    },
    /// The answer is no HTTP, or endless.
    #[error("the node agent's answer is malformed: {0}")]
    Malformed(&'static str),
}

/// Sends `event` and waits for the answer.
///
/// # Errors
/// Fails when nobody listens, when the agent does not answer in time, and when the answer is no HTTP.
pub fn ask(socket: &Path, event: &Event, within: Duration) -> Result<Answer, AgentError> {
    let path = || socket.display().to_string();
    let stream =
        UnixStream::connect(socket).map_err(|source| AgentError::Unreachable { path: path(), source })?;
    let deadline = Deadline::after(within);
    match exchange(stream, event, &deadline) {
        Ok(bytes) if head_end(&bytes).is_none() && bytes.len() < MAX_ANSWER => {
            Err(AgentError::Ended { path: path() })
        }
        Ok(bytes) => parse(&bytes),
        Err(error) if is_timeout(&error) => Err(AgentError::TimedOut {
            path: path(),
            seconds: within.as_secs(),
        }),
        // A process that is killed with unread bytes resets.
        Err(error) if has_ended(&error) => Err(AgentError::Ended { path: path() }),
        Err(source) => Err(AgentError::Broken { path: path(), source }),
    }
}

fn exchange(mut stream: UnixStream, event: &Event, deadline: &Deadline) -> io::Result<Vec<u8>> {
    let body = event.body();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: lateen-node\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        event.path(),
        body.len()
    );
    stream.set_write_timeout(Some(deadline.left()?))?;
    stream.write_all(&[head.as_bytes(), &body].concat())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !is_complete(&answer) && answer.len() < MAX_ANSWER {
        stream.set_read_timeout(Some(deadline.left()?))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&chunk[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(answer)
}

/// Reads a whole answer.
///
/// # Errors
/// Fails when it is no HTTP/1.
pub fn parse(bytes: &[u8]) -> Result<Answer, AgentError> {
    let head_end = head_end(bytes).ok_or(AgentError::Malformed("it ends within its head"))?;
    let head =
        std::str::from_utf8(&bytes[..head_end]).map_err(|_| AgentError::Malformed("its head is no text"))?;
    let status = head
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|code| code.get(..3)?.parse().ok())
        .ok_or(AgentError::Malformed("its first line is no HTTP status"))?;
    let body = &bytes[head_end + 4..];
    let text = match header(head, "transfer-encoding") {
        Some(coding) if coding.eq_ignore_ascii_case("chunked") => unchunk(body),
        _ => body.to_vec(),
    };
    // One line, without what could confuse a terminal or a log.
    let text = String::from_utf8_lossy(&text).replace(|c: char| c.is_control(), " ");
    let text = text.trim().chars().take(MAX_TEXT).collect();
    Ok(Answer { status, text })
}

/// Whether the announced body has arrived; an answer without a length ends with the connection.
fn is_complete(bytes: &[u8]) -> bool {
    let Some(head_end) = head_end(bytes) else {
        return false;
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]);
    let length = header(&head, "content-length").and_then(|length| length.parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() - (head_end + 4) >= length)
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// The chunks of a chunked body (RFC 9112, section 7.1), as far as they are whole.
fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some(line_end) = body.windows(2).position(|window| window == b"\r\n") {
        let line = String::from_utf8_lossy(&body[..line_end]);
        let size = line
            .split(';')
            .next()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let rest = &body[line_end + 2..];
        match size {
            Some(size) if size > 0 && size <= rest.len() => {
                text.extend_from_slice(&rest[..size]);
                body = rest[size..].strip_prefix(b"\r\n").unwrap_or_default();
            }
            _ => break,
        }
    }
    text
}

fn has_ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[expect(
    clippy::disallowed_types,
    reason = "this program has no tokio clock that a test could pause"
)]
struct Deadline(std::time::Instant);

#[expect(
    clippy::disallowed_types,
    reason = "this program has no tokio clock that a test could pause"
)]
impl Deadline {
    fn after(within: Duration) -> Self {
        Self(std::time::Instant::now() + within)
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.0.saturating_duration_since(std::time::Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

const MAX_ANSWER: usize = 64 * 1024;
const MAX_TEXT: usize = 1024;

#[cfg(test)]
mod tests;
