use std::fs;
use std::path::PathBuf;

use notify::event::{DataChange, Flag, MetadataKind};

use super::*;

fn event(kind: EventKind, path: impl Into<PathBuf>) -> Event {
    Event::new(kind).add_path(path.into())
}

const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
const MOVED_HERE: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::To));
const MOVED_AWAY: EventKind = EventKind::Modify(ModifyKind::Name(RenameMode::From));

fn names(of: &BTreeSet<FileName>) -> Vec<&str> {
    of.iter().map(FileName::as_str).collect()
}

#[test]
fn a_file_in_its_place_or_closed_can_be_read_at_once() {
    let root = Path::new("/c");
    let mut news = News::default();
    assert!(news.take(root, &event(MOVED_HERE, "/c/a.yaml")));
    assert!(news.take(root, &event(WRITTEN, "/c/sub/b.yml")));
    assert!(news.take(root, &event(CLOSED, "/c/sub/b.yml")));
    assert!(news.take(root, &event(WRITTEN, "/c/c.json")));
    assert_eq!(names(&news.take_whole().unwrap()), ["a.yaml", "sub/b.yml"]);
    assert_eq!(news.take_whole(), None, "the third is being written");
    let Look::Files { names: rest, still } = news.into_look() else {
        panic!("nothing is lost")
    };
    assert_eq!((names(&rest), still), (vec!["c.json"], true));
}

#[test]
fn what_may_be_gone_for_a_moment_waits() {
    let root = Path::new("/c");
    let mut news = News::default();
    for kind in [
        MOVED_AWAY,
        EventKind::Remove(RemoveKind::File),
        EventKind::Create(CreateKind::File),
        EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
    ] {
        assert!(news.take(root, &event(kind, "/c/a.yaml")));
        assert_eq!(news.take_whole(), None, "{kind:?}");
    }
}

#[test]
fn reading_and_editors_own_files_are_no_change() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml~"), "").unwrap();
    let mut news = News::default();
    let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
    assert!(!news.take(dir.path(), &event(opened, dir.path().join("a.yaml"))));
    assert!(!news.take(dir.path(), &event(WRITTEN, dir.path().join("a.yaml~"))));
    assert!(!news.take(dir.path(), &event(MOVED_AWAY, dir.path().join(".a.yaml.tmp"))));
    assert!(news.is_empty());
}

#[test]
fn what_is_about_no_single_file_is_about_everything() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    std::os::unix::fs::symlink("sub", dir.path().join("..data")).unwrap();
    let at = |name: &str| dir.path().join(name);
    for event in [
        event(MOVED_HERE, at("sub")),
        event(MOVED_HERE, at("..data")),
        event(CLOSED, at("..2024/a.yaml")),
        event(MOVED_AWAY, at("gone")),
        event(EventKind::Remove(RemoveKind::Folder), at("other")),
        event(WRITTEN, "/elsewhere"),
        Event::new(EventKind::Other).set_flag(Flag::Rescan),
    ] {
        let mut news = News::default();
        assert!(news.take(dir.path(), &event));
        assert_eq!(news.into_look(), Look::Everything, "{event:?}");
    }
}

#[test]
fn many_files_at_once_wait_for_the_last() {
    let mut news = News::default();
    for i in 0..=BURST {
        news.take(Path::new("/c"), &event(MOVED_HERE, format!("/c/{i}.yaml")));
    }
    assert_eq!(news.take_whole(), None);
    let Look::Files { names, .. } = news.into_look() else {
        panic!("each is named")
    };
    assert_eq!(names.len(), BURST + 1);
}
