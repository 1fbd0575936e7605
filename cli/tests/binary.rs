//! The program itself, against pages that are really served: what it prints where, and which code it exits with.

#![expect(clippy::unwrap_used, reason = "whatever fails here fails its test")]

use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use http::StatusCode;
use mesh_runtime::admin::{self, AdminLimits, Routes};
use mesh_runtime::drain;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

/// Runs it to its end, in an empty directory.
async fn lateen(args: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_lateen"))
        .args(args)
        .current_dir(directory.path())
        .output()
        .await
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Serves a page as the parts of the mesh serve theirs, while `asks` runs.
async fn serving<T>(path: &'static str, page: Value, asks: impl AsyncFnOnce(String) -> T) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Routes::new().get(path, "a page", move |_| {
        std::future::ready(admin::json(StatusCode::OK, &page))
    });
    let (_drain, watcher) = drain::channel();
    let server = admin::serve(listener, routes, AdminLimits::default(), watcher);
    tokio::select! {
        ended = server => panic!("the server ended: {ended:?}"),
        answer = asks(url) => answer,
    }
}

#[tokio::test]
async fn status_is_asked_over_http_and_refusals_are_told_by_the_exit_code() {
    let proxy = |refused: Option<&str>| {
        json!([{"node": null, "subscriptions": [
            {"type_url": "a/b.Address", "wildcard": true, "sent": 1, "acknowledged": 1, "outstanding": false,
             "refusals": 0, "refused": refused}]}])
    };
    for (page, code) in [(proxy(None), 0), (proxy(Some("no port")), 1)] {
        let output = serving("/debug/syncz", page.clone(), async |url| {
            lateen(&["status", "--url", &url, "-o", "json"]).await
        })
        .await;
        assert_eq!(output.status.code(), Some(code), "{}", err(&output));
        let printed: Value = serde_json::from_str(&out(&output)).unwrap();
        let mut expected = page;
        expected[0]["certificates"] = json!({"unknown": "only proxies in a cluster are asked"});
        assert_eq!(printed["proxies"], expected);
    }
}

#[tokio::test]
async fn nobody_there_is_one_line_that_names_address_and_remedy() {
    let output = lateen(&["status", "--url", "http://127.0.0.1:1"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(out(&output), "");
    let error = err(&output);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("http://127.0.0.1:1/debug/syncz"), "{error}");
    assert!(error.contains("--url"), "{error}");
}

#[tokio::test]
async fn an_answer_of_another_part_is_not_taken_for_this_ones() {
    let output = serving("/config_dump", json!({"something": "else"}), async |url| {
        lateen(&["node", "workloads", "--url", &url]).await
    })
    .await;
    assert_eq!(output.status.code(), Some(3));
    assert!(
        err(&output).contains("is the address that of the right part"),
        "{}",
        err(&output)
    );
}

#[tokio::test]
async fn the_refusal_of_a_question_reaches_who_asked() {
    let output = serving("/other", json!({}), async |url| {
        lateen(&["explain", "10.0.0.1", "10.0.0.2:80", "--url", &url]).await
    })
    .await;
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("404 Not Found"), "{}", err(&output));
}

#[tokio::test]
async fn objects_come_from_files_folders_and_standard_input() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let object = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n";
    std::fs::write(inner.join("a.yaml"), object).unwrap();
    std::fs::write(directory.path().join("notes.txt"), "no YAML: [").unwrap();
    let path = directory.path().to_str().unwrap();
    let output = lateen(&["validate", "-f", path]).await;
    assert_eq!(out(&output), "1 objects, nothing is wrong with them\n");
    assert_eq!(output.status.code(), Some(0));

    std::fs::write(
        directory.path().join("b.yaml"),
        "apiVersion: v1\nkind: Namespace\n",
    )
    .unwrap();
    let output = lateen(&["validate", "-f", path]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("b.yaml:1:1"), "{}", out(&output));

    let output = lateen(&["validate", "-f", "/nowhere/at/all.yaml"]).await;
    assert_eq!(output.status.code(), Some(3));
    assert!(err(&output).contains("/nowhere/at/all.yaml"));
}

