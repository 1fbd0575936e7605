use super::*;

const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";
const BOX: &str = "9bca8d63d5fa610783847915bcff0ecac1273e5b4bed3f6fa1b07350e0135961";

#[test]
fn every_runtimes_path_names_the_pod() {
    for path in [
        format!("/kubepods/burstable/pod{UID}/{BOX}"),
        format!("/kubepods/pod{UID}/{BOX}"),
        format!("/docker/8d461fa5/kubepods/besteffort/pod{UID}/{BOX}"),
        format!(
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID}.slice/docker-{BOX}.scope"
        ),
        "/kubepods.slice/kubepods-pod2c48913c_b29f_11e7_9350_020968147796.slice/cri-containerd-9b.scope"
            .to_owned(),
        "/kubepods-besteffort-pod2c48913c_b29f_11e7_9350_020968147796.slice:cri-containerd:b2a102".to_owned(),
        format!("/../../pod{UID}/{BOX}"),
        format!("/../pod{UID}"),
        format!("/lateen/node1/kubepods/pod{}/{BOX}", UID.to_uppercase()),
    ] {
        for file in [
            format!("0::{path}\n"),
            format!("12:cpu,cpuacct:{path}\n11:memory:{path}\n0::/\n"),
        ] {
            assert_eq!(pod_uid(file.as_bytes()).as_deref(), Some(UID), "{file}");
        }
    }
}

#[test]
fn a_static_pods_hash_is_a_uid_too() {
    let file = format!("0::/kubepods/burstable/pod4d8a1ea92d10ab84acd6b3b0ec6a6ee6/{BOX}\n");
    assert_eq!(
        pod_uid(file.as_bytes()).as_deref(),
        Some("4d8a1ea92d10ab84acd6b3b0ec6a6ee6")
    );
}

#[test]
fn what_names_no_pod_or_two_is_nobodys() {
    let other = "ffffffff-b29f-11e7-9350-020968147796";
    for file in [
        String::new(),
        "0::/".to_owned(),
        "no cgroup file at all".to_owned(),
        "0::/system.slice/containerd.service".to_owned(),
        format!("0::/xpod{UID}/{BOX}"),
        format!("0::/pod{UID}0/{BOX}"),
        format!("0::/pod{}/{BOX}", &UID[..35]),
        format!("0::/pod{UID}/pod{other}/{BOX}"),
        format!("1:cpu:/pod{UID}/{BOX}\n0::/pod{other}/{BOX}"),
    ] {
        assert_eq!(pod_uid(file.as_bytes()), None, "{file}");
    }
}

#[test]
fn the_start_is_found_behind_any_name() {
    let stat = "42 (a) b ) (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 10\n";
    assert_eq!(start_time(stat.as_bytes()), Some(987_654));
    let own = std::fs::read("/proc/self/stat").expect("own");
    assert!(start_time(&own).is_some_and(|started| started > 0));
    for broken in [
        "",
        "42 (a",
        "42 (a) S 1",
        "42 (a) S 1 42 42 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 x",
    ] {
        assert_eq!(start_time(broken.as_bytes()), None, "{broken}");
    }
}

#[test]
fn fuzz_processes() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/proc");
    let corpus = mesh_types::fuzzing::corpus(&corpus);
    for input in mesh_types::fuzzing::mutations(&corpus, 13, 20_000) {
        crate::fuzz::process(&input);
    }
}
