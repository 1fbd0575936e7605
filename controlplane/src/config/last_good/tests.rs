use super::*;

fn store(store: &mut LastGood, file: &FileName, text: &str) {
    assert!(store.store(&[(file.clone(), text.to_owned())]).is_empty());
}

#[test]
fn keeps_replaces_and_forgets() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (FileName::new("a.yaml"), FileName::new("sub/b.yaml"));
    let mut kept = LastGood::open(dir.path()).unwrap();
    store(&mut kept, &a, "one");
    store(&mut kept, &a, "two");
    store(&mut kept, &b, "three");
    kept.remove(&b).unwrap();
    kept.remove(&b).unwrap();
    let kept = LastGood::open(dir.path()).unwrap().load().unwrap();
    assert_eq!(kept.records, [(a, "two".to_owned())]);
    assert!(kept.unreadable.is_empty());
}

#[test]
fn what_is_kept_is_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let a = FileName::new("a.yaml");
    let mut first = LastGood::open(dir.path()).unwrap();
    store(&mut first, &a, "one");
    let mut second = LastGood::open(dir.path()).unwrap();
    assert_eq!(second.load().unwrap().records.len(), 1);
    let path = second.path_of(&a);
    // A file that is written again is another one.
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
    let before = inode();
    store(&mut second, &a, "one");
    assert_eq!(inode(), before);
    store(&mut second, &a, "two");
    assert_ne!(inode(), before);
    // After it was forgotten, the same text is news.
    second.remove(&a).unwrap();
    store(&mut second, &a, "two");
    assert!(path.exists());
}

#[test]
fn one_file_that_cannot_be_kept_does_not_cost_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (FileName::new("a.yaml"), FileName::new("b.yaml"));
    let mut kept = LastGood::open(dir.path()).unwrap();
    // A directory stands where its record would be.
    fs::create_dir_all(kept.path_of(&a).join("x")).unwrap();
    let errors = kept.store(&[(a, "one".to_owned()), (b.clone(), "two".to_owned())]);
    assert_eq!(errors.len(), 1);
    let kept = LastGood::open(dir.path()).unwrap().load().unwrap();
    assert_eq!(kept.records, [(b, "two".to_owned())]);
}

#[test]
fn names_a_record_that_somebody_broke() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept_before = LastGood::open(dir.path()).unwrap();
    store(&mut kept_before, &FileName::new("a.yaml"), "one");
    fs::write(dir.path().join("config/0.json"), "{").unwrap();
    let kept = kept_before.load().unwrap();
    assert_eq!((kept.records.len(), kept.unreadable.len()), (1, 1));
    let unreadable = kept.unreadable;
    assert!(
        unreadable[0].to_string().contains("config/0.json"),
        "{}",
        unreadable[0]
    );
}