#[tokio::test]
async fn a_wrong_command_line_is_told_from_a_mesh_that_is_not_well() {
    assert_eq!(
        lateen(&["analyze", "x.yaml", "-S", "IST9999"])
            .await
            .status
            .code(),
        Some(2)
    );
    assert_eq!(lateen(&["nonsense"]).await.status.code(), Some(2));
    for (wrong, remedy) in [
        (
            &["node", "workloads", "--level", "debug"][..],
            "lateen node log --level debug",
        ),
        (&["node", "services", "--reset"], "lateen node log"),
        (&["node", "log", "-n", "shop"], "--node"),
        (
            &["node", "connections", "--workload-node", "n"],
            "lateen node workloads",
        ),
        (
            &["explain", "a/b", "c:80", "GET", "/", "--claims", "[]"],
            "JSON object",
        ),
        (&["explain", "a/b", "c:80", "--claims", "{}"], "PATH"),
    ] {
        // Nobody is asked first.
        let output = lateen(&[wrong, &["--url", "http://127.0.0.1:1"]].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", err(&output));
        assert!(err(&output).contains(remedy), "{wrong:?}: {}", err(&output));
    }
    let output = lateen(&["completion", "bash"]).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(out(&output).contains("lateen"));
}

#[tokio::test]
async fn a_waypoint_is_generated_as_yaml_that_validates() {
    let output = lateen(&["waypoint", "generate", "-n", "shop", "--for", "all"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("w.yaml");
    std::fs::write(&file, output.stdout).unwrap();
    let output = lateen(&["validate", "-f", file.to_str().unwrap()]).await;
    assert_eq!(out(&output), "1 objects, nothing is wrong with them\n");
}

#[tokio::test]
async fn without_a_cluster_the_way_to_ask_without_one_is_said() {
    let output = lateen(&["status", "--kubeconfig", "/nowhere/kubeconfig"]).await;
    assert_eq!(output.status.code(), Some(3));
    let error = err(&output);
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(
        error.contains("/nowhere/kubeconfig") && error.contains("--url"),
        "{error}"
    );
}

#[tokio::test]
async fn a_usual_mistake_is_answered_in_one_line_that_says_what_helps() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let nobody = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": "http://127.0.0.1:1"}}], "users": [{"name": "a", "user": {}}]});
    let (nobody, empty) = (
        file("kubeconfig", &nobody.to_string()),
        file("empty.yaml", "# later\n"),
    );
    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let (nobody, empty, folder) = (nobody.as_str(), empty.as_str(), folder.to_str().unwrap());
    let nobody_there: &[&str] = &["http://127.0.0.1:1/", "is it up", "--context"];
    for (arguments, said) in [
        (&["status", "--kubeconfig", nobody][..], nobody_there),
        (
            &["install", "--kubeconfig", nobody],
            &["release lateen (Secrets in namespace istio-system)", "is it up"],
        ),
        (
            &["waypoint", "list", "--kubeconfig", nobody],
            &["Gateways: the API server cannot be reached", "is it up"],
        ),
        (
            &["waypoint", "apply", "--kubeconfig", nobody],
            &[
                "Gateway default/waypoint: not applied: the API server",
                "is it up",
            ],
        ),
        (&["bug-report", "--kubeconfig", nobody], &["nothing was written"]),
        (
            &[
                "bug-report",
                "--archive",
                "/nowhere/a.tgz",
                "--kubeconfig",
                nobody,
            ],
            &["--archive", "no directory /nowhere"],
        ),
        (
            &["status", "--kubeconfig", nobody, "--context", "b"],
            &["there is no context b; it has a"],
        ),
        (
            &["token", "--kubeconfig", empty],
            &["empty.yaml", "no context at all", "--kubeconfig"],
        ),
        (
            &["validate", "-f", empty],
            &["empty.yaml: there is no object in it"],
        ),
        (&["analyze", empty], &["empty.yaml: there is no object in it"]),
        (
            &["validate", "-f", folder],
            &["folder: there is no file in it that ends in .yaml"],
        ),
        (
            &["status", "--url", "127.0.0.1:15014"],
            &["--url 127.0.0.1:15014", "http://"],
        ),
        (
            &["status", "--file", empty],
            &["--file", "empty.yaml", "a saved page"],
        ),
        (
            &["waypoint", "status", "--url", "http://127.0.0.1:1"],
            &["http://127.0.0.1:1/debug/waypoints", "--url"],
        ),
    ] {
        let output = lateen(arguments).await;
        let error = err(&output);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {error}");
        let last = error.lines().last().unwrap_or_default();
        assert!(last.starts_with("lateen: "), "{arguments:?}: {error}");
        // What is gathered is told beside it.
        assert!(
            error.lines().count() == 1 || arguments[0] == "bug-report",
            "{arguments:?}: {error}"
        );
        for part in said {
            assert!(
                last.contains(part),
                "{arguments:?} does not say {part:?}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn files_are_named_to_analyze_as_to_other_commands() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    std::fs::write(&file, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n").unwrap();
    let file = file.to_str().unwrap();
    for arguments in [&["analyze", file][..], &["analyze", "-f", file]] {
        let output = lateen(arguments).await;
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", err(&output));
        assert!(out(&output).starts_with("1 objects"), "{}", out(&output));
    }
    assert_eq!(lateen(&["analyze", "--use-cluster"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn waypoints_of_a_control_plane_without_a_cluster_are_listed() {
    let page = json!([{"metadata": {"name": "waypoint", "namespace": "shop", "labels": {}},
        "spec": {"gatewayClassName": "istio-waypoint"},
        "status": {"conditions": [{"type": "Programmed", "status": "True", "reason": "Programmed"}]}}]);
    for (arguments, rows) in [
        (&["waypoint", "list"][..], 1),
        (&["waypoint", "list", "-n", "bank"], 0),
    ] {
        let output = serving("/debug/waypoints", page.clone(), async |url| {
            lateen(&[arguments, &["--url", &url, "-o", "json"]].concat()).await
        })
        .await;
        assert_eq!(output.status.code(), Some(0), "{}", err(&output));
        let printed: Value = serde_json::from_str(&out(&output)).unwrap();
        assert_eq!(printed.as_array().map(Vec::len), Some(rows), "{printed}");
    }
}

#[tokio::test]
async fn the_version_is_told_without_a_mesh_unless_the_mesh_has_to_answer() {
    let nowhere = ["--kubeconfig", "/nowhere/kubeconfig"];
    let output = lateen(&[&["version"][..], &nowhere].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let text = out(&output);
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    assert!(
        text.contains("the mesh was not asked") && text.contains("/nowhere/kubeconfig"),
        "{text}"
    );
    let output = lateen(&[&["version", "--client"][..], &nowhere].concat()).await;
    assert_eq!(output.status.code(), Some(0));
    assert!(!out(&output).contains("was not asked"));
    let output = lateen(&[&["version", "--remote"][..], &nowhere].concat()).await;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(out(&output), "");
    let page = json!({"version": {"component": "ztunnel", "version": "9.9.9"}});
    let output = serving("/config_dump", page, async |url| {
        lateen(&["version", "--url", &url]).await
    })
    .await;
    assert_eq!(output.status.code(), Some(0));
    assert!(out(&output).contains("9.9.9"), "{}", out(&output));
    // A control plane has no such dump; it says its version in a line.
    let line = json!("8.8.8-abc-release");
    let output = serving("/version", line, async |url| {
        lateen(&["version", "--url", &url, "-o", "json"]).await
    })
    .await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let said: Value = serde_json::from_str(&out(&output)).unwrap();
    assert!(
        said["controlPlane"][0]["version"]
            .as_str()
            .is_some_and(|version| version.contains("8.8.8")),
        "{said}"
    );
}

/// A cluster with one release, from which a helm that does nothing but talk removes it.
async fn uninstalled(format: &str) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let release = json!({"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {
        "name": "sh.helm.release.v1.lateen.v1", "namespace": "istio-system",
        "labels": {"owner": "helm", "name": "lateen", "status": "deployed", "version": "1"}}}]});
    let nothing = json!({"metadata": {"resourceVersion": "1"}, "items": []});
    let mut routes = Routes::new();
    for (path, page) in [
        ("/api/v1/namespaces/istio-system/secrets", release),
        ("/api/v1/configmaps", nothing),
    ] {
        routes = routes.get(path, "objects", move |_| {
            std::future::ready(admin::json(StatusCode::OK, &page))
        });
    }
    let (_drain, watcher) = drain::channel();
    let api = admin::serve(listener, routes, AdminLimits::default(), watcher);
    let directory = tempfile::tempdir().unwrap();
    let helm = directory.path().join("helm");
    std::fs::write(&helm, "#!/bin/sh\necho 'release \"lateen\" uninstalled'\n").unwrap();
    std::fs::set_permissions(&helm, std::fs::Permissions::from_mode(0o755)).unwrap();
    let access = directory.path().join("kubeconfig");
    let context = json!({"apiVersion": "v1", "kind": "Config", "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": server}}], "users": [{"name": "a", "user": {}}]});
    std::fs::write(&access, context.to_string()).unwrap();
    let (helm, access) = (helm.to_str().unwrap(), access.to_str().unwrap());
    let arguments = ["uninstall", "--helm", helm, "--kubeconfig", access, "-o", format];
    tokio::select! {
        ended = api => panic!("the server ended: {ended:?}"),
        output = lateen(&arguments) => output,
    }
}

#[tokio::test]
async fn what_helm_says_is_never_mixed_with_an_answer_for_programs() {
    const HELM: &str = "release \"lateen\" uninstalled";
    let output = uninstalled("json").await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    let printed: Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(printed, json!({"objects": [], "removed": []}));
    assert!(err(&output).contains(HELM), "{}", err(&output));
    let output = uninstalled("table").await;
    assert_eq!(out(&output), format!("{HELM}\nnothing is left in the cluster\n"));
}
