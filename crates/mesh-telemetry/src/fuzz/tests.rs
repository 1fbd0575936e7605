use std::path::Path;

use super::*;

fn run(name: &str, count: usize, target: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let corpus = mesh_types::fuzzing::corpus(&dir);
    for input in mesh_types::fuzzing::mutations(&corpus, 11, count) {
        target(&input);
    }
}

#[test]
fn formats() {
    run("format", 20_000, format);
}

#[test]
fn expressions() {
    run("cel", 20_000, cel);
}

#[test]
fn traceparents() {
    run("traceparent", 20_000, traceparent);
}

#[test]
fn b3_headers() {
    run("b3", 20_000, b3);
}

#[test]
fn counted_messages() {
    run("messages", 20_000, messages);
}
