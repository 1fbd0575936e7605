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

#[tokio::test]
async fn no_secret_is_in_the_archive_and_what_was_not_to_be_had_is_named() {
    let api = api();
    let directory = tempfile::tempdir().expect("a directory");
    let args = BugReportArgs {
        archive: directory.path().join("r.tar.gz"),
        since: 60,
        namespace: Vec::new(),
    };
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
