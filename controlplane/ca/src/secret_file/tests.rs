use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Barrier;

use super::*;

fn text(s: &str) -> Zeroizing<String> {
    Zeroizing::new(s.to_owned())
}

#[test]
fn is_made_once_and_read_ever_after() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    assert_eq!(*load_or_create(&path, || Ok(text("first"))).unwrap(), "first");
    let again = load_or_create(&path, || panic!("must not be made twice")).unwrap();
    assert_eq!(*again, "first");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn many_starters_agree_on_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    let barrier = Barrier::new(8);
    let seen: Vec<String> = std::thread::scope(|scope| {
        let starters: Vec<_> = (0..8)
            .map(|n| {
                let (path, barrier) = (&path, &barrier);
                scope.spawn(move || {
                    load_or_create(path, || {
                        barrier.wait();
                        Ok(text(&n.to_string()))
                    })
                    .unwrap()
                    .to_string()
                })
            })
            .collect();
        starters.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(seen.iter().all(|s| *s == seen[0]), "{seen:?}");
}

#[test]
fn refuses_what_others_can_read_and_what_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    fs::write(&path, "secret").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = load(&path).unwrap_err();
    assert!(error.to_string().contains("mode 0640"), "{error}");
    assert!(matches!(load(dir.path()), Err(SecretFileError::NotAFile(_))));
    let missing = dir.path().join("no/such/dir/key.pem");
    let error = load_or_create(&missing, || Ok(text("x"))).unwrap_err();
    assert!(error.to_string().contains("no/such/dir/key.pem"), "{error}");
}

#[test]
fn publishes_in_one_step() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root-cert.pem");
    publish(&path, b"one").unwrap();
    publish(&path, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
}
