use std::collections::VecDeque;

use bytes::Bytes;

use super::{JOINED, take_frame};

fn chunks(sizes: &[usize]) -> VecDeque<Bytes> {
    sizes.iter().map(|n| Bytes::from(vec![1; *n])).collect()
}

/// Frames that these chunks make with so much room for each.
fn frames(sizes: &[usize], room: usize) -> Vec<usize> {
    let mut chunks = chunks(sizes);
    let frames = std::iter::from_fn(|| {
        let frame = take_frame(&mut chunks, room);
        (!frame.is_empty()).then_some(frame.len())
    });
    frames.collect()
}

#[test]
fn a_large_chunk_is_one_frame_uncopied() {
    let mut one = chunks(&[JOINED]);
    let (memory, frame) = (one[0].as_ptr(), take_frame(&mut one, usize::MAX));
    assert_eq!((frame.len(), frame.as_ptr()), (JOINED, memory));
    assert_eq!(frames(&[65_536, 65_536], usize::MAX), [65_536, 65_536]);
}

#[test]
fn small_chunks_are_joined_up_to_one_record() {
    assert_eq!(frames(&[10, 0, 20, 30], usize::MAX), [60]);
    assert_eq!(frames(&[JOINED - 1, 1, 1], usize::MAX), [JOINED, 1]);
    assert_eq!(frames(&[10, 65_536, 10], usize::MAX), [10, 65_536, 10]);
}

#[test]
fn no_frame_exceeds_the_room() {
    assert_eq!(frames(&[10, 10, 10], 15), [10, 10, 10]);
    assert_eq!(frames(&[100], 40), [40, 40, 20]);
    assert_eq!(frames(&[5, 100], 40), [5, 40, 40, 20]);
}
