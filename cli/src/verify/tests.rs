use mesh_kube::ObjectName;
use serde_json::json;

use super::*;
use crate::check::Verdict;

fn daemonset(ready: u64) -> Value {
    json!({"kind": "DaemonSet", "metadata": {"name": "ztunnel", "namespace": "istio-system"},
        "spec": {"template": {"image": "a:1"}},
        "status": {"desiredNumberScheduled": 2, "numberReady": ready, "updatedNumberScheduled": 2}})
}

fn clients(page: Value) -> Option<Status> {
    Some(Status::read(&page).expect("the page"))
}

fn proxy(name: &str, acknowledged: u64, refused: Option<&str>) -> Value {
    json!({"node": {"kind": "ztunnel", "name": name, "namespace": "istio-system", "node": "n"}, "subscriptions": [
        {"type_url": "a/b.Address", "wildcard": true, "sent": 5, "acknowledged": acknowledged, "outstanding": false,
         "refusals": 0, "refused": refused}]})
}

fn waiting(pod: &str, why: &str) -> pods::Waiting {
    pods::Waiting {
        object: pods::Object::Pod(ObjectName::new("istio-system", pod)),
        why: why.to_owned(),
    }
}

fn observed() -> Observed {
    Observed {
        objects: vec![(daemonset(2), Some(daemonset(2)))],
        waiting: Vec::new(),
        control_planes: vec![("istiod-1.istio-system".into(), None)],
        ztunnels: vec!["z1.istio-system".into(), "z2.istio-system".into()],
        clients: clients(json!([proxy("z1", 5, None), proxy("z2", 5, None)])),
        nodes: vec![
            ("ztunnel", "z1.istio-system".into(), None),
            ("node agent", "a1.istio-system".into(), None),
        ],
        rootless: Vec::new(),
        system: "istio-system".into(),
    }
}

#[test]
fn a_node_part_that_says_it_is_not_ready_is_an_error_with_the_command_that_says_more() {
    let observed = Observed {
        nodes: vec![
            ("ztunnel", "z1.istio-system".into(), Some("503: no root".into())),
            ("node agent", "a1.istio-system".into(), None),
        ],
        ..observed()
    };
    let checks = verify(&observed).bad();
    assert_eq!(checks.all().len(), 1, "{checks:?}");
    assert_eq!(
        checks.all()[0].found,
        "z1.istio-system is not ready: 503: no root"
    );
    assert_eq!(checks.all()[0].remedy, "kubectl -n istio-system logs z1");
    let none = Observed {
        nodes: Vec::new(),
        ..observed
    };
    let found = verify(&none).bad();
    assert_eq!(found.all()[0].matter, "node agents");
}

#[test]
fn what_to_do_about_a_pod_is_a_command() {
    let observed = Observed {
        waiting: vec![waiting("z2", "it has no node")],
        ..observed()
    };
    assert_eq!(
        verify(&observed).bad().all()[0].remedy,
        "kubectl -n istio-system describe pod z2"
    );
}

/// What is not well.
fn bad(observed: &Observed) -> Vec<(Verdict, String)> {
    let bad = verify(observed).bad();
    bad.all()
        .iter()
        .map(|check| (check.verdict, check.found.clone()))
        .collect()
}

#[test]
fn an_installation_that_runs_as_it_was_rendered_is_well() {
    assert_eq!(bad(&observed()), []);
}

#[test]
fn an_object_that_is_gone_or_changed_is_named() {
    let mut changed = daemonset(2);
    changed["spec"]["template"]["image"] = "a:2".into();
    let observed = Observed {
        objects: vec![
            (daemonset(2), Some(changed)),
            (json!({"kind": "Service", "metadata": {"name": "istiod"}}), None),
        ],
        ..observed()
    };
    let found = bad(&observed);
    assert_eq!(found[0].0, Verdict::Warning);
    assert!(
        found[0]
            .1
            .starts_with("DaemonSet istio-system/ztunnel: spec.template.image is"),
        "{found:?}"
    );
    assert_eq!(found[1], (Verdict::Error, "Service istiod is not there".into()));
}

#[test]
fn pods_that_are_missing_are_counted_and_those_that_wait_say_why() {
    let observed = Observed {
        objects: vec![(daemonset(1), Some(daemonset(1)))],
        waiting: vec![waiting("z2", "container istio-proxy: ErrImagePull")],
        ..observed()
    };
    let found = bad(&observed);
    assert_eq!(found[0].1, "DaemonSet istio-system/ztunnel: 1 of 2 ready");
    assert_eq!(
        found[1].1,
        "Pod istio-system/z2 is not ready: container istio-proxy: ErrImagePull"
    );
}

#[test]
fn a_ztunnel_that_is_not_connected_behind_or_refuses_is_an_error() {
    for (page, why) in [
        (
            json!([proxy("z1", 5, None)]),
            "z2.istio-system is not connected to any replica of the control plane",
        ),
        (
            json!([proxy("z1", 5, None), proxy("z2", 3, None)]),
            "z2.istio-system is 2 behind with Address",
        ),
        (
            json!([proxy("z1", 5, None), proxy("z2", 5, Some("no port"))]),
            "z2.istio-system refuses Address: no port",
        ),
    ] {
        let observed = Observed {
            clients: clients(page),
            ..observed()
        };
        assert_eq!(bad(&observed), [(Verdict::Error, why.to_owned())]);
    }
}

#[test]
fn a_control_plane_that_does_not_serve_is_an_error() {
    let observed = Observed {
        control_planes: vec![("istiod-1.istio-system".into(), Some("503: not loaded".into()))],
        clients: None,
        rootless: vec!["shop".into()],
        ..observed()
    };
    let found: Vec<String> = bad(&observed).into_iter().map(|(_, found)| found).collect();
    assert_eq!(found[0], "istiod-1.istio-system does not serve: 503: not loaded");
    assert!(found[1].starts_with("ConfigMap istio-ca-root-cert"), "{found:?}");
    assert_eq!(found[2], "nobody could be asked how they stand");
}
