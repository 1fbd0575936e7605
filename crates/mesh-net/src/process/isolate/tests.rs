use std::panic::catch_unwind;

use super::*;

#[test]
fn inside_is_process_1_with_a_network_of_its_own() {
    in_namespaces(|| {
        assert_eq!(getpid(), Pid::from_raw(1));
        assert!(geteuid().is_root());
        let interfaces = std::fs::read_to_string("/proc/net/dev").unwrap();
        assert_eq!(interfaces.lines().skip(2).count(), 1, "{interfaces}");
        std::net::TcpListener::bind("127.0.0.1:80").expect("lo is up, and low ports are free");
    });
}

#[test]
fn a_body_that_fails_inside_fails_outside() {
    // Inside, the panic is caught here and the body has not run to its end; the outer process must notice.
    let outcome = catch_unwind(|| in_namespaces(|| panic!("inside")));
    assert!(outcome.is_err());
}

#[test]
fn a_test_that_the_harness_does_not_know_fails() {
    fn elsewhere() {
        in_namespaces(|| {});
    }
    let outcome = catch_unwind(elsewhere);
    // The inner process never runs this test: there is no test of the helper's name.
    let message = outcome.unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("elsewhere"), "{message}");
}

#[test]
fn mounts_inside_stay_inside() {
    in_namespaces(|| {
        mounts::tmpfs(Path::new("/mnt")).unwrap();
        std::fs::write("/mnt/inside", "x").unwrap();
        let own = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(own.contains(" /mnt tmpfs "));
        mounts::detach(Path::new("/mnt")).unwrap();
    });
    assert!(!Path::new("/mnt/inside").exists());
}

#[test]
fn names_of_tests_are_those_of_the_harness() {
    fn name_of<F: FnOnce()>(_: F) -> String {
        test_name::<F>()
    }
    let name = name_of(|| {});
    assert_eq!(
        name,
        "process::isolate::tests::names_of_tests_are_those_of_the_harness"
    );
}
