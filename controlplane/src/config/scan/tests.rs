use std::os::unix::fs::symlink;

use super::*;

fn names(scan: &Scan) -> Vec<&str> {
    scan.changed.iter().map(|(n, _)| n.as_str()).collect()
}

fn scanner(dir: &Path) -> Scanner {
    Scanner::new(dir.to_owned(), [])
}

#[test]
fn finds_what_is_new_changed_and_gone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("b.yaml"), "b").unwrap();
    fs::write(dir.path().join("a.yml"), "a").unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/c.json"), "c").unwrap();
    for ignored in [".a.yml.swp", "a.yml~", "4913", "README.md", ".hidden.yaml"] {
        fs::write(dir.path().join(ignored), "x").unwrap();
    }
    let mut scanner = scanner(dir.path());
    assert_eq!(names(&scanner.scan().unwrap()), ["a.yml", "b.yaml", "sub/c.json"]);
    assert_eq!(names(&scanner.scan().unwrap()), [""; 0]);

    fs::write(dir.path().join("b.yaml"), "longer").unwrap();
    fs::remove_file(dir.path().join("sub/c.json")).unwrap();
    let scan = scanner.scan().unwrap();
    assert_eq!(names(&scan), ["b.yaml"]);
    assert_eq!(scan.changed[0].1.as_deref().unwrap(), "longer");
    assert_eq!(scan.removed, [FileName::new("sub/c.json")]);
}

#[test]
fn sees_a_file_that_was_renamed_over_another() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), "old").unwrap();
    let mut scanner = scanner(dir.path());
    scanner.scan().unwrap();
    fs::write(dir.path().join(".a.yaml.tmp"), "new").unwrap();
    fs::rename(dir.path().join(".a.yaml.tmp"), dir.path().join("a.yaml")).unwrap();
    let scan = scanner.scan().unwrap();
    assert_eq!(scan.changed[0].1.as_deref().unwrap(), "new");
    assert!(scan.removed.is_empty());
}

#[test]
fn sees_a_config_map_being_swapped() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (version, text) in [("..1", "one"), ("..2", "two")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("a.yaml"), text).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let mut scanner = scanner(dir.path());
    let scan = scanner.scan().unwrap();
    assert_eq!(
        (names(&scan), scan.changed[0].1.as_deref().unwrap()),
        (vec!["a.yaml"], "one")
    );
    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    let scan = scanner.scan().unwrap();
    assert_eq!(
        (names(&scan), scan.changed[0].1.as_deref().unwrap()),
        (vec!["a.yaml"], "two")
    );
}

#[test]
fn an_emptied_file_is_believed_at_the_second_look() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    fs::write(&path, "text").unwrap();
    let mut scanner = scanner(dir.path());
    scanner.scan().unwrap();
    fs::write(&path, "").unwrap();
    let scan = scanner.scan().unwrap();
    assert!(scan.unsettled && scan.changed.is_empty());
    let scan = scanner.scan().unwrap();
    assert_eq!((scan.unsettled, names(&scan)), (false, vec!["a.yaml"]));
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("binary.yaml"), b"a\xff").unwrap();
    symlink("nowhere", dir.path().join("dangling.yaml")).unwrap();
    nix::unistd::mkfifo(&dir.path().join("pipe.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let scan = scanner(dir.path()).scan().unwrap();
    let said: Vec<String> = scan
        .changed
        .iter()
        .map(|(name, text)| format!("{name} {}", text.as_ref().unwrap_err()))
        .collect();
    assert_eq!(
        said[0],
        "binary.yaml is not UTF-8 text (first bad byte at offset 1)"
    );
    assert!(
        said[1].starts_with("dangling.yaml cannot be read: No such file"),
        "{}",
        said[1]
    );
    assert_eq!(said[2], "pipe.yaml is not a regular file");
}

#[test]
fn names_a_directory_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let error = scanner(&dir.path().join("nowhere")).scan().unwrap_err();
    assert!(error.to_string().contains("nowhere: No such file"), "{error}");
}

#[test]
fn a_file_known_from_before_is_gone_if_it_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut scanner = Scanner::new(dir.path().to_owned(), [FileName::new("old.yaml")]);
    assert_eq!(scanner.scan().unwrap().removed, [FileName::new("old.yaml")]);
}
