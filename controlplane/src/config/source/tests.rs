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
    assert_eq!(source.status_board().count(ContentState::LastGood), 1);
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
    let thread = thread::spawn(move || source.run(|batch| send.send(batch).is_ok()));
    assert_eq!(receive.recv().unwrap().changes.len(), 1);
    dirs.write("b.yaml", &GOOD.replace("shop", "bank"));
    let changed = receive.iter().find(|batch| !batch.changes.is_empty()).unwrap();
    assert_eq!(changed.changes.len(), 1);
    drop(receive);
    dirs.write("c.yaml", GOOD);
    thread.join().unwrap().unwrap();
}

fn only(name: &str, still: bool) -> Look {
    Look::Files {
        names: BTreeSet::from([FileName::new(name)]),
        still,
    }
}

#[test]
fn a_change_costs_what_changed() {
    let dirs = Dirs::new();
    for i in 0..300 {
        dirs.write(&format!("{i}.yaml"), &GOOD.replace("shop", &format!("ns-{i}")));
    }
    let mut source = dirs.source();
    let board = source.status_board();
    assert_eq!(source.step().0.changes.len(), 300);
    let before = board.work();
    dirs.write(
        "7.yaml",
        &GOOD.replace("{name: shop}", "{name: ns-7, labels: {a: b}}"),
    );
    let (batch, _) = source.look(&only("7.yaml", false));
    assert_eq!(batch.changes.len(), 1);
    let now = board.work();
    let costs = (
        now.looks - before.looks,
        now.parsed - before.parsed,
        now.stated - before.stated,
    );
    assert_eq!(costs, (1, 1, 1));

    // A look at everything reads nothing that did not change.
    assert!(source.step().0.changes.is_empty());
    let after = board.work();
    assert_eq!(
        (after.parsed, after.stated, after.looks),
        (now.parsed, now.stated, now.looks + 300)
    );
}

#[test]
fn who_shares_an_object_is_stated_anew_and_nobody_else() {
    let dirs = Dirs::new();
    for name in ["a.yaml", "b.yaml"] {
        dirs.write(name, GOOD);
    }
    dirs.write("c.yaml", &GOOD.replace("shop", "bank"));
    let mut source = dirs.source();
    let board = source.status_board();
    source.step();
    let told = |board: &StatusBoard| {
        let files = board.latest().files;
        files
            .iter()
            .filter(|f| f.duplicates().count() > 0)
            .map(|f| f.file.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&board), ["a.yaml", "b.yaml"]);
    let before = board.work().stated;
    fs::remove_file(dirs.config.path().join("a.yaml")).unwrap();
    source.look(&only("a.yaml", true));
    assert_eq!((told(&board), board.work().stated - before), (vec![], 2));
}

#[test]
fn an_object_on_its_way_to_another_file_is_never_gone() {
    let dirs = Dirs::new();
    let bank = GOOD.replace("shop", "bank");
    dirs.write("a.yaml", &format!("{GOOD}---\n{bank}"));
    let mut source = dirs.source();
    source.step();
    dirs.write("a.yaml", GOOD);
    assert!(
        source.look(&only("a.yaml", false)).0.changes.is_empty(),
        "it waits"
    );
    dirs.write("b.yaml", &bank);
    assert!(
        source.look(&only("b.yaml", false)).0.changes.is_empty(),
        "it only moved"
    );
    // One that stays away is gone when the directory keeps still.
    dirs.write("b.yaml", "");
    source.look(&only("b.yaml", false));
    let settled = source.look(&only("b.yaml", true)).0;
    assert!(matches!(&settled.changes[..], [FileChange::Removed(key)] if key.name.as_str() == "bank"));
}

#[test]
fn the_thread_reads_a_renamed_file_and_no_other() {
    let dirs = Dirs::new();
    for i in 0..50 {
        dirs.write(&format!("{i}.yaml"), &GOOD.replace("shop", &format!("ns-{i}")));
    }
    let source = dirs.source();
    let board = source.status_board();
    let (send, receive) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || source.run(|batch| send.send(batch).is_ok()));
    assert_eq!(receive.recv().unwrap().changes.len(), 50);
    let before = board.work();
    for (i, label) in ["a", "b", "c"].into_iter().enumerate() {
        let labels = format!("{{name: ns-7, labels: {{v: {label}}}}}");
        let text = GOOD.replace("{name: shop}", &labels);
        dirs.write(".7.yaml.new", &text);
        fs::rename(
            dirs.config.path().join(".7.yaml.new"),
            dirs.config.path().join("7.yaml"),
        )
        .unwrap();
        let changed = receive.iter().find(|batch| !batch.changes.is_empty()).unwrap();
        assert_eq!(changed.changes.len(), 1);
        let now = board.work();
        let parsed = now.parsed - before.parsed;
        assert_eq!((parsed, now.stated - before.stated), (i as u64 + 1, i as u64 + 1));
    }
    drop(receive);
    dirs.write("c.yaml", GOOD);
    thread.join().unwrap().unwrap();
}

#[test]
fn what_counts_is_on_the_disk_before_anybody_hears_that_a_file_is_broken() {
    let dirs = Dirs::new();
    dirs.write("a.yaml", GOOD);
    let source = dirs.source();
    let board = source.status_board();
    let (send, receive) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || source.run(|batch| send.send(batch).is_ok()));
    receive.recv().unwrap();
    dirs.write("a.yaml", BROKEN);
    while board.count(ContentState::LastGood) == 0 {
        receive.recv().unwrap();
    }
    let kept = LastGood::open(dirs.state.path()).unwrap().load().unwrap();
    assert_eq!(kept.records, [(FileName::new("a.yaml"), GOOD.to_owned())]);
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
