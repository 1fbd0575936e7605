//! The memory that sockets are read into.
//!
//! One block for each thread, used by whichever connection has data right now, so that an idle connection holds none. A
//! short read is copied out, since a few bytes in somebody's queue must not pin 64 KiB; a long one takes the block with it,
//! and the block returns once its bytes were written.

use std::cell::RefCell;
use std::task::{Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::ReadBuf;

/// Reads once into a block of this thread. `read` behaves as `AsyncRead::poll_read` does; reading nothing is the end.
pub(super) fn read_with<E>(
    read: impl FnOnce(&mut ReadBuf<'_>) -> Poll<Result<(), E>>,
) -> Poll<Result<Option<Bytes>, E>> {
    let mut block = take();
    let outcome = fill(&mut block, read);
    if block.len() > LARGEST_COPIED {
        return outcome.map_ok(|()| Some(block.freeze()));
    }
    let copy = (!block.is_empty()).then(|| Bytes::copy_from_slice(&block));
    block.clear();
    put(block);
    outcome.map_ok(|()| copy)
}

/// Gives a written chunk's memory back for the next read, if it was a block and nobody else holds it.
pub(super) fn recycle(chunk: Bytes) {
    let Ok(mut block) = chunk.try_into_mut() else {
        return;
    };
    block.clear();
    if block.try_reclaim(BLOCK) {
        put(block);
    }
}

fn fill<E>(
    block: &mut BytesMut,
    read: impl FnOnce(&mut ReadBuf<'_>) -> Poll<Result<(), E>>,
) -> Poll<Result<(), E>> {
    let mut buf = ReadBuf::uninit(block.spare_capacity_mut());
    ready!(read(&mut buf))?;
    let len = buf.filled().len();
    // SAFETY: `ReadBuf` vouches for its first `len` bytes being initialised, and they are the block's next `len` ones.
    unsafe { block.advance_mut(len) };
    Poll::Ready(Ok(()))
}

fn take() -> BytesMut {
    SPARE
        .with_borrow_mut(Vec::pop)
        .unwrap_or_else(|| BytesMut::with_capacity(BLOCK))
}

fn put(block: BytesMut) {
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MAX_SPARE {
            spare.push(block);
        }
    });
}

thread_local! {
    /// Empty blocks, the one used last on top: it is the one that the processor's cache still holds.
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Measured: reads of 16 and 32 KiB cost more system calls for bulk, and more than 64 KiB gains nothing.
pub(super) const BLOCK: usize = 64 * 1024;
/// A chunk pins at most four times its length.
const LARGEST_COPIED: usize = BLOCK / 4;
/// Kept between bursts: 1 MiB for each thread.
const MAX_SPARE: usize = 16;

#[cfg(test)]
mod tests;
