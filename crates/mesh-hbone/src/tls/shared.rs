//! A TLS connection in the hands of two: its driver and the multiplexer.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TlsIo;

/// A TLS connection that its driver and the multiplexer share; both run in one task.
#[derive(Clone)]
pub(crate) struct SharedIo(Rc<RefCell<TlsIo>>);

impl SharedIo {
    pub(crate) fn new(tls: TlsIo) -> Self {
        Self(Rc::new(RefCell::new(tls)))
    }

    /// The connection, for a moment; never across a poll of the multiplexer.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut TlsIo) -> T) -> T {
        f(&mut self.0.borrow_mut())
    }
}

impl AsyncRead for SharedIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|tls| {
            let read = ready!(tls.unless_failed(cx, |tls, cx| tls.poll_read_plain(cx, buf)));
            Poll::Ready(read.map_err(|failure| io::Error::from(&failure)))
        })
    }
}

impl AsyncWrite for SharedIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|tls| {
            let written = ready!(tls.unless_failed(cx, |tls, cx| tls.poll_write_slices(cx, bufs)));
            Poll::Ready(written.map_err(|failure| io::Error::from(&failure)))
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing: the driver drains once per turn.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|tls| {
            let closed = ready!(tls.unless_failed(cx, TlsIo::poll_close));
            Poll::Ready(closed.map_err(|failure| io::Error::from(&failure)))
        })
    }
}
