//! The fuzz target of this crate: texts that arrive from outside (request targets, durations).

use crate::admin::Request;
use crate::env::parse_duration;

/// Parses arbitrary bytes as a request target and as a duration; nothing may panic.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let request = Request::get(&text);
    let _ = (request.path().len(), request.query("level"));
    let _ = parse_duration(&text);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not `mesh_types::fuzzing`: this crate depends on nothing of the house, not even in tests.
    #[test]
    fn every_byte_at_every_place_of_the_corpus() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/text");
        let mut inputs = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let seed = std::fs::read(entry.unwrap().path()).unwrap();
            for at in 0..seed.len() {
                for byte in 0..=u8::MAX {
                    let mut input = seed.clone();
                    input[at] = byte;
                    fuzz(&input);
                    inputs += 1;
                }
                fuzz(&seed[..at]);
            }
        }
        assert!(inputs > 10_000, "the corpus is too small: {inputs} inputs");
    }
}
