use super::*;

#[test]
fn keeps_replaces_and_forgets() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (FileName::new("a.yaml"), FileName::new("sub/b.yaml"));
    let store = LastGood::open(dir.path()).unwrap();
    store.store(&a, "one").unwrap();
    store.store(&a, "two").unwrap();
    store.store(&b, "three").unwrap();
    store.remove(&b).unwrap();
    store.remove(&b).unwrap();
    let kept = LastGood::open(dir.path()).unwrap().load().unwrap();
    assert_eq!(kept.records, [(a, "two".to_owned())]);
    assert!(kept.unreadable.is_empty());
}

#[test]
fn names_a_record_that_somebody_broke() {
    let dir = tempfile::tempdir().unwrap();
    let store = LastGood::open(dir.path()).unwrap();
    store.store(&FileName::new("a.yaml"), "one").unwrap();
    fs::write(dir.path().join("config/0.json"), "{").unwrap();
    let kept = store.load().unwrap();
    assert_eq!((kept.records.len(), kept.unreadable.len()), (1, 1));
    let unreadable = kept.unreadable;
    assert!(
        unreadable[0].to_string().contains("config/0.json"),
        "{}",
        unreadable[0]
    );
}
