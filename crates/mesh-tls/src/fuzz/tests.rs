use std::path::Path;

use mesh_types::fuzzing;

#[test]
fn peer_certificates() {
    run("peer_certificate", super::peer_certificate);
}

#[test]
fn signing_requests() {
    run("signing_request", super::signing_request);
}

#[test]
fn chains() {
    run("chain", super::chain);
}

fn run(name: &str, target: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let corpus = fuzzing::corpus(&dir);
    for input in fuzzing::mutations(&corpus, 1, 20_000) {
        target(&input);
    }
}
