use std::path::{Path, PathBuf};

use mesh_types::fuzzing::{corpus, mutations};

fn corpus_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name)
}

#[test]
fn tokens() {
    for input in mutations(&corpus(&corpus_dir("token")), 1, 20_000) {
        super::token(&input);
    }
}

#[test]
fn claims() {
    let corpus = corpus(&corpus_dir("claims"));
    assert!(
        crate::token::judge_claims(&corpus[0], super::now()).is_ok(),
        "the corpus shows a way in"
    );
    for input in mutations(&corpus, 3, 20_000) {
        super::claims(&input);
    }
}

#[test]
fn signing_requests() {
    for input in mutations(&corpus(&corpus_dir("signing_request")), 2, 20_000) {
        super::signing_request(&input);
    }
}
