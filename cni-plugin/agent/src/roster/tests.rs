use serde_json::{Value, json};

use super::selector::Enablement;
use super::*;

const MODE: &str = "istio.io/dataplane-mode";

fn roster() -> Roster {
    Roster::new(rules())
}

fn rules() -> Rules {
    Rules {
        enablement: Enablement::default(),
        excluded: ["kube-system".to_owned()].into(),
        own_namespace: "istio-system".to_owned(),
        own_daemonset: "istio-cni-node".to_owned(),
    }
}

fn pod(value: Value) -> PodObject {
    serde_json::from_value(value).expect("a pod")
}

fn web(labels: Value) -> PodObject {
    pod(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "labels": labels},
        "spec": {"serviceAccountName": "web", "nodeName": "n1", "containers": [{"name": "c"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
    }))
}

fn namespace(name: &str, labels: Value) -> NamespaceObject {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).expect("a namespace")
}

/// A roster that was told everything; and what it made of it.
fn told(namespaces: &[NamespaceObject], pods: &[PodObject]) -> (Roster, Vec<Change>) {
    let mut roster = roster();
    let mut changes = list(&mut roster, Roster::namespaces, namespaces);
    changes.extend(list(&mut roster, Roster::pods, pods));
    (roster, changes)
}

fn list<T: Clone>(
    roster: &mut Roster,
    take: fn(&mut Roster, Event<T>) -> Vec<Change>,
    objects: &[T],
) -> Vec<Change> {
    let mut changes = take(roster, Event::ListBegins);
    for object in objects {
        changes.extend(take(roster, Event::Listed(object.clone())));
    }
    changes.extend(take(roster, Event::ListEnds));
    changes
}

fn memberships(changes: &[Change]) -> Vec<Membership> {
    let of = |change: &Change| match change {
        Change::Expect(expected) => Some(expected.assignment.membership),
        _ => None,
    };
    changes.iter().filter_map(of).collect()
}

#[test]
fn a_pods_label_counts_before_its_namespaces() {
    let ambient = json!({MODE: "ambient"});
    let none = json!({MODE: "none"});
    let other = json!({MODE: "sidecar"});
    for (of_pod, of_namespace, member) in [
        (json!({}), json!({}), false),
        (json!(null), ambient.clone(), true),
        (ambient.clone(), json!({}), true),
        (ambient.clone(), none.clone(), true),
        (none.clone(), ambient.clone(), false),
        (other.clone(), ambient.clone(), true),
        (other, json!({}), false),
        (json!({}), none, false),
    ] {
        let (_, changes) = told(&[namespace("shop", of_namespace.clone())], &[web(of_pod.clone())]);
        let expected = if member {
            Membership::Member
        } else {
            Membership::Outside
        };
        assert_eq!(memberships(&changes), [expected], "{of_pod} in {of_namespace}");
    }
}

#[test]
fn who_cannot_be_captured_is_outside_whatever_the_labels_say() {
    let rules = rules();
    let ambient = Labels::from([(MODE.to_owned(), "ambient".to_owned())]);
    let with = |change: &dyn Fn(&mut PodObject)| {
        let mut pod = web(json!({MODE: "ambient"}));
        change(&mut pod);
        rules.is_member(&pod, &ambient)
    };
    assert!(with(&|_| {}));
    assert!(!with(&|pod| pod.spec.host_network = true));
    assert!(!with(&|pod| drop(
        pod.metadata
            .annotations
            .insert("sidecar.istio.io/status".into(), "{}".into())
    )));
    assert!(!with(&|pod| pod.metadata.namespace = "kube-system".into()));
    let proxy = |pod: &mut PodObject| drop(pod.metadata.labels.insert("app".into(), "ztunnel".into()));
    assert!(with(&proxy), "a label proves nothing where everybody may set it");
    assert!(!with(&|pod| {
        proxy(pod);
        pod.metadata.namespace = "istio-system".into();
    }));
}

#[test]
fn other_selectors_can_be_given() {
    let enablement: Enablement = "
- podSelector: {matchLabels: {mesh: 'on'}}
- podSelector: {matchExpressions: [{key: app, operator: In, values: [web, shop]}, {key: off, operator: DoesNotExist}]}
  namespaceSelector: {matchExpressions: [{key: tier, operator: Exists}]}
"
    .parse()
    .expect("selectors");
    let labels = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<Labels>()
    };
    let tier = labels(&[("tier", "x")]);
    assert!(enablement.selects(&labels(&[("mesh", "on")]), &Labels::new()));
    assert!(enablement.selects(&labels(&[("app", "web")]), &tier));
    assert!(!enablement.selects(&labels(&[("app", "web")]), &Labels::new()));
    assert!(!enablement.selects(&labels(&[("app", "web"), ("off", "")]), &tier));
    assert!(!enablement.selects(&labels(&[("app", "db")]), &tier));
    // As upstream's chart writes its default.
    let usual: Enablement = "
- podSelector:
    matchLabels: {istio.io/dataplane-mode: ambient}
- podSelector:
    matchExpressions:
    - { key: istio.io/dataplane-mode, operator: NotIn, values: [none] }
  namespaceSelector:
    matchLabels: {istio.io/dataplane-mode: ambient}
"
    .parse()
    .expect("selectors");
    assert_eq!(usual, Enablement::default());
    assert_eq!("".parse(), Ok(Enablement::default()));
    for broken in [
        "{}",
        "- podSelektor: {}",
        "- podSelector: {matchExpressions: [{key: a, operator: In}]}",
    ] {
        assert!(broken.parse::<Enablement>().is_err(), "{broken}");
    }
}

