//! Seeded mutations of a corpus, so that every parser's fuzz target also runs as an ordinary test on stable Rust.
//!
//! The same `fn fuzz(&[u8])` serves libFuzzer; what libFuzzer finds goes into the corpus.

use std::fs;
use std::path::Path;

/// Reads every file of a corpus directory, in the order of their names.
///
/// # Panics
/// Panics when the directory cannot be read or holds no file: a fuzz test without a corpus tests nothing.
#[must_use]
pub fn corpus(dir: &Path) -> Vec<Vec<u8>> {
    let entries =
        fs::read_dir(dir).unwrap_or_else(|e| panic!("corpus {} cannot be read: {e}", dir.display()));
    let mut files: Vec<_> = entries
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.is_file())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "corpus {} holds no file", dir.display());
    files
        .iter()
        .map(|p| fs::read(p).unwrap_or_else(|e| panic!("{} cannot be read: {e}", p.display())))
        .collect()
}

/// The corpus itself, then `count` mutations of it: the same for the same seed, on every machine.
pub fn mutations(corpus: &[Vec<u8>], seed: u64, count: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let mut random = SplitMix(seed);
    let mutated = (0..count).map(move |_| {
        let mut input = random.pick(corpus).cloned().unwrap_or_default();
        for _ in 0..=random.below(4) {
            mutate(&mut input, corpus, &mut random);
        }
        input
    });
    corpus.iter().cloned().chain(mutated)
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut SplitMix) {
    let at = random.below(input.len() + 1);
    match random.below(8) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = INTERESTING[random.below(INTERESTING.len())],
        2 => input.insert(at, INTERESTING[random.below(INTERESTING.len())]),
        3 if at < input.len() => drop(input.remove(at)),
        4 => input.truncate(at),
        5 => {
            let end = (at + random.below(16)).min(input.len());
            let piece = input[at..end].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, piece);
        }
        6 => {
            if let Some(other) = random.pick(corpus) {
                input.truncate(at);
                input.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
        }
        _ => {
            let end = (at + random.below(8)).min(input.len());
            input[at..end].fill(random.below(256) as u8);
        }
    }
    input.truncate(MAX_INPUT);
}

/// A small generator with a published definition (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014): quality does not matter here, sameness does.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 when `n` is 0.
    fn below(&mut self, n: usize) -> usize {
        if n == 0 {
            0
        } else {
            (self.next() % n as u64) as usize
        }
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// Bytes that parsers stumble over: ends of ranges, separators, quotes, control characters, protobuf tags.
const INTERESTING: [u8; 24] = [
    0, 1, 8, 9, 10, 13, 18, 26, 32, b'"', b'%', b',', b'-', b'.', b'/', b'0', b':', b';', b'=', b'[', 0x7f,
    0x80, 0xfe, 0xff,
];
const MAX_INPUT: usize = 16 * 1024;
