//! TLS 1.3 after the handshake (RFC 8446, sections 4.6, 5 and 6): records go straight from what the multiplexer wrote to
//! where they are sent from, and are opened where they were read to.
//!
//! rustls shakes hands, checks certificates and derives every key, also later ones; only the records are ours. Its own
//! record layer allocates a buffer for each record and copies it twice, in each direction.
//!
//! # Layout
//! - this file: what a record means: data, alerts, new keys, tickets.
//! - `keys`: one direction's key, which seals and opens records.

mod keys;

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets, HandshakeType,
    InvalidMessage, PeerMisbehaved,
};
use tokio::io::ReadBuf;

use super::block::{Incoming, Outgoing};
use keys::{DirectionKey, HEADER, MAX_BODY};

/// The records of one connection, both ways.
pub(super) struct Records {
    secrets: Secrets,
    sealing: DirectionKey,
    opening: DirectionKey,
    /// After so many records the sealing key is replaced: AES-GCM wears out.
    worn_after: u64,
    /// The peer wants to see a new key of ours before the next data.
    key_wanted: bool,
    /// Handshake messages that are not complete yet.
    message: Vec<u8>,
    /// Records in a row that brought nothing for the application.
    fruitless: u32,
    peer_closed: bool,
}

/// Where later keys come from.
pub(super) enum Secrets {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

/// What reading brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// Bytes, or no room for any.
    Data,
    /// Nothing: a record is missing or not complete.
    NeedsInput,
    /// Nothing, and nothing will come: the peer has said so.
    PeerClosed,
}

// === impl Records ===

impl Records {
    /// Takes over from the handshake.
    pub(super) fn new(
        extracted: ExtractedSecrets,
        secrets: Secrets,
        peer_closed: bool,
    ) -> Result<Self, Error> {
        Ok(Self {
            worn_after: secrets.confidentiality_limit() / 2,
            secrets,
            sealing: DirectionKey::new(extracted.tx)?,
            opening: DirectionKey::new(extracted.rx)?,
            key_wanted: false,
            message: Vec::new(),
            fruitless: 0,
            peer_closed,
        })
    }

    /// Fills `reader` from what was received, opening records as they are needed.
    pub(super) fn read(&mut self, incoming: &mut Incoming, reader: &mut ReadBuf<'_>) -> Result<Read, Error> {
        let before = reader.filled().len();
        while reader.remaining() > 0 {
            if incoming.take_opened(reader) {
                continue;
            }
            if self.peer_closed || !self.open_next(incoming)? {
                break;
            }
        }
        if reader.filled().len() > before || reader.remaining() == 0 {
            return Ok(Read::Data);
        }
        Ok(if self.peer_closed {
            Read::PeerClosed
        } else {
            Read::NeedsInput
        })
    }

    /// Seals application data as one record.
    pub(super) fn seal(&mut self, data: &[u8], out: &mut Outgoing) -> Result<(), Error> {
        if self.key_wanted || self.sealing.sequence() >= self.worn_after {
            self.renew_sealing_key(out)?;
        }
        self.put(ContentType::ApplicationData, data, out)
    }

    /// Announces that nothing more is sent.
    pub(super) fn close_notify(&mut self, out: &mut Outgoing) -> Result<(), Error> {
        self.put_alert(AlertDescription::CloseNotify, out)
    }

    /// Tells the peer why this end gives up.
    pub(super) fn alert(&mut self, error: &Error, out: &mut Outgoing) {
        if let Some(alert) = alert_for(error) {
            // The connection is over in any case.
            let _ = self.put_alert(alert, out);
        }
    }

