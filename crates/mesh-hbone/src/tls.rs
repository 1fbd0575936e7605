//! TLS under HTTP/2: one object between the multiplexer and the socket, made for few system calls and few records.
//!
//! ```text
//!   small frames --> staged (one record) --+--seal--> out (up to 128 KiB of records) --one write--> socket
//!   large frames --------------------------+
//!   frames <------------------------------opened in-- incoming (64 KiB per read)     <--one read--- socket
//! ```
//!
//! The multiplexer flushes after every DATA frame; here a flush does nothing, and the driver calls
//! [`TlsIo::poll_drain`] once per turn instead. So the frames of many streams share records and system calls.
//!
//! # Layout
//! - `session`: rustls, driven without its own buffers: the handshake.
//! - `records`: the records after a TLS 1.3 handshake.
//! - `shared`: a connection in the hands of its driver and the multiplexer.
//! - `block`: the memory that records are read into and written from; none is held while idle.

mod block;
mod records;
mod session;
mod shared;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use block::{Incoming, Outgoing};
pub(crate) use records::split as split_records;
use records::{Read, Records};
use session::{Received, Session, Step};
pub(crate) use shared::SharedIo;

/// What HBONE runs over: a TCP connection, or a tunnel inside a tunnel.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Transport for T {}

/// A TLS connection over a transport.
pub(crate) struct TlsIo {
    io: Box<dyn Transport>,
    layer: Layer,
    peer_certificates: Vec<CertificateDer<'static>>,
    speaks_http2: bool,
    incoming: Incoming,
    /// Decrypted by rustls and not yet taken.
    plain: Plain,
    /// Plaintext that does not fill a record yet.
    staged: Vec<u8>,
    out: Outgoing,
    /// Something came from the peer since this was last asked.
    heard: bool,
    /// Why no more can be read, once that is so.
    failure: Option<Failure>,
    close_notified: bool,
}

/// Who does the records.
enum Layer {
    /// rustls.
    Session(Session),
    /// This crate: TLS 1.3 after the handshake.
    Records(Box<Records>),
    /// Nobody: taking over failed.
    Lost,
}

/// Why a TLS connection ended other than by a close that the peer announced.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    /// TLS itself: a bad record, an alert, a certificate that is not accepted.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The transport ended without an announcement.
    #[error("connection closed without notice")]
    Eof,
    /// The transport failed.
    #[error("{0}")]
    Io(io::ErrorKind),
}

/// Decrypted bytes that the reader had no room for.
#[derive(Default)]
struct Plain {
    bytes: Vec<u8>,
    start: usize,
}

// === impl TlsIo ===

impl TlsIo {
    /// Shakes hands as a client.
    pub(crate) async fn connect(io: Box<dyn Transport>, config: Arc<ClientConfig>) -> Result<Self, Failure> {
        Self::handshake(io, Session::client(config)?).await
    }

    /// Shakes hands as a server.
    pub(crate) async fn accept(io: Box<dyn Transport>, config: Arc<ServerConfig>) -> Result<Self, Failure> {
        Self::handshake(io, Session::server(config)?).await
    }

