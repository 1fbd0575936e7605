use std::path::Path;

use mesh_types::fuzzing::{corpus, mutations};

use super::log;

#[test]
fn no_log_does_harm() {
    let corpus = corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/log"));
    mutations(&corpus, 1, 20_000).for_each(|data| log(&data));
}
