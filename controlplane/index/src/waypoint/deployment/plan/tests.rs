use controlplane_k8s_api::Object;

use super::*;
use crate::fixture::objects;

fn plan(yaml: &str) -> WaypointPlan {
    let (mut gateway, mut maps) = (None, Vec::new());
    for object in objects(yaml) {
        match object {
            Object::Gateway(found) => gateway = Some(found),
            Object::ConfigMap(map) => maps.push(map),
            _ => {}
        }
    }
    let in_root = maps.iter().filter(|map| map.metadata.namespace == "istio-system");
    let defaults = Defaults::of(in_root);
    let gateway = gateway.expect("the YAML holds a Gateway");
    WaypointPlan::new(&gateway, None, &defaults, |name| {
        maps.iter()
            .find(|map| map.metadata.namespace == gateway.metadata.namespace && map.metadata.name == *name)
    })
}

const PLAIN: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop, uid: u-1}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
";
const WITH_SETTINGS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop, uid: u-1}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
  infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: options}}
---
";
const OF_CLASS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: defaults, namespace: istio-system, labels: {gateway.istio.io/defaults-for-class: istio-waypoint}}
data:
  deployment: |
    spec:
      replicas: 2
      template:
        spec:
          containers:
          - name: istio-proxy
            resources: {requests: {cpu: 10m}}
  podDisruptionBudget: |
    spec: {minAvailable: 1}
---
";
const OPTIONS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: options, namespace: shop}
data:
  deployment: |
    metadata: {name: stolen, labels: {gateway.istio.io/managed: nobody, team: edge}, ownerReferences: []}
    spec: {replicas: 3, selector: {matchLabels: {a: b}}}
  horizontalPodAutoscaler: |
    spec: {minReplicas: 3, maxReplicas: 9}
---
";

fn object(objects: &[Rendered], part: Part) -> &Value {
    let found = objects.iter().find(|rendered| rendered.part == part);
    &found.expect("it is there").object
}

#[test]
fn settings_of_the_class_and_then_the_gateways_own_are_laid_over_what_is_rendered() {
    let settings = Settings::default();
    let plain = plan(PLAIN).objects(&settings).expect("it is a waypoint");
    let parts: Vec<Part> = plain.iter().map(|rendered| rendered.part).collect();
    assert_eq!(parts, [Part::ServiceAccount, Part::Deployment, Part::Service]);

    let all = plan(&[WITH_SETTINGS, OF_CLASS, OPTIONS].concat());
    assert_eq!(all.check(), Ok(()));
    let all = all.objects(&settings).expect("it is a waypoint");
    assert_eq!(all.len(), 5);
    let deployment = object(&all, Part::Deployment);
    assert_eq!(
        deployment["spec"]["replicas"], 3,
        "its own counts before the class's"
    );
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["requests"]["cpu"], "10m");
    assert_eq!(
        container["resources"]["requests"]["memory"], "128Mi",
        "the rest stays"
    );
    assert_eq!(
        object(&all, Part::HorizontalPodAutoscaler)["spec"]["maxReplicas"],
        9
    );
    let budget = object(&all, Part::PodDisruptionBudget);
    assert_eq!(budget["spec"]["minAvailable"], 1);
    assert_eq!(
        budget["spec"]["selector"]["matchLabels"]["gateway.networking.k8s.io/gateway-name"],
        "waypoint"
    );
}

#[test]
fn whose_an_object_is_is_not_up_to_settings() {
    let plan = plan(&[WITH_SETTINGS, OPTIONS].concat());
    let all = plan.objects(&Settings::default()).expect("it is a waypoint");
    let deployment = object(&all, Part::Deployment);
    let metadata = &deployment["metadata"];
    assert_eq!(metadata["name"], "waypoint");
    assert_eq!(
        metadata["labels"]["gateway.istio.io/managed"],
        "istio.io-mesh-controller"
    );
    assert_eq!(metadata["labels"]["team"], "edge");
    assert_eq!(metadata["ownerReferences"][0]["uid"], "u-1");
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    assert_eq!(
        *selector,
        json!({"gateway.networking.k8s.io/gateway-name": "waypoint"})
    );
}