#[test]
fn nothing_is_said_before_both_lists_are_complete() {
    let mut roster = roster();
    assert_eq!(list(&mut roster, Roster::pods, &[web(json!({}))]), []);
    assert_eq!(roster.namespaces(Event::ListBegins), []);
    assert_eq!(
        roster.namespaces(Event::Listed(namespace("shop", json!({MODE: "ambient"})))),
        []
    );
    let changes = roster.namespaces(Event::ListEnds);
    assert_eq!(
        memberships(&changes),
        [Membership::Member],
        "never outside for a moment"
    );
    assert_eq!(changes.last(), Some(&Change::Complete));
}

#[test]
fn labels_of_a_namespace_reach_its_pods_and_only_changes_are_told() {
    let mut other = web(json!({}));
    other.metadata.namespace = "bank".to_owned();
    let (mut roster, _) = told(
        &[namespace("shop", json!({})), namespace("bank", json!({}))],
        &[web(json!({})), other],
    );
    let changes = roster.namespaces(Event::Applied(namespace("shop", json!({MODE: "ambient"}))));
    assert_eq!(memberships(&changes), [Membership::Member]);
    let again = roster.namespaces(Event::Applied(namespace(
        "shop",
        json!({MODE: "ambient", "else": "x"}),
    )));
    assert_eq!(again, []);
    let changes = roster.namespaces(Event::Deleted(namespace("shop", json!({}))));
    assert_eq!(memberships(&changes), [Membership::Outside]);
}

#[test]
fn a_list_that_does_not_name_a_pod_says_that_it_is_gone_but_only_when_it_is_complete() {
    let (mut roster, changes) = told(&[namespace("shop", json!({}))], &[web(json!({}))]);
    assert_eq!(memberships(&changes).len(), 1);
    let name = NamespacedName::new("shop", "web");
    assert_eq!(roster.pods(Event::ListBegins), []);
    // What cannot be read is there all the same.
    roster.malformed_pod(name.clone());
    assert_eq!(roster.pods(Event::ListEnds), []);
    assert_eq!(list(&mut roster, Roster::pods, &[]), [Change::Gone(name)]);
}

#[test]
fn a_pod_that_has_ended_is_gone() {
    let (mut roster, _) = told(&[namespace("shop", json!({}))], &[web(json!({}))]);
    let ended = pod(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
        "status": {"phase": "Succeeded", "podIP": "10.0.0.1"},
    }));
    let gone = Change::Gone(NamespacedName::new("shop", "web"));
    assert_eq!(roster.pods(Event::Applied(ended.clone())), [gone]);
    assert_eq!(roster.pods(Event::Deleted(ended)), [], "once");
}

#[test]
fn what_is_read_of_a_pod() {
    let (_, changes) = told(
        &[namespace("shop", json!({}))],
        &[pod(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "object", "labels": null, "annotations": {
                "kubernetes.io/config.mirror": "4d8a1ea92d10ab84acd6b3b0ec6a6ee6",
                "ambient.istio.io/redirection": "enabled",
                "ambient.istio.io/bypass-inbound-capture": "True",
                "ambient.istio.io/dns-capture": "maybe",
                "istio.io/reroute-virtual-interfaces": "net1, no space,net2",
            }},
            "status": {"podIPs": null, "podIP": "::ffff:10.0.0.1"},
        }))],
    );
    let Some(Change::Expect(expected)) = changes.first() else {
        panic!("{changes:?}")
    };
    assert_eq!(
        expected.instance.uid, "4d8a1ea92d10ab84acd6b3b0ec6a6ee6",
        "a static pod's, as the runtime is told it"
    );
    assert_eq!(
        expected.instance.ips,
        ["10.0.0.1".parse::<IpAddr>().expect("an address")]
    );
    assert_eq!(expected.instance.redirection.as_deref(), Some("enabled"));
    assert_eq!(expected.assignment.service_account, "default");
    let options = &expected.assignment.options;
    assert!(options.bypass_inbound_capture && options.dns_capture.is_none());
    assert_eq!(options.reroute_virtual_interfaces, ["net1", "net2"]);
    assert_eq!(expected.warnings.len(), 2, "{:?}", expected.warnings);
}

#[test]
fn the_meshs_own_pods_and_those_that_refuse_stay_outside_whatever_the_selector_says() {
    let rules = Rules {
        enablement: "[{namespaceSelector: {matchLabels: {mesh: \"yes\"}}}]"
            .parse()
            .expect("a selector"),
        ..rules()
    };
    let labels: Labels = [("mesh".to_owned(), "yes".to_owned())].into();
    let in_mesh = |namespace: &str, labels_of: Value, owner: &str| {
        let pod = pod(json!({"metadata": {
            "name": "x", "namespace": namespace, "uid": "u1", "labels": labels_of,
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": owner, "uid": "d1"}],
        }}));
        rules.is_member(&pod, &labels)
    };
    assert!(
        in_mesh("istio-system", json!({}), "another"),
        "the selector selects"
    );
    assert!(!in_mesh("istio-system", json!({}), "istio-cni-node"), "the agent");
    assert!(
        in_mesh("shop", json!({}), "istio-cni-node"),
        "anybody may call it so elsewhere"
    );
    for namespace in ["istio-system", "shop"] {
        let refuses = json!({"istio.io/dataplane-mode": "none"});
        assert!(!in_mesh(namespace, refuses, "another"), "{namespace}");
    }
}
