use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;

#[test]
fn what_is_packed_comes_out_again() {
    let long = format!("logs/{}/istio-proxy.log", "a-very-long-name".repeat(10));
    let files = BTreeMap::from([
        ("about.txt".to_owned(), "x".to_owned()),
        (long.clone(), "y".repeat(100_000)),
    ]);
    let packed = pack(&files, 1_000).expect("an archive");
    assert!(packed.len() < 10_000, "it is compressed");
    let mut archive = tar::Archive::new(GzDecoder::new(packed.as_slice()));
    let mut found = BTreeMap::new();
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        found.insert(
            name.strip_prefix("lateen-bug-report/")
                .expect("one folder")
                .to_owned(),
            text,
        );
    }
    assert_eq!(found, files);
}
