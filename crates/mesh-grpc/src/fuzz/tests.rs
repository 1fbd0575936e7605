use std::path::Path;

use super::*;

#[test]
fn the_corpus_and_its_mutations() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/callers");
    let corpus = mesh_types::fuzzing::corpus(&dir);
    for input in mesh_types::fuzzing::mutations(&corpus, 4, 20_000) {
        fuzz(&input);
    }
}
