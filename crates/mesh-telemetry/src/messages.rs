//! Messages of gRPC, counted as their bytes pass (gRPC over HTTP/2, "Length-Prefixed-Message").

/// Counts the messages of one direction; it holds nothing of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    count: u64,
    /// Of the frame that is passing.
    left: u32,
    /// The beginning of a prefix, as far as it has come.
    prefix: [u8; PREFIX],
    have: u8,
}

impl Messages {
    /// Bytes that pass, in pieces of any size.
    pub fn read(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.left > 0 {
                let passing = usize::try_from(self.left).map_or(data.len(), |left| left.min(data.len()));
                // It is no more than what was left.
                self.left -= u32::try_from(passing).unwrap_or(self.left);
                data = &data[passing..];
                continue;
            }
            let have = usize::from(self.have);
            let missing = (PREFIX - have).min(data.len());
            self.prefix[have..have + missing].copy_from_slice(&data[..missing]);
            self.have += u8::try_from(missing).unwrap_or_default();
            data = &data[missing..];
            if usize::from(self.have) == PREFIX {
                let [flags, length @ ..] = self.prefix;
                self.left = u32::from_be_bytes(length);
                self.have = 0;
                self.count += u64::from(flags & TRAILERS == 0);
            }
        }
    }

    /// How many have begun.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// Flags, and the length.
const PREFIX: usize = 5;
/// A frame that is no message: gRPC-web sends trailers so (gRPC-Web, "Protocol differences vs gRPC over HTTP2").
const TRAILERS: u8 = 0x80;

#[cfg(test)]
mod tests;
