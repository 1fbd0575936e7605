//! Clients inside pods, as sockets of the test itself: what happens to each connection is seen exactly.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::ip::Namespace;
use mesh_net::Netns;

/// What became of a connection, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All of the answer, up to the server's end of the stream.
    Answered(String),
    /// The stream ended without a word.
    Closed,
    /// The connection was accepted and then reset.
    Reset,
    /// Nobody listens.
    Refused,
    /// No answer in time: what must never happen.
    Silent,
    /// Something else.
    Other(String),
}

/// Says `text` from inside a namespace, ends its side, and listens to the end.
pub(crate) fn say(from: &Namespace, to: SocketAddr, text: &str) -> Result<Fate> {
    Ok(match connect(from, to)? {
        Ok(stream) => converse(stream, text),
        Err(e) => Fate::of(&e),
    })
}

/// Connects from inside a namespace; each later step is bounded, too.
pub(crate) fn connect(from: &Namespace, to: SocketAddr) -> Result<io::Result<TcpStream>> {
    let netns = Netns::open(&from.path()).with_context(|| from.to_string())?;
    let stream = netns.run(|| TcpStream::connect_timeout(&to, LIMIT))?;
    Ok(stream.and_then(|stream| {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(stream)
    }))
}

/// A connection over which an echo went already, so that every part of it is established.
pub(crate) fn hold(from: &Namespace, to: SocketAddr) -> Result<Held> {
    let stream = connect(from, to)?.with_context(|| format!("{from} to {to}"))?;
    let mut held = Held(stream);
    held.echo("hold").with_context(|| format!("{from} to {to}"))?;
    Ok(held)
}

/// Listens inside a namespace.
pub(crate) fn listen(inside: &Namespace, at: SocketAddr) -> Result<TcpListener> {
    let netns = Netns::open(&inside.path()).with_context(|| inside.to_string())?;
    let listener = netns.run(|| TcpListener::bind(at))?;
    listener.with_context(|| format!("{inside}: {at}"))
}

/// An open connection to an echo server.
#[derive(Debug)]
pub(crate) struct Held(TcpStream);

impl Held {
    /// Sends a line and gets it back.
    pub(crate) fn echo(&mut self, line: &str) -> Result<()> {
        self.0.write_all(line.as_bytes()).context("write")?;
        let mut answer = vec![0; line.len()];
        self.0.read_exact(&mut answer).context("read")?;
        anyhow::ensure!(answer == line.as_bytes(), "garbled: {answer:?}");
        Ok(())
    }

    /// The client's own address.
    pub(crate) fn local(&self) -> Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }

    /// Waits for the end that the other side makes.
    pub(crate) fn end(mut self) -> Fate {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(0) => Fate::Closed,
            Ok(_) => Fate::Answered(String::from_utf8_lossy(&rest).into_owned()),
            Err(e) => Fate::of(&e),
        }
    }
}

impl Fate {
    /// Whether the connection came to nothing, and the client was told so.
    pub(crate) fn is_rejection(&self) -> bool {
        matches!(self, Self::Closed | Self::Reset | Self::Refused)
    }

    fn of(error: &io::Error) -> Self {
        match error.kind() {
            kind if tells_reset(kind) => Self::Reset,
            ErrorKind::ConnectionRefused => Self::Refused,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Silent,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// Whether an error of a connection that was made says that the other side reset it.
///
/// Which error says so depends on the call that meets the reset first: a read, a write, or a shutdown, which finds the
/// connection gone ("not connected") and leaves the reset itself to the next read.
pub(crate) fn tells_reset(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
    )
}

/// Both directions at once, so that a text larger than all buffers cannot lock up.
fn converse(mut stream: TcpStream, text: &str) -> Fate {
    let mut answer = Vec::new();
    let (read, written) = thread::scope(|scope| {
        let writing = stream.try_clone().map(|mut writer| {
            scope.spawn(move || {
                writer.write_all(text.as_bytes())?;
                writer.shutdown(Shutdown::Write)
            })
        });
        let read = stream.read_to_end(&mut answer);
        let written = writing.and_then(|w| w.join().expect("writing does not panic"));
        (read, written)
    });
    match (read, written) {
        (Err(e), _) => Fate::of(&e),
        // A reset is told once, to whoever of the two asks first.
        (Ok(0), Err(e)) => Fate::of(&e),
        (Ok(0), Ok(())) => Fate::Closed,
        (Ok(_), _) => Fate::Answered(String::from_utf8_lossy(&answer).into_owned()),
    }
}

/// Longer than anything takes, even on a machine that is busy with other things.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);
