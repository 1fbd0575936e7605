//! HTTP/1.1 requests, each on a connection of its own or on those that are kept, as applications' clients keep them.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;

use crate::client::connect;

/// Whom to ask for what.
#[derive(Debug)]
pub(crate) struct Requests {
    to: SocketAddr,
    path: String,
    /// Connections that nobody uses now, where they are kept.
    kept: Option<Mutex<Vec<TcpStream>>>,
}

/// What of an answer decides about its connection.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    length: Option<u64>,
    closes: bool,
}

impl Requests {
    /// Of this path; `keep` says whether connections are used again.
    pub(crate) fn new(to: SocketAddr, path: &str, keep: bool) -> Self {
        Self {
            to,
            path: path.to_owned(),
            kept: keep.then(Mutex::default),
        }
    }

    /// Asks once. Only a whole answer of 200 is a success; nothing is asked twice.
    pub(crate) fn one(&self, limit: Duration) -> Result<()> {
        let mut stream = match self.idle() {
            Some(stream) => stream,
            None => connect(self.to, limit)?,
        };
        let end = if self.kept.is_some() {
            ""
        } else {
            "Connection: close\r\n"
        };
        let (to, path) = (self.to, &self.path);
        let request = format!("GET {path} HTTP/1.1\r\nHost: {to}\r\n{end}\r\n");
        stream.write_all(request.as_bytes()).context("write")?;
        let mut answer = BufReader::new(stream.try_clone()?);
        let head = head(&mut answer).context("read")?;
        let length = head.length.context("an answer without a length")?;
        let mut body = Vec::new();
        answer
            .by_ref()
            .take(length)
            .read_to_end(&mut body)
            .context("read")?;
        ensure!(
            body.len() as u64 == length,
            "cut after {} of {length} bytes",
            body.len()
        );
        if let Some(kept) = self.kept.as_ref().filter(|_| !head.closes) {
            kept.lock().push(stream);
        }
        Ok(())
    }

    /// A connection of before that the server has not closed meanwhile.
    fn idle(&self) -> Option<TcpStream> {
        loop {
            let stream = self.kept.as_ref()?.lock().pop()?;
            if is_open(&stream) {
                return Some(stream);
            }
        }
    }
}

/// Whether nothing came, not even the end.
fn is_open(stream: &TcpStream) -> bool {
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let quiet = matches!(looked, Err(error) if error.kind() == ErrorKind::WouldBlock);
    quiet && stream.set_nonblocking(false).is_ok()
}

fn head(answer: &mut BufReader<TcpStream>) -> Result<Head> {
    let mut status = String::new();
    if answer.read_line(&mut status)? == 0 {
        bail!("closed without an answer");
    }
    ensure!(
        status.split(' ').nth(1) == Some("200"),
        "answered {:?}",
        status.trim()
    );
    let mut head = Head::default();
    loop {
        let mut line = String::new();
        if answer.read_line(&mut line)? == 0 {
            bail!("closed within an answer's head");
        }
        let Some((name, value)) = line.trim().split_once(':') else {
            return Ok(head);
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.trim().parse().ok(),
            "connection" => head.closes = value.trim().eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}
