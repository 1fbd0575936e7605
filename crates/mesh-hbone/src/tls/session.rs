//! rustls without its own buffers (its "unbuffered" API): for the handshake, and for TLS 1.2 to the end.

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error, ProtocolVersion, ServerConfig};

use super::block::{self, Incoming, Outgoing};
use super::records::{Records, Secrets};

/// Either end of a TLS connection, as rustls does all of it.
pub(super) struct Session {
    end: End,
    /// The configuration lets the keys be taken out.
    extractable: bool,
    /// The peer announced that it sends no more; rustls tells it only once.
    peer_closed: bool,
}

enum End {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// Where decrypted bytes go.
pub(super) struct Received<'a> {
    kept: &'a mut Vec<u8>,
}

/// Where processing came to rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The handshake waits for the peer.
    NeedsInput,
    /// Data can be sent, and all complete records were decrypted.
    Writable,
    /// The peer announced that it sends no more.
    PeerClosed,
}

/// What is to be done once data can be sent.
enum Then<'a> {
    Nothing,
    Encrypt(&'a [u8]),
    CloseNotify,
}

/// One state of rustls' machine, handled.
enum Handled {
    Again,
    PeerClosed,
    Rest(Step),
}

// === impl Session ===

impl Session {
    pub(super) fn client(config: Arc<ClientConfig>) -> Result<Self, Error> {
        let extractable = config.enable_secret_extraction;
        let connection = UnbufferedClientConnection::new(config, mesh_tls::mesh_server_name())?;
        Ok(Self::new(End::Client(Box::new(connection)), extractable))
    }

    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let extractable = config.enable_secret_extraction;
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(End::Server(Box::new(connection)), extractable))
    }

    fn new(end: End, extractable: bool) -> Self {
        Self {
            end,
            extractable,
            peer_closed: false,
        }
    }

    /// Whether [`into_records`](Self::into_records) works: after a TLS 1.3 handshake.
    pub(super) fn has_records(&self) -> bool {
        self.extractable
            && !self.is_handshaking()
            && self.state().protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// The record layer, for whoever does without rustls' from here on.
    pub(super) fn into_records(self) -> Result<Records, Error> {
        let (extracted, secrets) = match self.end {
            End::Client(connection) => {
                let (extracted, kernel) = connection.dangerous_into_kernel_connection()?;
                (extracted, Secrets::Client(kernel))
            }
            End::Server(connection) => {
                let (extracted, kernel) = connection.dangerous_into_kernel_connection()?;
                (extracted, Secrets::Server(kernel))
            }
        };
        Records::new(extracted, secrets, self.peer_closed)
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.state().is_handshaking()
    }

    pub(super) fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        self.state().peer_certificates().unwrap_or_default()
    }

    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.state().alpn_protocol()
    }

    /// Processes received records until more are needed.
    pub(super) fn step(
        &mut self,
        incoming: &mut Incoming,
        plain: &mut Received<'_>,
        out: &mut Outgoing,
    ) -> Result<Step, Error> {
        self.run(incoming, plain, out, &Then::Nothing)
    }

    /// Encrypts `data`; the caller saw to it that `out` has room.
    pub(super) fn encrypt(
        &mut self,
        data: &[u8],
        incoming: &mut Incoming,
        plain: &mut Received<'_>,
        out: &mut Outgoing,
    ) -> Result<(), Error> {
        match self.run(incoming, plain, out, &Then::Encrypt(data))? {
            Step::Writable => Ok(()),
            Step::NeedsInput | Step::PeerClosed => Err(Error::HandshakeNotComplete),
        }
    }

    /// Announces that nothing more is sent.
    pub(super) fn close_notify(
        &mut self,
        incoming: &mut Incoming,
        plain: &mut Received<'_>,
        out: &mut Outgoing,
    ) -> Result<(), Error> {
        self.run(incoming, plain, out, &Then::CloseNotify).map(drop)
    }

    fn run(
        &mut self,
        incoming: &mut Incoming,
        plain: &mut Received<'_>,
        out: &mut Outgoing,
        then: &Then<'_>,
    ) -> Result<Step, Error> {
        loop {
            let received = incoming.filled();
            let (discard, handled) = self.end.process(received, plain, out, then);
            incoming.consume(discard);
            match handled {
                Ok(Handled::Again) => {}
                Ok(Handled::PeerClosed) => self.peer_closed = true,
                Ok(Handled::Rest(Step::Writable)) if self.peer_closed && matches!(then, Then::Nothing) => {
                    return Ok(Step::PeerClosed);
                }
                Ok(Handled::Rest(step)) => return Ok(step),
                Err(error) => {
                    self.encode_alert(incoming, out);
                    return Err(error);
                }
            }
        }
    }

    /// After an error rustls may have an alert to send, which it then gives first. Asked once more than that, it would
    /// process input again; after an error it must not.
    fn encode_alert(&mut self, incoming: &mut Incoming, out: &mut Outgoing) {
        let mut ignored = Vec::new();
        let mut ignored = Received::new(&mut ignored);
        // The error itself is known already.
        let _ = self
            .end
            .process(incoming.filled(), &mut ignored, out, &Then::Nothing);
    }

    fn state(&self) -> &CommonState {
        match &self.end {
            End::Client(c) => c,
            End::Server(s) => s,
        }
    }
}

