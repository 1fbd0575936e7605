use std::path::Path;

use mesh_types::fuzzing::{corpus, mutations};

#[test]
fn corpus_and_its_mutations_break_no_promise() {
    let corpus = corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/parse"));
    for input in mutations(&corpus, 3, 20_000) {
        super::fuzz(&input);
    }
}