    /// What the peer presented, leaf first.
    pub(crate) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer_certificates
    }

    /// True when the peer agreed to speak HTTP/2 (ALPN `h2`).
    pub(crate) fn speaks_http2(&self) -> bool {
        self.speaks_http2
    }

    async fn handshake(io: Box<dyn Transport>, session: Session) -> Result<Self, Failure> {
        let mut tls = Self {
            io,
            layer: Layer::Session(session),
            peer_certificates: Vec::new(),
            speaks_http2: false,
            incoming: Incoming::default(),
            plain: Plain::default(),
            staged: Vec::new(),
            out: Outgoing::default(),
            heard: false,
            failure: None,
            close_notified: false,
        };
        std::future::poll_fn(|cx| tls.poll_handshake(cx)).await?;
        tls.take_over()?;
        Ok(tls)
    }

    /// The handshake is over and all of it is sent.
    fn take_over(&mut self) -> Result<(), Failure> {
        self.layer = match std::mem::replace(&mut self.layer, Layer::Lost) {
            Layer::Session(session) => {
                self.peer_certificates = session.peer_certificates().to_vec();
                self.speaks_http2 = session.alpn() == Some(b"h2");
                match session.has_records() {
                    true => Layer::Records(Box::new(session.into_records()?)),
                    false => Layer::Session(session),
                }
            }
            other => other,
        };
        Ok(())
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        loop {
            let stepped = self.step();
            // What rustls wants to say goes out even when it failed: it is the alert.
            let sent = self.poll_send(cx);
            let step = stepped?;
            if !self.is_handshaking() {
                ready!(sent)?;
                return Poll::Ready(Ok(()));
            }
            if let Poll::Ready(sent) = sent {
                sent?;
            }
            match step {
                Step::NeedsInput | Step::Writable => ready!(self.poll_receive(cx))?,
                Step::PeerClosed => return Poll::Ready(Err(Failure::Eof)),
            }
        }
    }

    fn is_handshaking(&self) -> bool {
        matches!(&self.layer, Layer::Session(session) if session.is_handshaking())
    }

    /// Sends everything that was written. Pending while the transport takes no more.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.unless_failed(cx, Self::poll_drain_now)
    }

    /// Nothing works after a failure; rustls in particular must not be asked again.
    fn unless_failed<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Self, &mut Context<'_>) -> Poll<Result<T, Failure>>,
    ) -> Poll<Result<T, Failure>> {
        if let Some(failure) = &self.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        let polled = poll(self, cx);
        if let Poll::Ready(Err(failure)) = &polled {
            self.failure = Some(failure.clone());
            // The peer is told if that can be done at once: there may be an alert.
            let _ = self.poll_send(cx);
        }
        polled
    }

    fn poll_drain_now(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        // Only now is it clear that nothing else will share the record.
        while !self.staged.is_empty() {
            if !self.seal_staged()? {
                ready!(self.poll_send(cx))?;
            }
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io)
            .poll_flush(cx)
            .map_err(|e| Failure::Io(e.kind()))
    }

    /// Whether something came from the peer since the last time.
    pub(crate) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Why nothing more can be read, when it is not a close that the peer announced.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// Lets rustls process what was received until it needs more.
    fn step(&mut self) -> Result<Step, rustls::Error> {
        match &mut self.layer {
            Layer::Session(session) => {
                let mut plain = Received::new(&mut self.plain.bytes);
                session.step(&mut self.incoming, &mut plain, &mut self.out)
            }
            Layer::Records(_) => Ok(Step::Writable),
            Layer::Lost => Err(rustls::Error::HandshakeNotComplete),
        }
    }

    /// One read from the transport.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let space = self.incoming.space();
        if space.is_empty() {
            // No handshake message and no record is that long.
            let too_large = rustls::InvalidMessage::HandshakePayloadTooLarge;
            return Poll::Ready(Err(Failure::Tls(too_large.into())));
        }
        let mut buf = ReadBuf::new(space);
        match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(e)) => return Poll::Ready(Err(Failure::Io(e.kind()))),
            Poll::Pending => {
                self.incoming.rest();
                return Poll::Pending;
            }
        }
        let read = buf.filled().len();
        if read == 0 {
            return Poll::Ready(Err(Failure::Eof));
        }
        self.incoming.filled_more(read);
        self.heard = true;
        Poll::Ready(Ok(()))
    }

    /// Writes finished records to the transport.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, self.out.filled())) {
                Ok(0) => return Poll::Ready(Err(Failure::Io(io::ErrorKind::WriteZero))),
                Ok(n) => self.out.consume(n),
                Err(e) => return Poll::Ready(Err(Failure::Io(e.kind()))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes plaintext: what is large is sealed from where it is, what is small is staged, to share a record with what
    /// comes next. Returns how much it took; less than all when the records waiting to be sent are enough.
    fn take(&mut self, mut data: &[u8]) -> Result<usize, rustls::Error> {
        let all = data.len();
        while !data.is_empty() {
            let large = data.len() >= NOT_COPIED;
            if (large || self.staged.len() == RECORD) && !self.staged.is_empty() && !self.seal_staged()? {
                break;
            }
            if large {
                let (record, rest) = data.split_at(data.len().min(RECORD));
                if !self.seal(record)? {
                    break;
                }
                data = rest;
                continue;
            }
            if self.staged.capacity() == 0 {
                self.staged = block::borrow_buffer();
            }
            let fits = data.len().min(RECORD - self.staged.len());
            self.staged.extend_from_slice(&data[..fits]);
            data = &data[fits..];
        }
        Ok(all - data.len())
    }

    /// False when there is no room.
    fn seal_staged(&mut self) -> Result<bool, rustls::Error> {
        let staged = std::mem::take(&mut self.staged);
        let sealed = self.seal(&staged);
        if sealed == Ok(false) {
            self.staged = staged;
        } else {
            block::give_back_buffer(staged);
        }
        sealed
    }

    /// Seals at most a record's worth of data as one record; false when there is no room.
    fn seal(&mut self, data: &[u8]) -> Result<bool, rustls::Error> {
        if self.out.room() < data.len() + RECORD_OVERHEAD {
            return Ok(false);
        }
        match &mut self.layer {
            Layer::Session(session) => {
                let mut plain = Received::new(&mut self.plain.bytes);
                session.encrypt(data, &mut self.incoming, &mut plain, &mut self.out)?;
            }
            Layer::Records(records) => records.seal(data, &mut self.out)?,
            Layer::Lost => return Err(rustls::Error::HandshakeNotComplete),
        }
        Ok(true)
    }

    fn poll_read_plain(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<(), Failure>> {
        loop {
            if self.plain.take_into(buf) {
                return Poll::Ready(Ok(()));
            }
            let read = match &mut self.layer {
                Layer::Records(records) => {
                    let read = records.read(&mut self.incoming, buf);
                    read.inspect_err(|error| records.alert(error, &mut self.out))?
                }
                _ => match self.step()? {
                    _ if !self.plain.is_empty() => continue,
                    Step::PeerClosed => Read::PeerClosed,
                    Step::NeedsInput | Step::Writable => Read::NeedsInput,
                },
            };
            match read {
                Read::Data | Read::PeerClosed => return Poll::Ready(Ok(())),
                Read::NeedsInput => ready!(self.poll_receive(cx))?,
            }
        }
    }

    fn poll_write_slices(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Failure>> {
        if slices.iter().all(|slice| slice.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        loop {
            if self.out.len() >= FLUSH_AT || self.out.room() < RECORD + RECORD_OVERHEAD {
                ready!(self.poll_send(cx))?;
            }
            // What was staged may need the room; to have taken nothing would mean that nothing more is ever taken.
            match self.take_slices(slices)? {
                0 => {}
                taken => return Poll::Ready(Ok(taken)),
            }
        }
    }

    fn take_slices(&mut self, slices: &[IoSlice<'_>]) -> Result<usize, rustls::Error> {
        let mut taken = 0;
        for slice in slices {
            let n = self.take(slice)?;
            taken += n;
            if n < slice.len() {
                break;
            }
        }
        Ok(taken)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        ready!(self.poll_drain_now(cx))?;
        if !self.close_notified {
            self.close_notified = true;
            self.put_close_notify()?;
        }
        ready!(self.poll_send(cx))?;
        match ready!(Pin::new(&mut self.io).poll_shutdown(cx)) {
            Err(e) if e.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(Failure::Io(e.kind()))),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn put_close_notify(&mut self) -> Result<(), rustls::Error> {
        match &mut self.layer {
            Layer::Session(session) => {
                let mut plain = Received::new(&mut self.plain.bytes);
                session.close_notify(&mut self.incoming, &mut plain, &mut self.out)
            }
            Layer::Records(records) => records.close_notify(&mut self.out),
            Layer::Lost => Ok(()),
        }
    }
}

// === impl Plain ===

impl Plain {
    fn is_empty(&self) -> bool {
        self.bytes.len() == self.start
    }

    /// Moves what fits; false when there was nothing.
    fn take_into(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = &self.bytes[self.start..];
        if rest.is_empty() {
            return false;
        }
        let fits = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..fits]);
        self.start += fits;
        if self.is_empty() {
            self.start = 0;
            block::give_back_buffer(std::mem::take(&mut self.bytes));
        }
        true
    }
}

// === impl Failure ===

impl From<&Failure> for io::Error {
    fn from(failure: &Failure) -> Self {
        let kind = match failure {
            Failure::Tls(_) => io::ErrorKind::InvalidData,
            Failure::Eof => io::ErrorKind::UnexpectedEof,
            Failure::Io(kind) => *kind,
        };
        Self::new(kind, failure.clone())
    }
}

/// Plaintext of one full record (RFC 8446, section 5.1).
const RECORD: usize = 16 * 1024;
/// Header, content type and tag of one record, and room for a key update before it.
const RECORD_OVERHEAD: usize = 5 + 1 + 16 + 64;
/// Of this length and above, bytes are sealed from where they are, though a record may then be short: copying them costs
/// more than another record does.
const NOT_COPIED: usize = 8 * 1024;
/// Records waiting to be sent at which they are sent at once. Measured: smaller is worse, larger no better.
const FLUSH_AT: usize = 128 * 1024;

#[cfg(test)]
mod tests;
