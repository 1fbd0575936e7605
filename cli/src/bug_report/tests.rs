use std::io::Read as _;

use flate2::read::GzDecoder;
use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;

const SECRET: &str = "hunter2-hunter2";

fn resource(plural: &'static str) -> Resource {
    let watched = WATCHED
        .iter()
        .find(|watched| watched.plural == plural)
        .expect("it is watched");
    watched.resource("v1")
}

/// A cluster that has a secret wherever one can be.
fn api() -> FakeApi {
    let api = FakeApi::new();
    for watched in WATCHED.iter().filter(|watched| watched.built_in) {
        api.serve(&watched.resource("v1"));
    }
    api.put(
        &resource("secrets"),
        json!({"metadata": {"name": "s", "namespace": "istio-system"}, "data": {"k": SECRET}}),
    );
    api.put(
        &resource("configmaps"),
        json!({"metadata": {"name": "c", "namespace": "shop"}, "data": {"k": SECRET}}),
    );
    api.put(
        &resource("pods"),
        json!({"metadata": {"name": "istiod-1", "namespace": "istio-system", "labels": {"app.kubernetes.io/part-of": "lateen"}},
            "spec": {"nodeName": "n", "containers": [{"name": "discovery", "args": ["serve"]}]},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "discovery", "restartCount": 1}]}}),
    );
    api.put(
        &resource("pods"),
        json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"containers": [{"name": "c",
            "env": [{"name": "PASSWORD", "value": SECRET}]}]}}),
    );
    api.page(
        "/api/v1/namespaces/istio-system/pods/istiod-1/log",
        &format!("authorization: Bearer {SECRET}\n"),
    );
    api
}

fn unpacked(path: &std::path::Path) -> BTreeMap<String, String> {
    let packed = std::fs::read(path).expect("an archive");
    let mut archive = tar::Archive::new(GzDecoder::new(packed.as_slice()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("text");
        files.insert(name, text);
    }
    files
}

fn args(directory: &std::path::Path, helm: &str) -> BugReportArgs {
    BugReportArgs {
        archive: directory.join("r.tar.gz"),
        since: 60,
        until: 0,
        namespaces: Namespaces::default(),
        release: crate::install::Release {
            release: "mesh-of-ours".to_owned(),
            helm: helm.into(),
        },
    }
}

#[test]
fn namespaces_are_chosen_and_left_out_but_never_the_meshs_own() {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let of = |included: &[&str], excluded: &[&str]| {
        let namespaces = Namespaces {
            included: names(included),
            excluded: names(excluded),
        };
        let all = ["shop", "data", "istio-system", ""];
        let taken = all.map(|name| namespaces.take(name, "istio-system"));
        taken.map(u8::from)
    };
    assert_eq!(of(&[], &[]), [1, 1, 1, 1]);
    assert_eq!(of(&["shop"], &[]), [1, 0, 1, 1]);
    assert_eq!(of(&[], &["shop", "istio-system"]), [0, 1, 1, 1]);
    assert_eq!(of(&["shop", "data"], &["data"]), [1, 0, 1, 1]);
}

#[test]
fn a_window_that_ends_before_it_begins_is_a_wrong_command_line() {
    let of = |since, until| {
        let args = BugReportArgs {
            since,
            until,
            ..args(std::path::Path::new("."), "helm")
        };
        args.check()
    };
    assert_eq!(of(3600, 60), Ok(()));
    assert!(of(60, 60).is_err_and(|why| why.contains("--since")));
}

/// The release is called as it was installed, and asked by the helm that is named.
#[cfg(unix)]
#[tokio::test]
async fn the_release_and_what_analysis_says_are_in_the_archive() {
    use std::os::unix::fs::PermissionsExt as _;

    let api = api();
    api.put(
        &resource("services"),
        json!({"metadata": {"name": "cart", "namespace": "shop", "labels": {"istio.io/use-waypoint": "gone"}},
            "spec": {"clusterIP": "10.0.0.1", "ports": [{"name": "http", "port": 80}]}}),
    );
    let directory = tempfile::tempdir().expect("a directory");
    let helm = directory.path().join("helm");
    std::fs::write(&helm, "#!/bin/sh\necho \"# $@\"\n").expect("a program");
    std::fs::set_permissions(&helm, std::fs::Permissions::from_mode(0o700)).expect("it runs");
    let target = Target {
        system: "istio-system",
        kubeconfig: None,
        context: None,
    };
    let args = args(directory.path(), helm.to_str().expect("a path"));
    write(&Asked::over(api.client(), "istio-system"), &args, &target)
        .await
        .expect("written");
    let files = unpacked(&args.archive);
    let release = &files["lateen-bug-report/release.yaml"];
    assert!(
        release.contains("get manifest mesh-of-ours --namespace istio-system"),
        "{release}"
    );
    let missing = &files["lateen-bug-report/missing.txt"];
    let analysis = files.get("lateen-bug-report/analysis.json");
    let analysis: Value = serde_json::from_str(analysis.expect(missing)).expect("JSON");
    let messages = analysis["messages"].as_array().expect("messages");
    assert!(
        messages
            .iter()
            .any(|message| message["code"] == "LAT0001" && message["object"] == "Service shop/cart"),
        "{analysis}"
    );
}

#[tokio::test]
async fn no_secret_is_in_the_archive_and_what_was_not_to_be_had_is_named() {
    let api = api();
    let directory = tempfile::tempdir().expect("a directory");
    let args = args(directory.path(), "helm-that-is-not-there");
    let target = Target {
        system: "istio-system",
        kubeconfig: None,
        context: None,
    };
    write(&Asked::over(api.client(), "istio-system"), &args, &target)
        .await
        .expect("written");
    let files = unpacked(&args.archive);
    let all = files.values().cloned().collect::<String>();
    assert!(!all.contains(SECRET), "{all}");
    assert!(
        !api.requests().iter().any(|request| request.contains("/secrets")),
        "Secrets are not even asked for"
    );
    let log = &files["lateen-bug-report/logs/istiod-1.istio-system/discovery.log"];
    assert!(log.contains("authorization: Bearer (left out)"), "{log}");
    assert!(files.contains_key("lateen-bug-report/logs/istiod-1.istio-system/discovery.previous.log"));
    assert!(files["lateen-bug-report/objects/pods.json"].contains("\"web\""));
    let missing = &files["lateen-bug-report/missing.txt"];
    assert!(missing.contains("no ztunnel runs"), "{missing}");
}
