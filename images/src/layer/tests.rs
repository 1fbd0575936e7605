use std::io::Read as _;

use flate2::read::GzDecoder;
use tar::Archive;

use super::*;

fn files() -> Files {
    let mut files = Files::base();
    files.make("/opt/a/b", "text");
    files
}

#[test]
fn equal_files_give_equal_bytes() {
    assert_eq!(
        Layer::of(&files(), Effort::Smallest).expect("made"),
        Layer::of(&files(), Effort::Smallest).expect("made")
    );
}

#[test]
fn a_layer_holds_the_files_and_their_directories() {
    let layer = Layer::of(&files(), Effort::Smallest).expect("made");
    let mut archive = Archive::new(GzDecoder::new(layer.bytes.as_slice()));
    let mut seen = Vec::new();
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let header = entry.header();
        assert_eq!(
            (header.uid().ok(), header.gid().ok(), header.mtime().ok()),
            (Some(0), Some(0), Some(0))
        );
        let mode = header.mode().expect("a mode");
        let path = entry.path().expect("a path").display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("readable");
        seen.push((path, mode, text));
    }
    let names: Vec<_> = seen.iter().map(|(path, ..)| path.trim_end_matches('/')).collect();
    let expected = [
        "etc",
        "opt",
        "opt/a",
        "etc/group",
        "etc/nsswitch.conf",
        "etc/passwd",
        "opt/a/b",
        "tmp",
    ];
    assert_eq!(names, expected);
    assert_eq!(seen[6], ("opt/a/b".to_owned(), 0o644, "text".to_owned()));
    assert_eq!(seen[7].1, 0o1777, "everybody may write to /tmp");
}

#[test]
fn the_digest_is_of_what_is_inside() {
    let layer = Layer::of(&files(), Effort::Smallest).expect("made");
    let mut tar = Vec::new();
    GzDecoder::new(layer.bytes.as_slice())
        .read_to_end(&mut tar)
        .expect("gzip");
    assert_eq!(layer.diff_id, digest(&tar));
    // FIPS 180-2, appendix B.1.
    assert_eq!(
        digest(b"abc"),
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}
