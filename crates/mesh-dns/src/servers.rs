//! One question to the machine's servers.
//!
//! A question is passed on as it is, with an id of its own: what comes back is the answer to just that question, from
//! the server that was asked, to a port that was opened for it (RFC 5452).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use domain::base::Message;
use domain::base::iana::Rcode;
use mesh_net::{DialError, DialOptions, Netns, datagram, dial};
use mesh_types::NextHop;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::message::Query;
use crate::resolv_conf::ResolvConf;

/// The machine's servers.
#[derive(Clone, Debug)]
pub struct Servers {
    conf: ResolvConf,
    timing: Timing,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For each server, each time.
    pub attempt: Duration,
    /// For all of them.
    pub total: Duration,
}

/// Where sockets are made.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The namespace; `None` for the calling thread's own.
    pub netns: Option<Netns>,
    /// `SO_MARK`; needs `CAP_NET_ADMIN`.
    pub mark: Option<u32>,
}

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// In a stream, after its length.
    Tcp,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No server is known.
    #[error("no DNS server is known")]
    NoServer,
    /// No server answered in time.
    #[error("no DNS server answered in time")]
    TimedOut,
    /// The last server could not be asked.
    #[error("DNS server {server}: {error}")]
    Failed {
        /// Which one.
        server: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// What was to be asked is no question.
    #[error("not a question")]
    NotAQuestion,
}

impl Servers {
    /// The servers of a file.
    #[must_use]
    pub fn new(conf: ResolvConf) -> Self {
        let timing = Timing::default();
        Self { conf, timing }
    }

    /// The same, waited for differently.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// Asks one server after the other, each at most twice, until one answers. An answer that says that the server itself
    /// is of no help (SERVFAIL, REFUSED, NOTIMP) is returned only where no other is better.
    ///
    /// # Errors
    /// Fails when there is no answer of any kind.
    pub async fn ask(&self, link: &Link, question: &[u8], transport: Transport) -> Result<Vec<u8>, AskError> {
        let query = Query::read(question).map_err(|_| AskError::NotAQuestion)?;
        let servers = self.conf.servers();
        if servers.is_empty() {
            return Err(AskError::NoServer);
        }
        let mut unhelpful = None;
        let mut error = AskError::TimedOut;
        let rounds = async {
            for server in servers.iter().chain(servers.iter()) {
                let asked = timeout(self.timing.attempt, ask_one(link, *server, &query, transport));
                match asked.await {
                    Err(_) => error = AskError::TimedOut,
                    Ok(Err(e)) => {
                        error = AskError::Failed {
                            server: *server,
                            error: e,
                        };
                    }
                    Ok(Ok(answer)) if is_helpful(&answer) => return Some(answer),
                    Ok(Ok(answer)) => unhelpful = Some(answer),
                }
            }
            None
        };
        let helpful = timeout(self.timing.total, rounds).await.unwrap_or(None);
        helpful.or(unhelpful).ok_or(error)
    }
}

async fn ask_one(
    link: &Link,
    server: SocketAddr,
    query: &Query<'_>,
    transport: Transport,
) -> io::Result<Vec<u8>> {
    let mut question = query.octets().to_vec();
    let id = fastrand::u16(..).to_be_bytes();
    question[..ID].copy_from_slice(&id);
    let mut answer = match transport {
        Transport::Udp => by_datagram(link, server, &question, query.payload()).await?,
        Transport::Tcp => by_stream(link, server, &question).await?,
    };
    answer[..ID].copy_from_slice(&query.octets()[..ID]);
    Ok(answer)
}

async fn by_datagram(
    link: &Link,
    server: SocketAddr,
    question: &[u8],
    payload: usize,
) -> io::Result<Vec<u8>> {
    let socket = datagram::connect(link.netns.as_ref(), server, link.mark)?;
    let socket = UdpSocket::from_std(socket)?;
    socket.send(question).await?;
    let mut buffer = vec![0; payload];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What does not belong to the question may be a late answer or a forged one: the true one may still come.
        if belongs(&buffer[..length], question) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn by_stream(link: &Link, server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let options = DialOptions {
        mark: link.mark,
        keepalive: None,
        ..DialOptions::default()
    };
    let dialled = dial(link.netns.as_ref(), NextHop::new(server), &options).await;
    let mut stream = dialled.map_err(|e: DialError| io::Error::other(e.to_string()))?;
    write_framed(&mut stream, question).await?;
    let answer = read_framed(&mut stream).await?;
    match answer {
        Some(answer) if belongs(&answer, question) => Ok(answer),
        Some(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "an answer to another question",
        )),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes a message after its length (RFC 7766, section 8), in one piece.
///
/// # Errors
/// Fails when the stream does, or the message is longer than a length can say.
pub async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut framed = Vec::with_capacity(2 + message.len());
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// Reads a message after its length; `None` where the stream ends before one begins.
///
/// # Errors
/// Fails when the stream does, or ends within a message.
pub async fn read_framed(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 2];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).await?;
    let mut message = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

/// Whether this answers that: id, direction and question.
fn belongs(answer: &[u8], question: &[u8]) -> bool {
    match (Message::from_slice(answer), Message::from_slice(question)) {
        (Ok(answer), Ok(question)) => answer.is_answer(question) || is_bare_refusal(answer, question),
        _ => false,
    }
}

/// A server that did not understand the question need not repeat it (RFC 1035, 4.1.1: FORMERR).
fn is_bare_refusal(answer: &Message<[u8]>, question: &Message<[u8]>) -> bool {
    let (header, asked) = (answer.header(), question.header());
    header.qr()
        && header.id() == asked.id()
        && answer.header_counts().qdcount() == 0
        && header.rcode() != Rcode::NOERROR
}

fn is_helpful(answer: &[u8]) -> bool {
    let unhelpful = [Rcode::SERVFAIL, Rcode::REFUSED, Rcode::NOTIMP];
    Message::from_slice(answer).is_ok_and(|m| !unhelpful.contains(&m.header().rcode()))
}

impl Default for Timing {
    /// As upstream's limit for a request; stub resolvers wait about as long before they ask again.
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(2),
            total: Duration::from_secs(5),
        }
    }
}

const ID: usize = 2;

#[cfg(test)]
mod tests;
