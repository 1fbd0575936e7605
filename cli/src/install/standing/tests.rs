use mesh_kube::ObjectName;
use mesh_kube::fake::FakeApi;
use serde_json::json;

use super::*;
use crate::verify::pods::Object;

const LATEEN: Named<'static> = Named {
    release: "lateen",
    system: "istio-system",
};

fn stands(state: State, good: Option<u64>) -> Standing {
    Standing { state, good }
}

#[tokio::test]
async fn the_last_revision_that_helm_keeps_says_how_a_release_stands() {
    let api = FakeApi::new();
    api.serve(&SECRETS);
    let client = api.client();
    let ask = async || {
        standing(&client, "lateen", "istio-system")
            .await
            .expect("an answer")
    };
    assert_eq!(ask().await, stands(State::Absent, None));
    for (version, status, state, good) in [
        ("1", "pending-install", State::Pending(1, Under::Install), None),
        ("2", "failed", State::Failed(2), None),
        ("9", "superseded", State::Deployed(9), Some(9)),
        ("10", "deployed", State::Deployed(10), Some(10)),
        (
            "11",
            "pending-upgrade",
            State::Pending(11, Under::Upgrade),
            Some(10),
        ),
        (
            "12",
            "pending-rollback",
            State::Pending(12, Under::Rollback),
            Some(10),
        ),
        ("13", "uninstalling", State::Pending(13, Under::Removal), Some(10)),
        ("14", "uninstalled", State::Absent, Some(10)),
    ] {
        api.put(
            &SECRETS,
            json!({"metadata": {"name": format!("sh.helm.release.v1.lateen.v{version}"), "namespace": "istio-system",
                "labels": {"owner": "helm", "name": "lateen", "status": status, "version": version}}}),
        );
        assert_eq!(ask().await, stands(state, good), "{version}");
    }
}

#[test]
fn what_cannot_be_done_names_the_command_that_can() {
    let said = |step, state| obstacle(step, stands(state, Some(4)), LATEEN);
    for (step, state, remedy) in [
        (Step::Install, State::Deployed(4), "lateen upgrade"),
        (Step::Install, State::Failed(5), "lateen uninstall"),
        (
            Step::Install,
            State::Pending(5, Under::Upgrade),
            "is pending-upgrade (revision 5): another helm is at it, or was cut off: wait for it, or go back with helm rollback \
             lateen 4 -n istio-system, or lateen uninstall",
        ),
        (Step::Upgrade, State::Absent, "lateen install"),
        (Step::Upgrade, State::Pending(5, Under::Upgrade), "helm rollback"),
        (
            Step::Upgrade,
            State::Pending(5, Under::Removal),
            "is uninstalling (revision 5): another helm is at it, or was cut off: wait for it, or go on with lateen uninstall",
        ),
        (Step::Uninstall, State::Absent, "--release"),
    ] {
        let said = said(step, state).expect("an obstacle");
        assert!(said.contains(remedy), "{said}");
    }
    for (step, state) in [
        (Step::Install, State::Absent),
        (Step::Upgrade, State::Deployed(4)),
        (Step::Upgrade, State::Failed(5)),
        (Step::Uninstall, State::Failed(5)),
        (Step::Uninstall, State::Pending(5, Under::Install)),
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
fn nobody_is_sent_back_to_a_revision_that_there_never_was() {
    let never = stands(State::Pending(1, Under::Install), None);
    for step in [Step::Install, Step::Upgrade] {
        let said = obstacle(step, never, LATEEN).expect("an obstacle");
        assert!(
            said.ends_with("wait for it, or go back with lateen uninstall"),
            "{said}"
        );
    }
    for state in [State::Pending(1, Under::Install), State::Failed(1)] {
        let after = aftermath(Step::Upgrade, stands(state, None), LATEEN, &[], &[]);
        assert!(!after.remedy.contains("rollback"), "{}", after.remedy);
        assert!(after.remedy.contains("lateen uninstall"), "{}", after.remedy);
    }
}

#[test]
fn after_a_failure_what_is_there_and_both_ways_are_told() {
    let there = ["DaemonSet istio-system/ztunnel".to_owned()];
    let waiting = [Waiting {
        object: Object::Pod(ObjectName::new("istio-system", "ztunnel-a")),
        why: "container istio-proxy: ErrImagePull".to_owned(),
    }];
    let of = |step, state, good| aftermath(step, stands(state, good), LATEEN, &there, &waiting);
    let after = of(Step::Install, State::Failed(1), None);
    assert_eq!(
        after.lines,
        [
            "release lateen in namespace istio-system is there: revision 1, failed",
            "in the cluster now, of the release: 1 object (DaemonSet istio-system/ztunnel)",
            "Pod istio-system/ztunnel-a is not ready: container istio-proxy: ErrImagePull",
        ]
    );
    assert!(after.remedy.contains("lateen upgrade") && after.remedy.contains("lateen uninstall"));
    let after = of(Step::Upgrade, State::Failed(4), Some(3));
    assert!(
        after.remedy.contains("helm rollback lateen 3 -n istio-system"),
        "{}",
        after.remedy
    );
    // A release that is held takes no upgrade.
    let after = of(Step::Install, State::Pending(1, Under::Install), None);
    assert!(!after.remedy.contains("lateen upgrade"), "{}", after.remedy);
}

#[test]
fn where_nothing_was_made_nothing_is_to_be_undone() {
    for step in [Step::Install, Step::Upgrade] {
        let after = aftermath(step, stands(State::Absent, None), LATEEN, &[], &[]);
        assert_eq!(after.lines, Vec::<String>::new());
        assert!(
            after.remedy.contains("nothing needs to be undone")
                && !after.remedy.contains("lateen upgrade")
                && !after.remedy.contains("lateen uninstall"),
            "{}",
            after.remedy
        );
    }
}

#[test]
fn commands_name_the_release_and_the_namespace_that_they_are_about() {
    let other = Named {
        release: "mesh",
        system: "mesh-system",
    };
    let after = aftermath(Step::Install, stands(State::Failed(1), None), other, &[], &[]);
    assert_eq!(
        after.remedy,
        "to go on once the cause is gone: lateen upgrade --release mesh --system mesh-system; to go back: lateen uninstall \
         --release mesh --system mesh-system (pods that joined the mesh leave it first)"
    );
    let said = obstacle(Step::Upgrade, stands(State::Absent, None), other).expect("an obstacle");
    assert!(
        said.contains("lateen install --release mesh --system mesh-system makes one"),
        "{said}"
    );
}
