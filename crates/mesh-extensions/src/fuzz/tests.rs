use std::fs;
use std::path::Path;

use mesh_types::fuzzing::mutations;

use super::{framing, messages};
use crate::framing::frame;
use crate::{authorization, processing, rate_limit};

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
fn no_message_does_harm() {
    let mut corpus = corpus("messages");
    corpus.push(authorization::tests::check().encode().into());
    corpus.extend(authorization::tests::answers().iter().map(|a| a.encode().into()));
    corpus.push(rate_limit::tests::hit().encode().into());
    corpus.push(rate_limit::tests::counted().encode().into());
    corpus.extend(processing::tests::sent().iter().map(|s| s.encode().into()));
    corpus.extend(processing::tests::processed().iter().map(|p| p.encode().into()));
    mutations(&corpus, 1, 20_000).for_each(|data| messages(&data));
}

#[test]
fn no_body_does_harm() {
    let mut corpus = corpus("framing");
    corpus.push([frame(b"one"), frame(b"two")].concat());
    mutations(&corpus, 2, 20_000).for_each(|data| framing(&data));
}
