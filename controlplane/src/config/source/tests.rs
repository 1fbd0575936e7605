use std::fs;

use super::*;

const GOOD: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
const BROKEN: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: [}\n";

struct Dirs {
    config: tempfile::TempDir,
    state: tempfile::TempDir,
}

impl Dirs {
    fn new() -> Self {
        Self {
            config: tempfile::tempdir().unwrap(),
            state: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.config.path().join(name), text).unwrap();
    }

    fn source(&self) -> ConfigSource {
        ConfigSource::open(self.config.path(), self.state.path()).unwrap()
    }
}

#[test]
fn a_restart_beside_a_broken_file_serves_what_was_good() {
    let dirs = Dirs::new();
    dirs.write("a.yaml", GOOD);
    let (batch, _) = dirs.source().step();
    assert_eq!(batch.changes.len(), 1);

    dirs.write("a.yaml", BROKEN);
    let mut source = dirs.source();
    let (batch, _) = source.step();
    assert_eq!((batch.changes.len(), batch.never_good), (1, vec![]));
    let status = source.status_board().latest();
    assert_eq!(status.count(ContentState::LastGood), 1);
    assert!(
        status.files[0].errors[0].starts_with("a.yaml:3:"),
        "{:?}",
        status.files[0].errors
    );
}

#[test]
fn a_file_that_never_was_good_is_named_with_its_line() {
    let dirs = Dirs::new();
    dirs.write("a.yaml", BROKEN);
    let (batch, _) = dirs.source().step();
    assert!(batch.changes.is_empty());
    assert!(
        batch.never_good[0].starts_with("a.yaml:3:"),
        "{:?}",
        batch.never_good
    );
}

#[test]
fn a_file_removed_while_nobody_looked_is_gone_for_good() {
    let dirs = Dirs::new();
    dirs.write("a.yaml", GOOD);
    dirs.source().step();
    fs::remove_file(dirs.config.path().join("a.yaml")).unwrap();
    let (batch, _) = dirs.source().step();
    assert!(batch.changes.is_empty() && batch.never_good.is_empty());
    dirs.write("a.yaml", BROKEN);
    assert_eq!(
        dirs.source().step().0.never_good.len(),
        1,
        "its last good content was forgotten"
    );
}

#[test]
fn a_directory_that_goes_away_takes_nothing_with_it() {
    let dirs = Dirs::new();
    dirs.write("a.yaml", GOOD);
    let mut source = dirs.source();
    source.step();
    fs::rename(dirs.config.path(), dirs.state.path().join("elsewhere")).unwrap();
    let (batch, _) = source.step();
    assert!(batch.changes.is_empty());
    assert!(
        source
            .status_board()
            .latest()
            .error
            .as_deref()
            .unwrap()
            .contains("No such file")
    );
    fs::rename(dirs.state.path().join("elsewhere"), dirs.config.path()).unwrap();
    assert!(source.step().0.changes.is_empty());
}

#[test]
fn a_directory_that_never_could_be_read_is_not_an_empty_one() {
    let dirs = Dirs::new();
    let mut source = dirs.source();
    fs::rename(dirs.config.path(), dirs.state.path().join("elsewhere")).unwrap();
    let (batch, _) = source.step();
    assert!(
        batch.never_good[0].contains("No such file"),
        "{:?}",
        batch.never_good
    );
    fs::rename(dirs.state.path().join("elsewhere"), dirs.config.path()).unwrap();
    assert!(source.step().0.never_good.is_empty());
}

#[test]
fn the_thread_sees_changes_until_nobody_listens() {
    let dirs = Dirs::new();
    dirs.write("a.yaml", GOOD);
    let source = dirs.source();
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || source.run(|batch| send.send(batch).is_ok()));
    assert_eq!(receive.recv().unwrap().changes.len(), 1);
    dirs.write("b.yaml", &GOOD.replace("shop", "bank"));
    let changed = receive.iter().find(|batch| !batch.changes.is_empty()).unwrap();
    assert_eq!(changed.changes.len(), 1);
    drop(receive);
    dirs.write("c.yaml", GOOD);
    thread.join().unwrap().unwrap();
}

#[test]
fn a_missing_directory_is_named() {
    let state = tempfile::tempdir().unwrap();
    let error = ConfigSource::open(Path::new("/nonexistent/dir"), state.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "configuration directory /nonexistent/dir: No such file or directory (os error 2)"
    );
}
