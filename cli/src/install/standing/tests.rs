use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;

#[tokio::test]
async fn the_last_revision_that_helm_keeps_says_how_a_release_stands() {
    let api = FakeApi::new();
    api.serve(&SECRETS);
    let client = api.client();
    let ask = async || state(&client, "lateen", "istio-system").await.expect("an answer");
    assert_eq!(ask().await, State::Absent);
    for (version, status, state) in [
        ("1", "pending-install", State::Pending),
        ("2", "failed", State::Failed),
        ("9", "superseded", State::Deployed),
        ("10", "deployed", State::Deployed),
        ("11", "uninstalling", State::Pending),
    ] {
        api.put(
            &SECRETS,
            json!({"metadata": {"name": format!("sh.helm.release.v1.lateen.v{version}"), "namespace": "istio-system",
                "labels": {"owner": "helm", "name": "lateen", "status": status, "version": version}}}),
        );
        assert_eq!(ask().await, state, "{version}");
    }
}

#[test]
fn what_cannot_be_done_names_the_command_that_can() {
    let said = |step, state| obstacle(step, state, "lateen", "istio-system");
    for (step, state, remedy) in [
        (Step::Install, State::Deployed, "lateen upgrade"),
        (Step::Install, State::Failed, "lateen uninstall"),
        (
            Step::Install,
            State::Pending,
            "helm rollback lateen -n istio-system",
        ),
        (Step::Upgrade, State::Absent, "lateen install"),
        (Step::Upgrade, State::Pending, "helm rollback"),
        (Step::Uninstall, State::Absent, "--release"),
    ] {
        let said = said(step, state).expect("an obstacle");
        assert!(said.contains(remedy), "{said}");
    }
    for (step, state) in [
        (Step::Install, State::Absent),
        (Step::Upgrade, State::Deployed),
        (Step::Upgrade, State::Failed),
        (Step::Uninstall, State::Failed),
        (Step::Uninstall, State::Pending),
    ] {
        assert_eq!(said(step, state), None, "{step:?} {state:?}");
    }
}

#[test]
fn what_belongs_to_somebody_else_is_a_conflict_and_crds_are_not() {
    let live = |kind: &str, release: &str| {
        json!({"kind": kind, "metadata": {"name": "ztunnel", "namespace": "istio-system", "annotations": {
            HELM_RELEASE: release, HELM_NAMESPACE: "istio-system"}}})
    };
    let rendered = json!({"kind": "DaemonSet"});
    let conflict = |live: &Value| conflict(&rendered, live, "lateen", "istio-system");
    assert_eq!(conflict(&live("DaemonSet", "lateen")), None);
    let other = conflict(&live("DaemonSet", "ztunnel")).expect("a conflict");
    assert_eq!(
        other,
        "DaemonSet istio-system/ztunnel is there and belongs to release ztunnel in namespace istio-system"
    );
    let nobodys = json!({"kind": "DaemonSet", "metadata": {"name": "ztunnel", "namespace": "istio-system"}});
    assert!(
        conflict(&nobodys)
            .expect("a conflict")
            .ends_with("belongs to no release")
    );
    let crd = json!({"kind": "CustomResourceDefinition"});
    assert_eq!(super::conflict(&crd, &nobodys, "lateen", "istio-system"), None);
}

#[test]
fn after_a_failure_what_is_there_and_both_ways_are_told() {
    let there = ["DaemonSet istio-system/ztunnel".to_owned()];
    let waiting = [(
        "istio-system/ztunnel-a".to_owned(),
        "container istio-proxy: ErrImagePull".to_owned(),
    )];
    let told = aftermath(Step::Install, State::Failed, &there, &waiting);
    assert_eq!(
        told[0],
        "in the cluster now, of the release: 1 object (DaemonSet istio-system/ztunnel)"
    );
    assert_eq!(
        told[1],
        "Pod istio-system/ztunnel-a is not ready: container istio-proxy: ErrImagePull"
    );
    assert!(told[2].contains("lateen upgrade") && told[2].contains("lateen uninstall"));
    assert!(aftermath(Step::Upgrade, State::Failed, &there, &[])[1].contains("helm rollback"));
    assert_eq!(aftermath(Step::Install, State::Absent, &[], &[]).len(), 1);
}
