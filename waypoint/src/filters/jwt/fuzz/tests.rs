use std::fs;
use std::path::Path;

use jsonwebtoken::Algorithm;
use mesh_testkit::Issuer;
use mesh_types::fuzzing::mutations;
use serde_json::json;

use super::*;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let files = fs::read_dir(dir).unwrap();
    files
        .map(|file| fs::read(file.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn no_token_does_harm() {
    let mut corpus = corpus("jwt-token");
    let claims = json!({"iss": "me", "aud": ["a"], "exp": 1, "nbf": 2.5, "x": {"y": [null, true]}});
    corpus.push(Issuer::new(Algorithm::ES256).token(&claims).into());
    mutations(&corpus, 1, 20_000).for_each(|data| token(&data));
}

#[test]
fn no_set_of_keys_does_harm() {
    let mut corpus = corpus("jwt-keys");
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA, Algorithm::RS256] {
        corpus.push(Issuer::new(algorithm).keys().into());
    }
    mutations(&corpus, 2, 20_000).for_each(|data| keys(&data));
}

#[test]
fn no_header_does_harm() {
    let corpus = corpus("jwt-places");
    mutations(&corpus, 3, 20_000).for_each(|data| places(&data));
}