// === impl Received ===

impl<'a> Received<'a> {
    /// `kept` is in use, or empty and without memory.
    pub(super) fn new(kept: &'a mut Vec<u8>) -> Self {
        Self { kept }
    }

    fn put(&mut self, bytes: &[u8]) {
        if self.kept.capacity() == 0 {
            *self.kept = block::borrow_buffer();
        }
        self.kept.extend_from_slice(bytes);
    }
}

// === impl End ===

impl End {
    fn process(
        &mut self,
        received: &mut [u8],
        plain: &mut Received<'_>,
        out: &mut Outgoing,
        then: &Then<'_>,
    ) -> (usize, Result<Handled, Error>) {
        match self {
            Self::Client(c) => handle(c.process_tls_records(received), plain, out, then),
            Self::Server(s) => handle(s.process_tls_records(received), plain, out, then),
        }
    }
}

/// Handles one state. Returns how much of the input is consumed.
fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Received<'_>,
    out: &mut Outgoing,
    then: &Then<'_>,
) -> (usize, Result<Handled, Error>) {
    let UnbufferedStatus { mut discard, state } = status;
    let handled = match state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.put(record.payload);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(Handled::Again),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut message)) => out
            .append(|space| message.encode(space))
            .map(|()| Handled::Again)
            .map_err(|error| no_room(&error)),
        Ok(ConnectionState::TransmitTlsData(transmit)) => {
            // It is in `out`, which is sent in order.
            transmit.done();
            Ok(Handled::Again)
        }
        Ok(ConnectionState::BlockedHandshake) => Ok(Handled::Rest(Step::NeedsInput)),
        Ok(ConnectionState::PeerClosed) => Ok(Handled::PeerClosed),
        Ok(ConnectionState::Closed) => Ok(Handled::Rest(Step::PeerClosed)),
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let written = match then {
                Then::Nothing => Ok(()),
                Then::Encrypt(data) => out.append(|space| traffic.encrypt(data, space)),
                Then::CloseNotify => out.append(|space| traffic.queue_close_notify(space)),
            };
            written
                .map(|()| Handled::Rest(Step::Writable))
                .map_err(|error| cannot_encrypt(&error))
        }
        // Early data is enabled nowhere, and there is no other state.
        Ok(_) => Err(Error::General("unexpected TLS state".to_owned())),
    };
    (discard, handled)
}

fn no_room(error: &EncodeError) -> Error {
    Error::General(error.to_string())
}

fn cannot_encrypt(error: &EncryptError) -> Error {
    match error {
        EncryptError::EncryptExhausted => Error::EncryptError,
        EncryptError::InsufficientSize(_) => Error::General(error.to_string()),
    }
}
