use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use mesh_kube::ObjectName;
use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;
use crate::install::{Hooks, Release, Target, Task, helm};
use crate::objects::PODS;
use crate::output::Format;
use crate::verify::pods::Object;

fn waited(pods: &[(&str, &str)]) -> Vec<Waiting> {
    let pods = pods.iter().map(|&(pod, why)| Waiting {
        object: Object::Pod(ObjectName::new("s", pod)),
        why: why.to_owned(),
    });
    pods.collect()
}

#[test]
fn what_changed_is_told_and_nothing_twice() {
    let pulls = waited(&[("a", "ContainerCreating"), ("b", "it has no node")]);
    assert_eq!(
        news(&[], &pulls),
        [
            "waiting for Pod s/a: ContainerCreating",
            "waiting for Pod s/b: it has no node"
        ]
    );
    assert_eq!(news(&pulls, &pulls), Vec::<String>::new());
    let fails = waited(&[("a", "ErrImagePull")]);
    assert_eq!(news(&pulls, &fails), ["waiting for Pod s/a: ErrImagePull"]);
    assert_eq!(news(&fails, &[]), ["every pod of the mesh is ready"]);
    assert_eq!(news(&[], &[]), Vec::<String>::new());
}

#[test]
fn of_many_pods_the_first_are_named_and_the_rest_counted() {
    let names: Vec<String> = (0..1000).map(|at| at.to_string()).collect();
    let pods: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    let lines = news(&[], &waited(&pods));
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[5], "and for 995 more");
    let pods: Vec<(String, String)> = names
        .iter()
        .map(|name| (format!("s/{name}"), String::new()))
        .collect();
    let lines = left(&[], &pods);
    assert_eq!(
        lines,
        ["1000 pods still in the mesh: s/0, s/1, s/2, s/3, s/4 and 995 more"]
    );
    assert_eq!(left(&pods, &[]), ["no pod is in the mesh any more"]);
    assert_eq!(left(&[], &[]), Vec::<String>::new());
}

#[tokio::test]
async fn what_helm_waits_for_is_told_while_it_waits() {
    let api = FakeApi::new();
    let pod = |status: serde_json::Value| {
        json!({"metadata": {"name": "ztunnel-a", "namespace": "istio-system",
            "labels": {"app.kubernetes.io/part-of": "lateen"},
            "annotations": {"ambient.istio.io/redirection": "enabled"}}, "status": status})
    };
    let waiting = json!([{"name": "istio-proxy", "state": {"waiting": {"reason": "ErrImagePull"}}}]);
    api.put(&PODS, pod(json!({ "containerStatuses": waiting })));
    let asked = Asked::over(api.client(), "istio-system");
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("helm");
    fs::write(&program, "#!/bin/sh\nsleep 1\n").expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a program");
    let release = Release {
        release: "lateen".into(),
        helm: program,
    };
    let target = Target {
        system: "istio-system",
        kubeconfig: None,
        context: None,
    };
    for (step, said) in [
        (
            Step::Install,
            "waiting for Pod istio-system/ztunnel-a: container istio-proxy: ErrImagePull",
        ),
        (Step::Uninstall, "1 pod still in the mesh: istio-system/ztunnel-a"),
    ] {
        let mut told = Vec::new();
        let every = Duration::from_millis(50);
        let progress = follow(&asked, step, every, |line| told.push(line.to_owned()));
        let task = Task::Uninstall(&release, Hooks::Run);
        let stops = &mut std::future::pending::<()>;
        let patience = Duration::from_secs(600);
        let ended = helm::change(task, &target, Format::Table, progress, stops, patience);
        let ended = ended.await.expect("it ran");
        assert!(ended.status.success() && !ended.stopped);
        assert_eq!(told, [said], "{step:?}");
    }
}
