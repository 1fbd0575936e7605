//! What `examples/` says is understood completely.

use std::path::Path;

use controlplane::config::files::ContentState;
use controlplane::config::source::ConfigSource;

#[test]
fn the_examples_are_good_and_nothing_of_them_is_ignored() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let state = tempfile::tempdir().unwrap();
    let mut source = ConfigSource::open(&dir, state.path()).unwrap();
    let (batch, _) = source.step();
    assert_eq!(batch.never_good, [""; 0]);
    let status = source.status_board().latest();
    assert_eq!(status.count(ContentState::Current), status.files.len());
    for file in &status.files {
        assert!(!file.objects.is_empty(), "{} says nothing", file.file);
        assert!(file.warnings.is_empty(), "{:?}", file.warnings);
        for object in &file.objects {
            assert_eq!(object.error, None);
        }
    }
}
