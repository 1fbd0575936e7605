use std::fs;
use std::path::Path;

use mesh_types::fuzzing::mutations;

use super::fuzz;

#[test]
fn no_answer_does_harm() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/answers");
    let files = fs::read_dir(dir).expect("the corpus");
    let corpus: Vec<_> = files
        .map(|file| fs::read(file.expect("a file").path()).expect("its content"))
        .collect();
    assert!(corpus.len() > 2);
    mutations(&corpus, 5, 20_000).for_each(|data| fuzz(&data));
}
