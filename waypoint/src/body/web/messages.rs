//! Where the messages of gRPC end: a byte of flags, four of length, and so many bytes.

/// Follows messages through the pieces of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// Of the next message's head.
    head: [u8; HEAD],
    known: usize,
    /// Of the message, still to come.
    left: u32,
}

/// No gRPC-web; always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Neither a message nor a compressed one: trailers come from servers only, at the end.
    #[error("a message has the flags {0:#04x}")]
    Flags(u8),
    /// The body ends within a message.
    #[error("the body ends within a message")]
    CutOff,
    /// No base64.
    #[error("what should be base64 is none")]
    NotBase64,
    /// Trailers that no length can tell.
    #[error("trailers are too long")]
    TooLong,
}

impl Messages {
    /// The next piece.
    ///
    /// # Errors
    /// Says what is no message. Nothing may be read after that.
    pub fn feed(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while !piece.is_empty() {
            if self.left > 0 {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
                // No more than what is left, which fits.
                self.left -= u32::try_from(here).unwrap_or(self.left);
                piece = &piece[here..];
                continue;
            }
            self.head[self.known] = piece[0];
            self.known += 1;
            piece = &piece[1..];
            let [flags, length @ ..] = self.head;
            if self.known == 1 && flags & !COMPRESSED != 0 {
                return Err(Invalid::Flags(flags));
            }
            if self.known == HEAD {
                self.known = 0;
                self.left = u32::from_be_bytes(length);
            }
        }
        Ok(())
    }

    /// Whether a message ended, and no other one began.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.known == 0 && self.left == 0
    }
}

/// Flags and length.
pub const HEAD: usize = 5;
/// The flag of a server's last message.
pub const TRAILERS: u8 = 0x80;
const COMPRESSED: u8 = 1;
