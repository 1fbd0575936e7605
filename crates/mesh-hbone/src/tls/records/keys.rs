//! One direction's key: records sealed to where they are sent from, and opened where they were read to (RFC 8446,
//! sections 5.2 and 5.3).

use aws_lc_rs::aead::{self, Aad, LessSafeKey, UnboundKey};
use rustls::crypto::cipher::{Iv, Nonce};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, PeerMisbehaved};

/// The key of one direction and the number of its next record. A number is used once: there is no other way to a nonce.
pub(super) struct DirectionKey {
    key: LessSafeKey,
    iv: Iv,
    sequence: u64,
}

/// What an opened record is: its type, and how long its content is. The content begins after the header.
pub(super) struct Opened {
    pub(super) typ: ContentType,
    pub(super) len: usize,
}

impl DirectionKey {
    pub(super) fn new((sequence, secrets): (u64, ConnectionTrafficSecrets)) -> Result<Self, Error> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&aead::CHACHA20_POLY1305, key, iv),
            _ => return Err(Error::General("no such cipher here".to_owned())),
        };
        let key = UnboundKey::new(algorithm, key.as_ref())
            .map_err(|_| Error::General("key of the wrong length".to_owned()))?;
        Ok(Self {
            key: LessSafeKey::new(key),
            iv,
            sequence,
        })
    }

    /// How many records were sealed or opened with this key.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Writes `content` as one record to the front of `space`; returns the record's length.
    pub(super) fn seal(
        &mut self,
        typ: ContentType,
        content: &[u8],
        space: &mut [u8],
    ) -> Result<usize, Error> {
        let body = content.len() + INNER_TYPE + TAG;
        let length = u16::try_from(body).map_err(|_| Error::EncryptError)?;
        let record = space.get_mut(..HEADER + body).ok_or(Error::EncryptError)?;
        let (header, body) = record.split_at_mut(HEADER);
        let [high, low] = length.to_be_bytes();
        header.copy_from_slice(&[u8::from(ContentType::ApplicationData), 3, 3, high, low]);
        let (ciphertext, type_and_tag) = body.split_at_mut(content.len());
        let (nonce, aad, typ) = (self.next_nonce(), Aad::from(header), [u8::from(typ)]);
        self.key
            .seal_out_of_place_scatter(nonce, aad, content, ciphertext, &typ, type_and_tag)
            .map_err(|_| Error::EncryptError)?;
        Ok(record.len())
    }

    /// Opens a whole record, header included, where it lies.
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<Opened, Error> {
        let (header, body) = record.split_at_mut_checked(HEADER).ok_or(Error::DecryptError)?;
        let (nonce, aad) = (self.next_nonce(), Aad::from(header));
        let inner = self
            .key
            .open_in_place(nonce, aad, body)
            .map_err(|_| Error::DecryptError)?;
        // Content, type, and as many zeros as the peer likes.
        let at = inner.iter().rposition(|byte| *byte != 0);
        let len = at.ok_or(Error::PeerMisbehaved(PeerMisbehaved::IllegalTlsInnerPlaintext))?;
        if len > MAX_CONTENT {
            return Err(Error::PeerSentOversizedRecord);
        }
        Ok(Opened {
            typ: ContentType::from(inner[len]),
            len,
        })
    }

    fn next_nonce(&mut self) -> aead::Nonce {
        let nonce = Nonce::new(&self.iv, self.sequence);
        // A record that fails to open ends the connection, and so does one that cannot be sealed.
        self.sequence += 1;
        aead::Nonce::assume_unique_for_key(nonce.0)
    }
}

/// A record's header: type, version, length.
pub(super) const HEADER: usize = 5;
/// The longest content of a record.
pub(super) const MAX_CONTENT: usize = 16 * 1024;
/// The longest body of an encrypted record: content, type, padding, tag.
pub(super) const MAX_BODY: usize = MAX_CONTENT + 256;
const INNER_TYPE: usize = 1;
const TAG: usize = 16;
