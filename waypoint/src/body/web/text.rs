//! Base64 in pieces (RFC 4648, section 4). Clients write each message by itself, so that padding may stand in the middle,
//! behind which the next one begins; pieces end anywhere.

use bytes::{BufMut, Bytes, BytesMut};

use super::messages::Invalid;

/// A reader of one body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Of the four characters that have come.
    bits: u32,
    seen: u8,
    padding: u8,
}

impl Text {
    /// The bytes that a piece completes.
    ///
    /// # Errors
    /// Fails for what is no base64. Nothing may be read after that.
    pub fn read(&mut self, piece: &[u8]) -> Result<Bytes, Invalid> {
        let mut bytes = BytesMut::with_capacity(piece.len() / 4 * 3 + 3);
        for character in piece {
            let value = match character {
                b'A'..=b'Z' => character - b'A',
                b'a'..=b'z' => character - b'a' + 26,
                b'0'..=b'9' => character - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' if self.seen >= 2 => {
                    self.padding += 1;
                    0
                }
                _ => return Err(Invalid::NotBase64),
            };
            if self.padding > 0 && *character != b'=' {
                return Err(Invalid::NotBase64);
            }
            self.bits = self.bits << 6 | u32::from(value);
            self.seen += 1;
            if self.seen == 4 {
                self.complete(&mut bytes)?;
            }
        }
        Ok(bytes.freeze())
    }

    /// Whether four characters are complete, and no others began.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.seen == 0
    }

    fn complete(&mut self, bytes: &mut BytesMut) -> Result<(), Invalid> {
        let three = self.bits.to_be_bytes();
        let (some, rest) = three[1..].split_at(3 - usize::from(self.padding));
        // RFC 4648, 3.5: what padding hides must be nothing, else one message could be written in several ways.
        if rest.iter().any(|hidden| *hidden != 0) {
            return Err(Invalid::NotBase64);
        }
        bytes.put_slice(some);
        *self = Self::default();
        Ok(())
    }
}
