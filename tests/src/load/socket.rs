//! A connection that is read and written when epoll says so.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context, Result};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

/// A connection, and what does not go yet.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    token: u64,
    unsent: Vec<u8>,
    watched: bool,
}

impl Socket {
    /// Registers it under `token`.
    pub(super) fn new(stream: TcpStream, token: u64, epoll: &Epoll) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        Ok(Self {
            stream,
            token,
            unsent: Vec::new(),
            watched: false,
        })
    }

    /// What is there; nothing once the other side has ended it.
    pub(super) fn read<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<&'b [u8]>> {
        match self.stream.read(buffer) {
            Ok(0) => Ok(None),
            Ok(n) => Ok(Some(&buffer[..n])),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(Some(&[])),
            Err(e) => Err(e).context("read"),
        }
    }

    /// Sends, now or when there is room.
    pub(super) fn write(&mut self, bytes: &[u8], epoll: &Epoll) -> Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return self.go_on(epoll);
        }
        let sent = match self.stream.write(bytes) {
            Ok(sent) => sent,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(e) => return Err(e).context("write"),
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        self.watch(epoll)
    }

    /// Sends what is left.
    pub(super) fn go_on(&mut self, epoll: &Epoll) -> Result<()> {
        let left = std::mem::take(&mut self.unsent);
        match left.is_empty() {
            true => Ok(()),
            false => self.write(&left, epoll),
        }
    }

    pub(super) fn forget(&self, epoll: &Epoll) -> Result<()> {
        epoll.delete(&self.stream).context("epoll")
    }

    fn watch(&mut self, epoll: &Epoll) -> Result<()> {
        let wanted = !self.unsent.is_empty();
        if wanted != self.watched {
            self.watched = wanted;
            let flags = match wanted {
                true => EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT,
                false => EpollFlags::EPOLLIN,
            };
            epoll.modify(&self.stream, &mut EpollEvent::new(flags, self.token))?;
        }
        Ok(())
    }
}
