use std::os::fd::AsFd;
use std::path::Path;

use super::*;
use crate::process::in_namespaces;

#[test]
fn a_thread_enters_and_returns() {
    in_namespaces(|| {
        let home = Netns::current().unwrap();
        let (a, b) = (Netns::create().unwrap(), Netns::create().unwrap());
        assert_ne!(a.id(), b.id());
        let (inside, nested) = a.run(|| (here(), b.run(here).unwrap())).unwrap();
        assert_eq!((inside, nested), (a.id(), b.id()));
        assert_eq!(here(), home.id());
    });
}

#[test]
fn a_panic_inside_returns_as_well() {
    in_namespaces(|| {
        let home = here();
        let other = Netns::create().unwrap();
        let panicked = std::panic::catch_unwind(|| other.run(|| panic!("inside")));
        assert!(panicked.is_err());
        assert_eq!(here(), home);
    });
}

#[test]
fn entering_the_own_namespace_is_no_work() {
    // Needs no right at all, since nothing is entered.
    let own = Netns::current().unwrap();
    assert_eq!(own.run(here).unwrap(), own.id());
}

#[test]
fn a_namespace_is_kept_at_a_path_until_deleted() {
    in_namespaces(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pod");
        let made = Netns::create_at(&path).unwrap();
        assert_eq!(Netns::open(&path).unwrap().id(), made.id());
        let again = Netns::create_at(&path).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        Netns::delete_at(&path).unwrap();
        assert!(!path.exists());
        // Whoever holds it still can enter it.
        assert_eq!(made.run(here).unwrap(), made.id());
    });
}

#[test]
fn a_held_descriptor_keeps_the_id_from_being_reused() {
    in_namespaces(|| {
        let held = Netns::create().unwrap();
        for _ in 0..50 {
            assert_ne!(Netns::create().unwrap().id(), held.id());
        }
    });
}

#[test]
fn only_network_namespaces_are_taken() {
    for path in ["/proc/self/ns/mnt", "/proc/self/stat", "/dev/null"] {
        let error = Netns::open(Path::new(path)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
    }
}

#[test]
fn a_copy_of_the_descriptor_is_the_same_namespace() {
    let own = Netns::current().unwrap();
    let copy = Netns::from_fd(own.as_fd().try_clone_to_owned().unwrap()).unwrap();
    assert_eq!(copy.id(), own.id());
    let id: NetnsId = serde_json::from_str(&serde_json::to_string(&own.id()).unwrap()).unwrap();
    assert_eq!(id, own.id());
}

fn here() -> NetnsId {
    Netns::current().unwrap().id()
}
