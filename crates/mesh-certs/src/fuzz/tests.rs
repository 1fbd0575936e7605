use std::path::Path;
use std::time::Duration;

use prost::Message;

use super::*;
use crate::request;
use crate::testing::identity;

#[test]
fn the_corpus_and_its_mutations() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/orders");
    // Keys are random, so the corpus is written once, with `LATEEN_UPDATE=1`.
    if std::env::var_os("LATEEN_UPDATE").is_some() {
        let (_, pem) = mesh_tls::csr::encode(&identity("web")).unwrap();
        let message = request::encode(pem, Duration::from_hours(24), Some(&identity("web")));
        std::fs::write(dir.join("impersonated"), message.encode_to_vec()).unwrap();
    }
    let corpus = mesh_types::fuzzing::corpus(&dir);
    let valid = corpus
        .iter()
        .filter_map(|m| IstioCertificateRequest::decode(m.as_slice()).ok());
    assert!(valid.filter(|m| request::decode(m).is_ok()).count() > 0);
    for input in mesh_types::fuzzing::mutations(&corpus, 3, 20_000) {
        fuzz(&input);
    }
}
