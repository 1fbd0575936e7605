//! The far end: answers every request at once, HTTP/1.1 or HTTP/2 as the client begins.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::http1::{self, Questions};
use super::http2::{self, PREFACE};
use super::socket::Socket;

/// A server that listens.
#[derive(Debug)]
pub struct Origin {
    listener: TcpListener,
    address: SocketAddr,
}

struct Connection {
    socket: Socket,
    talk: Talk,
}

/// One client's side of the talk, as far as it has come; without sockets.
#[derive(Debug)]
pub(super) enum Talk {
    /// It is not known yet what it speaks.
    Beginning(Vec<u8>),
    Http1(Questions),
    Http2(Box<http2::Server>),
}

impl Origin {
    /// Listens; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// Fails when the address cannot be had.
    pub fn listen(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| address.to_string())?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves on the calling thread, for ever.
    ///
    /// # Errors
    /// Fails when the machine does; a client's errors end its connection.
    pub fn serve(self) -> Result<()> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&self.listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        let mut connections: HashMap<u64, Connection> = HashMap::new();
        let mut next = LISTENER + 1;
        let mut events = [EpollEvent::empty(); 256];
        let (mut buffer, answer) = (vec![0; 64 * 1024], http1::answer());
        let mut out = Vec::new();
        loop {
            let ready = match epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => 0,
                ready => ready?,
            };
            for event in &events[..ready] {
                if event.data() == LISTENER {
                    if let Ok((stream, _)) = self.listener.accept() {
                        let socket = Socket::new(stream, next, &epoll)?;
                        let talk = Talk::default();
                        connections.insert(next, Connection { socket, talk });
                        next += 1;
                    }
                    continue;
                }
                let Some(connection) = connections.get_mut(&event.data()) else {
                    continue;
                };
                let stays = connection.serve(event.events(), &epoll, &mut buffer, &mut out, &answer);
                if !stays.unwrap_or(false)
                    && let Some(gone) = connections.remove(&event.data())
                {
                    gone.socket.forget(&epoll)?;
                }
            }
        }
    }
}

impl Connection {
    /// Whether it goes on.
    fn serve(
        &mut self,
        ready: EpollFlags,
        epoll: &Epoll,
        buffer: &mut [u8],
        out: &mut Vec<u8>,
        answer: &[u8],
    ) -> Result<bool> {
        if ready.contains(EpollFlags::EPOLLOUT) {
            self.socket.go_on(epoll)?;
        }
        let Some(came) = self.socket.read(buffer)? else {
            return Ok(false);
        };
        out.clear();
        self.talk.read(came, answer, out)?;
        if !out.is_empty() {
            self.socket.write(out, epoll)?;
        }
        Ok(true)
    }
}

impl Default for Talk {
    fn default() -> Self {
        Self::Beginning(Vec::new())
    }
}

impl Talk {
    /// Takes what came, and answers it.
    pub(super) fn read(&mut self, came: &[u8], answer: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Beginning(seen) => {
                seen.extend_from_slice(came);
                let seen = std::mem::take(seen);
                if seen.starts_with(PREFACE) {
                    let server = http2::Server::default();
                    server.begin(out);
                    *self = Self::Http2(Box::new(server));
                    return self.read(&seen[PREFACE.len()..], answer, out);
                }
                if PREFACE.starts_with(&seen) {
                    *self = Self::Beginning(seen);
                    return Ok(());
                }
                *self = Self::Http1(Questions::default());
                self.read(&seen, answer, out)
            }
            Self::Http1(questions) => {
                for _ in 0..questions.read(came) {
                    out.extend_from_slice(answer);
                }
                Ok(())
            }
            Self::Http2(server) => server.read(came, out),
        }
    }
}

const LISTENER: u64 = 0;
