//! NetworkPolicies admit whom each part has to be reached by, and monitors find the ports that there are.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{containers, helm, objects, pod_of};

const GUARDED: &str = "global: {networkPolicy: true, podMonitor: true}";

/// Whatever a container of ours listens on, and whatever a node asks it on, is let in; nobody is kept from asking.
#[test]
fn every_port_that_is_listened_on_is_admitted() {
    let Some(helm) = helm() else { return };
    let all = objects(&helm.render("lateen", GUARDED));
    let waypoint = waypoint();
    let mut seen = BTreeSet::new();
    for object in all.iter().chain([&waypoint]) {
        let Some((labels, pod)) = pod_of(object) else {
            continue;
        };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let policies = all
            .iter()
            .filter(|o| o["kind"] == "NetworkPolicy" && selects(&o["spec"]["podSelector"], labels));
        let policies: Vec<&Value> = policies.collect();
        assert_eq!(policies.len(), 1, "{name} is selected by {policies:?}");
        let spec = &policies[0]["spec"];
        let admitted = admitted(spec);
        let ports = listened_on(labels, pod);
        assert!(ports.is_subset(&admitted), "{name}: {ports:?}, but {admitted:?}");
        // Who starts connections may: to the API server, to DNS, to a peer.
        let asks = name != "lateen-test-server";
        assert_eq!(spec["egress"] == json!([{}]), asks, "{name}: {spec}");
        seen.insert(name.to_owned());
    }
    let expected = [
        "istio-cni-node",
        "istiod",
        "lateen-test-mtls",
        "lateen-test-other-identity",
        "lateen-test-plaintext",
        "lateen-test-server",
        "lateen-unenroll",
        "waypoint",
        "ztunnel",
    ];
    assert_eq!(seen, expected.map(str::to_owned).into());
}

/// A hook's policy is there before its pods are, and goes with them.
#[test]
fn policies_of_hooks_come_before_their_pods() {
    let Some(helm) = helm() else { return };
    let all = objects(&helm.render("lateen", GUARDED));
    let weight = |o: &Value| -> i64 {
        let weight = o["metadata"]["annotations"]["helm.sh/hook-weight"].as_str();
        weight.and_then(|w| w.parse().ok()).expect("a weight")
    };
    let mut pairs = 0;
    for policy in all.iter().filter(|o| o["kind"] == "NetworkPolicy") {
        let of = &policy["metadata"]["annotations"];
        for object in &all {
            let Some((labels, _)) = pod_of(object) else {
                continue;
            };
            if !selects(&policy["spec"]["podSelector"], labels) {
                continue;
            }
            let hook = &object["metadata"]["annotations"]["helm.sh/hook"];
            assert_eq!(&of["helm.sh/hook"], hook, "{}", policy["metadata"]["name"]);
            if !hook.is_null() {
                assert!(weight(policy) < weight(object), "{}", policy["metadata"]["name"]);
                pairs += 1;
            }
        }
    }
    assert_eq!(pairs, 5);
}

#[test]
fn monitors_find_a_port_of_the_pods_that_they_select() {
    let Some(helm) = helm() else { return };
    let all = objects(&helm.render("lateen", GUARDED));
    let waypoint = waypoint();
    let mut found = BTreeSet::new();
    for monitor in all.iter().filter(|o| o["kind"] == "PodMonitor") {
        let name = monitor["metadata"]["name"].as_str().unwrap_or_default();
        let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
        for object in all.iter().chain([&waypoint]) {
            let Some((labels, pod)) = pod_of(object) else {
                continue;
            };
            if !selects(&monitor["spec"]["selector"], labels) {
                continue;
            }
            let mut ports = containers(pod).iter().flat_map(|c| list(&c["ports"]));
            assert!(ports.any(|p| p["name"] == endpoint["port"]), "{name}: {endpoint}");
            let of = object["metadata"]["name"].as_str().unwrap_or_default();
            found.insert((name, of));
        }
    }
    let expected = [
        ("istio-cni-node", "istio-cni-node"),
        ("istiod", "istiod"),
        ("istiod-waypoints", "waypoint"),
        ("ztunnel", "ztunnel"),
    ];
    assert_eq!(found, expected.into());
    let annotated = &waypoint["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"];
    let of_waypoints = super::find(&all, "PodMonitor", "istiod-waypoints");
    assert_eq!(&of_waypoints["spec"]["podMetricsEndpoints"][0]["path"], annotated);
    // They are wherever somebody wants one.
    assert_eq!(of_waypoints["spec"]["namespaceSelector"], json!({"any": true}));
}

/// What the control plane makes of a Gateway; its own tests hold the golden file.
fn waypoint() -> Value {
    let golden = super::charts().join("../controlplane/index/golden/waypoint.yaml");
    let text = std::fs::read_to_string(golden).expect("a golden file");
    super::find(&objects(&text), "Deployment", "waypoint").clone()
}

fn listened_on(labels: &Value, pod: &Value) -> BTreeSet<u64> {
    let mut ports = BTreeSet::new();
    for container in containers(pod) {
        ports.extend(
            list(&container["ports"])
                .iter()
                .filter_map(|p| p["containerPort"].as_u64()),
        );
        for probe in ["readinessProbe", "startupProbe", "livenessProbe"] {
            let probe = &container[probe];
            ports.extend(
                [&probe["httpGet"]["port"], &probe["tcpSocket"]["port"]]
                    .map(Value::as_u64)
                    .into_iter()
                    .flatten(),
            );
        }
    }
    // A proxy listens inside the pod.
    if labels["istio.io/dataplane-mode"] == "ambient" && !ports.is_empty() {
        ports.insert(15008);
    }
    ports
}

fn admitted(policy: &Value) -> BTreeSet<u64> {
    let rules = list(&policy["ingress"]).iter();
    let everybody = rules.filter(|rule| rule["from"].is_null());
    let ports = everybody.flat_map(|rule| list(&rule["ports"]));
    ports.filter_map(|p| p["port"].as_u64()).collect()
}

/// A label selector, as the API server reads it.
fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector["matchLabels"].as_object();
    let equal = wanted.is_none_or(|all| all.iter().all(|(key, value)| &labels[key] == value));
    let expressions = list(&selector["matchExpressions"]);
    let fits = expressions.iter().all(|e| {
        assert_eq!(e["operator"], "In", "{e}");
        let key = e["key"].as_str().unwrap_or_default();
        list(&e["values"]).contains(&labels[key])
    });
    assert!(
        wanted.is_some() || !expressions.is_empty(),
        "selects all: {selector}"
    );
    equal && fits
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
