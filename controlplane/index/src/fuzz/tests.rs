use std::path::Path;

use mesh_types::fuzzing::{corpus, mutations};

#[test]
fn whatever_is_derived_survives_the_wire() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    super::fuzz(include_bytes!("../../tests/vectors/objects.yaml"));
    let corpus = corpus(&root.join("fuzz/corpus/derive"));
    for input in mutations(&corpus, 5, 4_000) {
        super::fuzz(&input);
    }
}
