use super::*;
use crate::fixture::{Mesh, pod};
use controlplane_k8s_api::Kind;

fn namespace(name: &str, mode: &str) -> String {
    let label = if mode.is_empty() {
        String::new()
    } else {
        format!("istio.io/dataplane-mode: {mode}")
    };
    format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{{label}}}}}}}\n---\n")
}

fn only(mesh: &Mesh) -> &Assignment {
    assert_eq!(mesh.assignments.len(), 1);
    mesh.assignments.values().next().expect("one assignment")
}

#[test]
fn members_are_who_pod_or_namespace_says_unless_excluded() {
    let ambient = "labels: {istio.io/dataplane-mode: ambient}";
    for (ns, mode, metadata, spec, member) in [
        ("shop", "", "", "", false),
        ("shop", "ambient", "", "", true),
        ("shop", "none", "", "", false),
        ("shop", "", ambient, "", true),
        ("shop", "none", ambient, "", true),
        (
            "shop",
            "ambient",
            "labels: {istio.io/dataplane-mode: none}",
            "",
            false,
        ),
        (
            "shop",
            "ambient",
            "labels: {istio.io/dataplane-mode: other}",
            "",
            true,
        ),
        ("shop", "ambient", "", "hostNetwork: true", false),
        (
            "shop",
            "ambient",
            "annotations: {sidecar.istio.io/status: x}",
            "",
            false,
        ),
        ("kube-system", "ambient", ambient, "", false),
        ("istio-system", "ambient", "labels: {app: ztunnel}", "", false),
        ("shop", "ambient", "labels: {app: ztunnel}", "", true),
    ] {
        let mesh = Mesh::of(&(namespace(ns, mode) + &pod(&format!("{ns}/web"), metadata, spec)));
        let expected = if member {
            Membership::Member
        } else {
            Membership::Outside
        };
        assert_eq!(only(&mesh).membership, expected, "{ns} {mode} {metadata} {spec}");
    }
}

#[test]
fn namespace_label_enrols_and_releases_running_pods() {
    let mut mesh = Mesh::of(&pod("shop/web", "", "serviceAccountName: web"));
    assert_eq!(
        (only(&mesh).membership, only(&mesh).service_account.as_str()),
        (Membership::Outside, "web")
    );
    mesh.set(&namespace("shop", "ambient"));
    assert_eq!(only(&mesh).membership, Membership::Member);
    mesh.remove(Kind::Namespace, "shop");
    assert_eq!(only(&mesh).membership, Membership::Outside);
}

#[test]
fn pods_are_assigned_where_and_while_they_belong() {
    let mut mesh = Mesh::of(&pod("shop/web", "", ""));
    assert_eq!(
        (only(&mesh).node.as_str(), only(&mesh).service_account.as_str()),
        ("n1", "default")
    );
    mesh.set(&pod("shop/web", "", "").replace("nodeName: n1", "nodeName: n2"));
    assert_eq!(only(&mesh).node, "n2");
    let ended = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop}\nspec: {nodeName: n2}\nstatus: {phase: Failed}\n";
    mesh.set(ended);
    assert!(mesh.assignments.is_empty());
    mesh.set(&pod("shop/web", "", "").replace("nodeName: n1,", ""));
    assert!(mesh.assignments.is_empty(), "it is not scheduled");
}

#[test]
fn options_are_read_from_annotations_and_nonsense_is_told() {
    let annotations = "annotations: {ambient.istio.io/bypass-inbound-capture: \"true\", ambient.istio.io/dns-capture: \"false\", istio.io/reroute-virtual-interfaces: \" tap0,,br-1 \"}";
    let mesh = Mesh::of(&pod("shop/web", annotations, ""));
    let expected = Options {
        bypass_inbound_capture: true,
        dns_capture: Some(false),
        reroute_virtual_interfaces: vec!["tap0".to_owned(), "br-1".to_owned()],
    };
    assert_eq!(only(&mesh).options, expected);
    let annotations = "annotations: {ambient.istio.io/bypass-inbound-capture: \"yes\", istio.io/reroute-virtual-interfaces: \"a b,$(x),../x,0123456789abcdef\"}";
    let mesh = Mesh::of(&pod("shop/web", annotations, ""));
    assert_eq!(only(&mesh).options, Options::default());
    let told = mesh.reasons("shop/web");
    assert_eq!(told.iter().filter(|r| **r == ConditionReason::Invalid).count(), 4);
    assert_eq!(
        told.iter()
            .filter(|r| **r == ConditionReason::UnknownValue)
            .count(),
        1
    );
}
