use std::os::unix::fs::PermissionsExt as _;

use mesh_net::NetnsId;
use mesh_types::NamespacedName;

use super::*;
use crate::enroll::{Enrolment, PodKey, Role, Settings};
use crate::sockets::Connection;

fn record() -> Record {
    Record {
        key: PodKey("6f6d".to_owned()),
        pod: NamespacedName::new("shop", "web-0"),
        container_id: Some("c0ffee".to_owned()),
        netns_path: "/run/netns/x".into(),
        netns: NetnsId { dev: 4, inode: 7 },
        ips: vec!["10.0.0.7".parse().expect("an address")],
        enrolment: Some(Enrolment {
            role: Role {
                service_account: "web".to_owned(),
            },
            settings: Settings::default(),
        }),
        older: vec![Connection {
            local: "10.0.0.7:8080".parse().expect("an address"),
            remote: "10.0.0.8:40000".parse().expect("an address"),
        }],
    }
}

#[test]
fn what_is_written_is_read_again_and_only_by_its_user() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("pods.json");
    let file = StateFile::new(&path);
    assert_eq!(file.read().expect("no file is no pods"), Known::default());
    for (records, complete) in [(vec![record()], false), (vec![], true), (vec![record()], true)] {
        file.write(records.iter(), complete).expect("written");
        assert_eq!(file.read().expect("read"), Known { records, complete });
    }
    let mode = fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(
        fs::read_dir(dir.path()).expect("a directory").count(),
        1,
        "nothing left over"
    );
}

#[test]
fn a_damaged_file_is_named_and_not_taken_for_no_pods() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("pods.json");
    for damage in ["", "{", "{\"version\":1}", "{\"version\":9,\"pods\":[]}"] {
        fs::write(&path, damage).expect("written");
        let error = StateFile::new(&path).read().expect_err(damage).to_string();
        assert!(
            error.contains("pods.json") && error.contains("damaged"),
            "{error}"
        );
        let known = StateFile::new(&path).read_or_put_aside().expect("put aside");
        assert_eq!(known, Known::default());
        let aside = fs::read(dir.path().join("pods.json.damaged")).expect("it is still there");
        assert_eq!(aside, damage.as_bytes());
        assert!(!path.exists());
    }
}

#[test]
fn a_file_of_an_earlier_version_lists_every_pod() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("pods.json");
    fs::write(&path, "{\"version\":1,\"pods\":[]}").expect("written");
    assert!(StateFile::new(&path).read().expect("read").complete);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let error = StateFile::new("/nonexistent/pods.json")
        .write([].iter(), true)
        .expect_err("no directory");
    assert!(error.to_string().contains("/nonexistent/pods.json"));
}

#[test]
fn fuzz_state_files() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/state_file");
    let corpus = mesh_types::fuzzing::corpus(&corpus);
    for input in mesh_types::fuzzing::mutations(&corpus, 11, 20_000) {
        crate::fuzz::state_file(&input);
    }
}