    /// Opens the first record, if it is complete. Data is left in `incoming`, to be taken; all else is dealt with.
    fn open_next(&mut self, incoming: &mut Incoming) -> Result<bool, Error> {
        let Some(len) = record_length(incoming.filled())? else {
            return Ok(false);
        };
        let record = &mut incoming.filled()[..len];
        let opened = self.opening.open(record)?;
        let content = HEADER..HEADER + opened.len;
        if opened.typ == ContentType::ApplicationData {
            if !self.message.is_empty() {
                return Err(unexpected(opened.typ));
            }
            if opened.len > 0 {
                self.fruitless = 0;
            }
            incoming.opened(content, len);
            return Ok(true);
        }
        self.fruitless += 1;
        if self.fruitless > MAX_FRUITLESS {
            return Err(Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments));
        }
        match opened.typ {
            ContentType::Alert => self.alerted(&record[content])?,
            ContentType::Handshake => {
                self.message.extend_from_slice(&record[content]);
                self.handle_messages()?;
            }
            typ => return Err(unexpected(typ)),
        }
        incoming.consume(len);
        Ok(true)
    }

    /// RFC 8446, section 6.
    fn alerted(&mut self, alert: &[u8]) -> Result<(), Error> {
        let &[_level, description] = alert else {
            return Err(Error::InvalidMessage(InvalidMessage::TrailingData("alert")));
        };
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => self.peer_closed = true,
            AlertDescription::UserCanceled => {}
            other => return Err(Error::AlertReceived(other)),
        }
        Ok(())
    }

    fn handle_messages(&mut self) -> Result<(), Error> {
        while let Some((typ, end)) = first_message(&self.message)? {
            match typ {
                HandshakeType::KeyUpdate => self.peer_updates_key(end)?,
                // Nobody resumes here: a ticket is of no use.
                HandshakeType::NewSessionTicket if matches!(self.secrets, Secrets::Client(_)) => {}
                got_type => {
                    return Err(Error::InappropriateHandshakeMessage {
                        expect_types: vec![HandshakeType::KeyUpdate],
                        got_type,
                    });
                }
            }
            self.message.drain(..end);
        }
        if self.message.is_empty() {
            self.message = Vec::new();
        }
        Ok(())
    }

    /// RFC 8446, section 4.6.3.
    fn peer_updates_key(&mut self, end: usize) -> Result<(), Error> {
        if self.message.len() > end {
            return Err(Error::PeerMisbehaved(PeerMisbehaved::KeyEpochWithPendingFragment));
        }
        match self.message[MESSAGE_HEADER..end] {
            [UPDATE_NOT_REQUESTED] => {}
            [UPDATE_REQUESTED] => self.key_wanted = true,
            _ => return Err(Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate)),
        }
        self.opening = DirectionKey::new(self.secrets.next_opening()?)?;
        Ok(())
    }

    fn renew_sealing_key(&mut self, out: &mut Outgoing) -> Result<(), Error> {
        let update = [u8::from(HandshakeType::KeyUpdate), 0, 0, 1, UPDATE_NOT_REQUESTED];
        self.put(ContentType::Handshake, &update, out)?;
        self.sealing = DirectionKey::new(self.secrets.next_sealing()?)?;
        self.key_wanted = false;
        Ok(())
    }

    fn put_alert(&mut self, alert: AlertDescription, out: &mut Outgoing) -> Result<(), Error> {
        let level = match alert {
            AlertDescription::CloseNotify => WARNING,
            _ => FATAL,
        };
        self.put(ContentType::Alert, &[level, u8::from(alert)], out)
    }

    fn put(&mut self, typ: ContentType, content: &[u8], out: &mut Outgoing) -> Result<(), Error> {
        out.append(|space| self.sealing.seal(typ, content, space))
    }
}

// === impl Secrets ===

impl Secrets {
    fn next_sealing(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Self::Client(kernel) => kernel.update_tx_secret(),
            Self::Server(kernel) => kernel.update_tx_secret(),
        }
    }

    fn next_opening(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Self::Client(kernel) => kernel.update_rx_secret(),
            Self::Server(kernel) => kernel.update_rx_secret(),
        }
    }

    /// Records that one key may seal (RFC 8446, section 5.5).
    fn confidentiality_limit(&self) -> u64 {
        let suite = match self {
            Self::Client(kernel) => kernel.negotiated_cipher_suite(),
            Self::Server(kernel) => kernel.negotiated_cipher_suite(),
        };
        suite
            .tls13()
            .map_or(0, |suite| suite.common.confidentiality_limit)
    }
}

/// For fuzzing: everything that finds its way through bytes by the lengths in them.
pub(crate) fn split(mut data: &[u8]) {
    let mut messages = data;
    while let Ok(Some((_, end))) = first_message(messages) {
        messages = &messages[end..];
    }
    while let Ok(Some(len)) = record_length(data) {
        data = &data[len..];
    }
}

/// The length of the first record, header included, once all of it is there.
fn record_length(received: &[u8]) -> Result<Option<usize>, Error> {
    let Some(&[typ, _, _, high, low]) = received.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let typ = ContentType::from(typ);
    if typ != ContentType::ApplicationData {
        return Err(unexpected(typ));
    }
    let body = usize::from(u16::from_be_bytes([high, low]));
    if body > MAX_BODY {
        return Err(Error::PeerSentOversizedRecord);
    }
    Ok((received.len() >= HEADER + body).then_some(HEADER + body))
}

/// The first handshake message's type and end, once all of it is there.
fn first_message(bytes: &[u8]) -> Result<Option<(HandshakeType, usize)>, Error> {
    let Some(&[typ, a, b, c]) = bytes.first_chunk::<MESSAGE_HEADER>() else {
        return Ok(None);
    };
    let end = MESSAGE_HEADER + u32::from_be_bytes([0, a, b, c]) as usize;
    if end > MAX_MESSAGE {
        return Err(Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge));
    }
    Ok((bytes.len() >= end).then(|| (HandshakeType::from(typ), end)))
}

fn unexpected(got_type: ContentType) -> Error {
    Error::InappropriateMessage {
        expect_types: vec![ContentType::ApplicationData],
        got_type,
    }
}

/// What the peer is told (RFC 8446, section 6.2).
fn alert_for(error: &Error) -> Option<AlertDescription> {
    match error {
        Error::AlertReceived(_) => None,
        Error::DecryptError => Some(AlertDescription::BadRecordMac),
        Error::PeerSentOversizedRecord => Some(AlertDescription::RecordOverflow),
        Error::InvalidMessage(_) => Some(AlertDescription::DecodeError),
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => Some(AlertDescription::UnexpectedMessage),
        _ => Some(AlertDescription::InternalError),
    }
}

const WARNING: u8 = 1;
const FATAL: u8 = 2;
const UPDATE_NOT_REQUESTED: u8 = 0;
const UPDATE_REQUESTED: u8 = 1;
/// A handshake message's type and length.
const MESSAGE_HEADER: usize = 4;
/// As rustls bounds it: more than any ticket needs.
const MAX_MESSAGE: usize = 0xffff;
/// As rustls bounds key updates without data between them; here for all that is not data.
const MAX_FRUITLESS: u32 = 32;

#[cfg(test)]
mod tests;
