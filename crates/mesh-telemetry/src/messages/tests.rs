use super::*;

fn frame(flags: u8, length: u32) -> Vec<u8> {
    let mut bytes = vec![flags];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.resize(PREFIX + length as usize, 7);
    bytes
}

#[test]
fn pieces_of_any_size() {
    let all: Vec<u8> = [frame(0, 3), frame(0, 0), frame(1, 300), frame(0, 1)].concat();
    for size in [1, 2, 4, 5, 7, 64, all.len()] {
        let mut messages = Messages::default();
        all.chunks(size).for_each(|piece| messages.read(piece));
        assert_eq!((messages.count(), messages.left), (4, 0), "in pieces of {size}");
    }
}

#[test]
fn a_message_counts_when_it_begins() {
    let mut messages = Messages::default();
    messages.read(&frame(0, 9)[..4]);
    assert_eq!(messages.count(), 0);
    messages.read(&[9]);
    assert_eq!(messages.count(), 1);
}

#[test]
fn trailers_of_grpc_web_are_no_message() {
    let mut messages = Messages::default();
    messages.read(&[frame(0, 2), frame(0x80, 16)].concat());
    assert_eq!(messages.count(), 1);
}

/// Whatever passes is no message that is longer than what a prefix can say, and never more than what has come.
#[test]
fn any_bytes_at_all() {
    for seed in 0..200_u64 {
        let noise: Vec<u8> = (0..257_u64)
            .map(|n| (n.wrapping_mul(seed.wrapping_mul(2_654_435_761)) >> 7).to_le_bytes()[0])
            .collect();
        let (mut whole, mut single) = (Messages::default(), Messages::default());
        whole.read(&noise);
        noise.chunks(1).for_each(|byte| single.read(byte));
        assert_eq!(whole, single);
        assert!(whole.count() <= noise.len() as u64 / PREFIX as u64);
    }
}