#[test]
fn settings_that_cannot_be_read_are_said() {
    let said = |maps: &str| {
        let plan = plan(&format!("{WITH_SETTINGS}{maps}"));
        plan.check().expect_err("it cannot be read").to_string()
    };
    assert_eq!(
        said(""),
        "spec.infrastructure.parametersRef: there is no ConfigMap shop/options"
    );
    let map = |data: &str| {
        format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: options, namespace: shop}}, data: {{{data}}}}}\n---\n"
        )
    };
    assert!(
        said(&map("deploymnt: ''")).contains("data.deploymnt is none of serviceAccount, deployment, service"),
        "{}",
        said(&map("deploymnt: ''"))
    );
    assert_eq!(
        said(&map("service: '[1]'")),
        "ConfigMap shop/options: data.service: is no mapping"
    );
    let list = "deployment: '{spec: {template: {spec: {containers: [{image: a}]}}}}'";
    assert_eq!(
        said(&map(list)),
        "ConfigMap shop/options: data.deployment: spec.template.spec.containers[0]: has no name, by which elements are told apart"
    );
    let of_kind = WITH_SETTINGS.replace("kind: ConfigMap", "kind: Secret");
    let why = plan(&of_kind).check().expect_err("no settings").to_string();
    assert!(
        why.ends_with("Secret options of group \"\": only ConfigMaps hold settings"),
        "{why}"
    );
    assert_eq!(plan(PLAIN).check(), Ok(()));
}

/// Settings are somebody's text: whatever it says, what cannot be an object is told with its key and field, and nothing else
/// comes of it.
#[test]
fn settings_of_another_shape_are_said_and_never_carried_out() {
    let said = |key: &str, piece: &str| {
        let piece = serde_json::to_string(piece).expect("a text");
        let map = format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: options, namespace: shop}}, data: {{{key}: {piece}}}}}\n---\n"
        );
        let plan = plan(&format!("{WITH_SETTINGS}{map}"));
        let why = plan.check().expect_err(&piece).to_string();
        let why = why.strip_prefix("ConfigMap shop/options: ").map(str::to_owned);
        why.expect("it names the ConfigMap")
    };
    for (key, piece, expected) in [
        (
            "deployment",
            "metadata: a",
            "data.deployment: metadata: is a single value, where a mapping belongs",
        ),
        (
            "service",
            "metadata: {labels: [a]}",
            "data.service: metadata.labels: is a list, where a mapping belongs",
        ),
        (
            "deployment",
            "spec: 1",
            "data.deployment: spec: is a single value, where a mapping belongs",
        ),
        (
            "deployment",
            "spec: {template: {metadata: {labels: none}}}",
            "data.deployment: spec.template.metadata.labels: is a single value, where a mapping belongs",
        ),
        (
            "deployment",
            "spec: {template: {spec: {containers: {istio-proxy: {}}}}}",
            "data.deployment: spec.template.spec.containers: is a mapping, where a list belongs",
        ),
        (
            "deployment",
            "spec: {template: {spec: {containers: [{name: istio-proxy, image: {{ .Values.image }}}]}}}",
            "data.deployment: no YAML: ",
        ),
        (
            "deployment",
            "$patch: delete",
            "data.deployment: spec.template.spec.containers: nothing is left of it",
        ),
        (
            "deployment",
            "spec: {template: {spec: {serviceAccountName: default}}}",
            "data.deployment: spec.template.spec.serviceAccountName: the annotation gateway.istio.io/service-account sets it",
        ),
        (
            "service",
            "spec: null",
            "data.service: spec.ports: nothing is left of it",
        ),
        (
            "podDisruptionBudget",
            "metadata: []",
            "data.podDisruptionBudget: metadata: is a list, where a mapping belongs",
        ),
        (
            "serviceAccount",
            "--- \nkind: Secret\n---\nkind: Pod",
            "data.serviceAccount: no YAML: ",
        ),
        ("serviceAccount", "kind: \"a", "data.serviceAccount: no YAML: "),
        ("service", "a: &a [*a]", "data.service: no YAML: "),
    ] {
        let why = said(key, piece);
        assert!(why.starts_with(expected), "{piece}: {why}");
        assert!(!why.contains('\n'), "{why}");
    }
    // As deep as a text can be, and as often as aliases repeat it: refused, and nobody waits for it.
    for piece in [
        format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        "a: &a [x, x, x, x, x, x, x, x]\n".to_owned()
            + &(0..12)
                .map(|i| {
                    let (new, old) = (char::from(b'b' + i), char::from(b'a' + i));
                    format!(
                        "{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n"
                    )
                })
                .collect::<String>(),
    ] {
        assert!(said("service", &piece).starts_with("data.service: no YAML: "));
    }
}

/// What is null is taken away, and what tells whose the object is comes back.
#[test]
fn what_settings_take_away_of_an_objects_identity_is_there_all_the_same() {
    let taken = OPTIONS.replace(
        "metadata: {name: stolen, labels: {gateway.istio.io/managed: nobody, team: edge}, ownerReferences: []}",
        "metadata: null",
    );
    let plan = plan(&[WITH_SETTINGS, &taken].concat());
    let all = plan.objects(&Settings::default()).expect("it is a waypoint");
    let metadata = &object(&all, Part::Deployment)["metadata"];
    assert_eq!(metadata["name"], "waypoint");
    assert_eq!(metadata["ownerReferences"][0]["uid"], "u-1");
    assert_eq!(
        metadata["labels"]["gateway.istio.io/managed"],
        "istio.io-mesh-controller"
    );
}
