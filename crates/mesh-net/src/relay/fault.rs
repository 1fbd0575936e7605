//! Waiting for a socket's error, and for nothing else that happens to it.

use std::fmt;
use std::future::pending;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

/// A watch over a socket, by a descriptor of its own: the runtime tells no two waiters of one descriptor apart by what they
/// wait for.
pub(super) struct Fault {
    waiting: Pin<Box<dyn Future<Output = ()>>>,
}

impl Fault {
    /// Where no watch can be had (out of descriptors), it never tells anything: the next write will.
    pub(super) fn of(stream: &TcpStream) -> Self {
        let descriptor = stream.as_fd().try_clone_to_owned();
        let waiting = async {
            if until_error(descriptor).await.is_err() {
                pending::<()>().await;
            }
        };
        Self {
            waiting: Box::pin(waiting),
        }
    }

    /// Ready, once, when there is an error: the connection was reset or is gone.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.waiting.as_mut().poll(cx)
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fault")
    }
}

async fn until_error(descriptor: io::Result<OwnedFd>) -> io::Result<()> {
    // The kernel reports errors whatever was asked for.
    // SAFETY: an `OwnedFd` is always the same open descriptor, and what is registered owns it.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor?, Interest::ERROR) }?;
    watched.ready(Interest::ERROR).await.map(drop)
}
