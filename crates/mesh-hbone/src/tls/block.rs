//! Memory that records are read into and written from.
//!
//! A block is borrowed from the worker's own small stock when bytes move and given back when none are left, so that an
//! idle connection holds none and a busy one pays no allocation.

use std::cell::RefCell;
use std::ops::Range;

use tokio::io::ReadBuf;

/// Received bytes that are not decrypted yet, or just were and are not taken yet.
#[derive(Default)]
pub(super) struct Incoming {
    block: Option<Block>,
    /// The part of a record that waits for its rest, while no block is held.
    partial: Vec<u8>,
    /// Bytes at the front that are decrypted and not taken yet.
    opened: usize,
    /// What follows them and belongs to their record: nothing that anybody wants.
    trailer: usize,
}

/// Encrypted bytes that are not sent yet.
#[derive(Default)]
pub(super) struct Outgoing {
    block: Option<Block>,
}

/// `SIZE` bytes, of which `start..end` are in use.
struct Block {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

/// A buffer without bytes in it, with room for what one read brings.
pub(super) fn borrow_buffer() -> Vec<u8> {
    let stocked = BUFFERS.with_borrow_mut(Vec::pop);
    stocked.unwrap_or_else(|| Vec::with_capacity(READ))
}

/// For the next that needs one; the bytes in it are forgotten.
pub(super) fn give_back_buffer(mut buffer: Vec<u8>) {
    if buffer.capacity() < READ {
        return;
    }
    buffer.clear();
    // As with blocks.
    let _ = BUFFERS.try_with(|buffers| {
        let mut buffers = buffers.borrow_mut();
        if buffers.len() < STOCKED {
            buffers.push(buffer);
        }
    });
}

// === impl Incoming ===

impl Incoming {
    /// What was received and not consumed.
    pub(super) fn filled(&mut self) -> &mut [u8] {
        match &mut self.block {
            Some(block) => &mut block.bytes[block.start..block.end],
            None => &mut self.partial,
        }
    }

    /// Removes `n` bytes from the front.
    pub(super) fn consume(&mut self, n: usize) {
        match &mut self.block {
            Some(block) => block.consume(n),
            None => drop(self.partial.drain(..n)),
        }
    }

    /// The first record, `record` bytes long, is decrypted, and its content is at `content`: the rest of it is dropped, the
    /// content is there to be [taken](Self::take_opened).
    pub(super) fn opened(&mut self, content: Range<usize>, record: usize) {
        self.consume(content.start);
        self.opened = content.len();
        self.trailer = record - content.end;
        self.drop_trailer_if_taken();
    }

    /// Moves decrypted bytes to the reader, as many as fit; false when there are none.
    pub(super) fn take_opened(&mut self, reader: &mut ReadBuf<'_>) -> bool {
        let taken = self.opened.min(reader.remaining());
        if taken == 0 {
            return false;
        }
        reader.put_slice(&self.filled()[..taken]);
        self.consume(taken);
        self.opened -= taken;
        self.drop_trailer_if_taken();
        true
    }

    fn drop_trailer_if_taken(&mut self) {
        if self.opened == 0 {
            let trailer = std::mem::take(&mut self.trailer);
            self.consume(trailer);
        }
    }

    /// Where to read into: at most [`READ`] bytes; none when a record or handshake message is longer than any may be.
    pub(super) fn space(&mut self) -> &mut [u8] {
        let partial = &mut self.partial;
        let block = self.block.get_or_insert_with(|| {
            let mut block = Block::borrow();
            block.append(partial);
            *partial = Vec::new();
            block
        });
        // What is there moves only when it must.
        if SIZE - block.end < READ {
            block.compact();
        }
        let end = SIZE.min(block.end + READ);
        &mut block.bytes[block.end..end]
    }

    /// `n` bytes were read into [`space`](Self::space).
    pub(super) fn filled_more(&mut self, n: usize) {
        if let Some(block) = &mut self.block {
            block.end += n;
        }
    }

    #[cfg(test)]
    pub(super) fn holds_memory(&self) -> bool {
        self.block.is_some() || self.partial.capacity() > 0
    }

    /// Nothing more is there for now: gives the block back and keeps what little is left.
    pub(super) fn rest(&mut self) {
        if let Some(block) = self.block.take() {
            self.partial = block.bytes[block.start..block.end].to_vec();
            block.give_back();
        }
    }
}

// === impl Outgoing ===

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.block.as_ref().map_or(0, |b| b.end - b.start)
    }

    /// Bytes that can be appended.
    pub(super) fn room(&self) -> usize {
        self.block.as_ref().map_or(SIZE, |b| SIZE - b.end)
    }

    /// What is to be sent.
    pub(super) fn filled(&self) -> &[u8] {
        self.block.as_ref().map_or(&[], |b| &b.bytes[b.start..b.end])
    }

    /// `n` bytes were sent.
    pub(super) fn consume(&mut self, n: usize) {
        if let Some(mut block) = self.block.take() {
            block.consume(n);
            if block.start == block.end {
                block.give_back();
            } else {
                self.block = Some(block);
            }
        }
    }

    /// Lets `write` append; it returns how many bytes it wrote.
    pub(super) fn append<E>(&mut self, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) -> Result<(), E> {
        let block = self.block.get_or_insert_with(Block::borrow);
        block.end += write(&mut block.bytes[block.end..])?;
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            block.give_back();
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            block.give_back();
        }
    }
}

// === impl Block ===

impl Block {
    fn borrow() -> Self {
        let stocked = STOCK.with_borrow_mut(Vec::pop);
        Self {
            bytes: stocked.unwrap_or_else(|| vec![0; SIZE]),
            start: 0,
            end: 0,
        }
    }

    fn give_back(self) {
        // While the thread ends its stock may be gone already; then the memory is simply freed.
        let _ = STOCK.try_with(|stock| {
            let mut stock = stock.borrow_mut();
            if stock.len() < STOCKED {
                stock.push(self.bytes);
            }
        });
    }

    fn append(&mut self, bytes: &[u8]) {
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Moves what is left to the front.
    fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}

thread_local! {
    static STOCK: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A flush of 128 KiB with its record headers, plus one record.
const SIZE: usize = 148 * 1024;
/// One read. Measured: 16 and 32 KiB are worse, more is no better.
const READ: usize = 64 * 1024;
/// Blocks that a worker keeps, 2.3 MiB, and buffers, 1 MiB.
const STOCKED: usize = 16;
