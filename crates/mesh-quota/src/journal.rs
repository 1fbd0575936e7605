//! The log's records. Each stands for itself: it says how many requests of a counter may have been given out in all, so
//! that later ones take the place of earlier ones and a damaged one harms no other.
//!
//! ```text
//! segment   "LTNQUOTA" seed:u64 record*                     numbers are little-endian
//! record    length:u16 checksum:u64 payload[length]         checksum: xxh64 of length and payload, with the seed
//! payload   unit:u8 start:u64 amount:u64 key                key: UTF-8, to the end
//! ```

use xxhash_rust::xxh64::Xxh64;

use crate::key::{Key, LONGEST};
use crate::window::{Moment, Unit, Window};

/// So many requests may have been given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Of what.
    pub key: Key,
    /// In which window.
    pub window: Window,
    /// How many.
    pub amount: u64,
}

/// Reads a segment. What is damaged is passed over: a tail that was torn off, or anything within.
#[derive(Debug)]
pub struct Reader<'b> {
    bytes: &'b [u8],
    seed: u64,
    at: usize,
    damaged: usize,
}

/// The file is no segment of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotALog;

/// What a segment begins with. `seed` is random, so that nobody who chooses keys can write records into them.
#[must_use]
pub fn header(seed: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&seed.to_le_bytes());
    header
}

impl Record {
    /// Appends it.
    pub fn encode(&self, seed: u64, into: &mut Vec<u8>) {
        let key = self.key.as_str().as_bytes();
        let length = u16::try_from(FIXED + key.len()).expect("keys are short");
        let begin = into.len();
        into.extend_from_slice(&length.to_le_bytes());
        into.extend_from_slice(&[0; 8]);
        into.push(self.window.unit.code());
        into.extend_from_slice(&self.window.start.0.to_le_bytes());
        into.extend_from_slice(&self.amount.to_le_bytes());
        into.extend_from_slice(key);
        let sum = checksum(seed, length, &into[begin + PREFIX..]);
        into[begin + 2..begin + PREFIX].copy_from_slice(&sum.to_le_bytes());
    }

    fn of_payload(payload: &[u8]) -> Option<Self> {
        let (unit, rest) = payload.split_first()?;
        let (start, rest) = rest.split_first_chunk()?;
        let (amount, key) = rest.split_first_chunk()?;
        let start = Moment(u64::from_le_bytes(*start));
        let unit = Unit::of_code(*unit)?;
        let window = unit.window(start);
        (window.start == start).then_some(())?;
        Some(Self {
            key: Key::of_log(key)?,
            window,
            amount: u64::from_le_bytes(*amount),
        })
    }
}

impl<'b> Reader<'b> {
    /// Of a whole segment. One whose header was never written holds nothing.
    ///
    /// # Errors
    /// When it begins with something else: it is somebody else's file, or of another version.
    pub fn new(bytes: &'b [u8]) -> Result<Self, NotALog> {
        let empty = bytes.len() < HEADER || bytes.iter().all(|byte| *byte == 0);
        let Some((header, _)) = bytes.split_first_chunk::<HEADER>().filter(|_| !empty) else {
            return Ok(Self {
                bytes: &[],
                seed: 0,
                at: 0,
                damaged: bytes.len(),
            });
        };
        let (magic, seed) = header.split_at(8);
        if magic != MAGIC {
            return Err(NotALog);
        }
        let seed = seed.try_into().map(u64::from_le_bytes).map_err(|_| NotALog)?;
        Ok(Self {
            bytes,
            seed,
            at: HEADER,
            damaged: 0,
        })
    }

    /// Bytes that were passed over so far.
    #[must_use]
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// The record here, and how many bytes it takes.
    fn record(&self) -> Option<(Record, usize)> {
        let rest = &self.bytes[self.at..];
        let (length, rest) = rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let length = u16::from_le_bytes(*length);
        let size = usize::from(length);
        if !(FIXED + 1..=FIXED + LONGEST).contains(&size) {
            return None;
        }
        let payload = rest.get(..size)?;
        if checksum(self.seed, length, payload) != u64::from_le_bytes(*sum) {
            return None;
        }
        Some((Record::of_payload(payload)?, PREFIX + size))
    }
}

impl Iterator for Reader<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        while self.at < self.bytes.len() {
            match self.record() {
                Some((record, size)) => {
                    self.at += size;
                    return Some(record);
                }
                None => {
                    self.at += 1;
                    self.damaged += 1;
                }
            }
        }
        None
    }
}

fn checksum(seed: u64, length: u16, payload: &[u8]) -> u64 {
    let mut sum = Xxh64::new(seed);
    sum.update(&length.to_le_bytes());
    sum.update(payload);
    sum.digest()
}

const MAGIC: &[u8; 8] = b"LTNQUOTA";
/// Bytes of [`header`].
pub const HEADER: usize = 16;
/// Length and checksum.
const PREFIX: usize = 10;
/// A payload without its key.
const FIXED: usize = 17;

#[cfg(test)]
mod tests;
