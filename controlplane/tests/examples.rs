//! What `examples/` says is understood completely.

use std::path::Path;

use clap::Parser;
use controlplane::args::CommandLine;
use controlplane::config::files::ContentState;
use controlplane::config::source::ConfigSource;
use controlplane::derivation::Derivation;

#[test]
fn the_examples_are_good_and_nothing_of_them_is_ignored() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/mesh");
    let state = tempfile::tempdir().unwrap();
    let mut source = ConfigSource::open(&dir, state.path()).unwrap();
    let (batch, _) = source.step();
    assert_eq!(batch.never_good, [""; 0]);
    let line = ["lateen-controlplane", "--config-dir", "c", "--state-dir", "s"];
    let args = CommandLine::try_parse_from(line).unwrap().serve.unwrap();
    let mut derivation = Derivation::new(&args);
    derivation.apply(batch.changes);
    let warnings: Vec<_> = derivation
        .conditions()
        .into_iter()
        .filter(|c| c.is_warning)
        .collect();
    assert_eq!(warnings, []);
    // Four services of the shop, printer, two policies, STRICT and its exception; pods have addresses once they are registered.
    assert_eq!(derivation.take_resources().len(), 5 + 2 + 2);
    assert_eq!(derivation.take_assignments().len(), 7);
    let status = source.status_board().latest();
    assert_eq!(
        source.status_board().count(ContentState::Current),
        status.files.len()
    );
    for file in &status.files {
        assert!(!file.objects.is_empty(), "{} says nothing", file.file);
        assert!(file.warnings.is_empty(), "{:?}", file.warnings);
        for object in &file.objects {
            assert_eq!(object.error, None);
        }
    }
}

#[test]
fn every_file_of_the_waypoint_is_good_by_itself() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/waypoint");
    let mut read = 0;
    for entry in std::fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "yaml") {
            continue;
        }
        read += 1;
        for object in controlplane_k8s_api::parse(&std::fs::read_to_string(&path).unwrap()) {
            let object = object.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(object.warnings, [], "{}", path.display());
        }
    }
    assert!(read > 2, "{read} files");
}
