use super::*;

#[test]
fn a_short_read_pins_only_itself() {
    let chunk = read(b"short").unwrap();
    let held = chunk.try_into_mut().unwrap();
    assert!(held.capacity() < 64, "{}", held.capacity());
    assert_eq!(spare(), 1);
}

#[test]
fn a_long_read_takes_the_block_and_brings_it_back() {
    let data = vec![7; LARGEST_COPIED + 1];
    let mut chunk = read(&data).unwrap();
    assert_eq!(chunk, data);
    assert_eq!(spare(), 0);
    // Written in two steps, as a slow reader takes it.
    bytes::Buf::advance(&mut chunk, 100);
    recycle(chunk);
    assert_eq!(spare(), 1);
    assert!(SPARE.with_borrow(|spare| spare[0].capacity() >= BLOCK && spare[0].is_empty()));
}

#[test]
fn a_block_that_somebody_else_holds_stays_theirs() {
    let chunk = read(&[7; BLOCK]).unwrap();
    let elsewhere = chunk.clone();
    recycle(chunk);
    assert_eq!(spare(), 0);
    assert_eq!(elsewhere, vec![7; BLOCK]);
}

#[test]
fn waiting_holds_no_block() {
    let outcome = read_with::<()>(|_| Poll::Pending);
    assert!(outcome.is_pending());
    assert_eq!(spare(), 1);
    assert_eq!(read(b""), None);
    assert_eq!(spare(), 1);
}

#[test]
fn spare_blocks_are_bounded() {
    let chunks: Vec<_> = (0..40).map(|_| read(&[7; BLOCK]).unwrap()).collect();
    chunks.into_iter().for_each(recycle);
    assert_eq!(spare(), MAX_SPARE);
}

fn read(data: &[u8]) -> Option<Bytes> {
    let outcome = read_with::<()>(|buf| {
        assert!(buf.remaining() >= BLOCK);
        buf.put_slice(data);
        Poll::Ready(Ok(()))
    });
    match outcome {
        Poll::Ready(Ok(chunk)) => chunk,
        other => panic!("{other:?}"),
    }
}

fn spare() -> usize {
    SPARE.with_borrow(Vec::len)
}
