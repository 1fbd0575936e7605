use std::fs;
use std::path::Path;

use controlplane_k8s_api::Object;

use super::*;
use crate::fixture::objects;

fn gateway(yaml: &str) -> Gateway {
    objects(yaml)
        .into_iter()
        .find_map(|object| match object {
            Object::Gateway(gateway) => Some(gateway),
            _ => None,
        })
        .expect("the YAML holds a Gateway")
}

fn class(controller: &str) -> GatewayClass {
    GatewayClass {
        spec: controlplane_k8s_api::gateway::GatewayClassSpec {
            controller_name: controller.into(),
            ..Default::default()
        },
        ..GatewayClass::default()
    }
}

fn rendered(yaml: &str, settings: &Settings) -> Result<Manifests, NotRendered> {
    render(&gateway(yaml), None, settings)
}

fn minimal(metadata: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: waypoint, namespace: shop{metadata}}}, \
         spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]{spec}}}}}"
    )
}

/// As upstream's own test of its template, and what its template can be told.
const EVERYTHING: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: namespace
  namespace: default
  uid: 0b0e4e5c-6a3c-4d0e-9d0e-0a8a7c1f5a11
  labels: {istio.io/waypoint-for: all, topology.istio.io/network: network-1}
  annotations:
    gateway.istio.io/name-override: front
    gateway.istio.io/service-account: doorman
    networking.istio.io/service-type: LoadBalancer
    sidecar.istio.io/logLevel: warning
    kubectl.kubernetes.io/last-applied-configuration: '{}'
    team: edge
spec:
  gatewayClassName: lateen-waypoint
  addresses: [{value: 192.0.2.7}]
  listeners:
  - {name: mesh.inner, port: 15008, protocol: HBONE}
  - {name: mesh-inner, port: 15088, protocol: istio.io/PROXY}
  - {name: again, port: 15088, protocol: istio.io/PROXY, hostname: other.example.org}
";

/// `LATEEN_UPDATE=1` rewrites the golden files; read the difference before committing it.
#[test]
fn manifests_are_those_of_the_golden_files() {
    let two_networks = Settings {
        network: "network-2".into(),
        image_pull_policy: Some("Always".into()),
        ..Settings::default()
    };
    for (name, yaml, settings) in [
        ("waypoint", minimal("", ""), Settings::default()),
        ("waypoint-with-everything", EVERYTHING.to_owned(), two_networks),
    ] {
        let manifests = rendered(&yaml, &settings).expect("it is a waypoint");
        let text = [
            serde_saphyr::to_string(&manifests.service_account),
            serde_saphyr::to_string(&manifests.deployment),
            serde_saphyr::to_string(&manifests.service),
        ]
        .map(|yaml| yaml.expect("it can be written"))
        .join("---\n");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.yaml"));
        if std::env::var_os("LATEEN_UPDATE").is_some() {
            fs::write(&path, &text).expect("the golden file can be written");
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, golden, "{} differs", path.display());
        // What is applied is read again, and means the same.
        let read = controlplane_k8s_api::parse(&text);
        assert_eq!(read.len(), 3, "{read:?}");
        for object in read {
            let object = object.expect("it is well-formed");
            assert_eq!(object.warnings, []);
        }
    }
}

#[test]
fn a_gateway_that_somebody_else_makes_becomes_nothing() {
    let of_class = |class: &str| minimal("", "").replace("istio-waypoint", class);
    let settings = Settings::default();
    for class in ["istio", "istio-east-west", "mine"] {
        let refused = rendered(&of_class(class), &settings);
        assert_eq!(refused, Err(NotRendered::ForeignClass(class.into())));
    }
    let mine = gateway(&of_class("mine"));
    for (controller, ours) in [
        ("istio.io/mesh-controller", true),
        ("lateen.dev/mesh-controller", true),
        ("example.org/other", false),
    ] {
        let made = render(&mine, Some(&class(controller)), &settings);
        assert_eq!(made.is_ok(), ours, "{controller}");
    }
    for addresses in [
        "{type: Hostname, value: wp.example.org}",
        "{value: 192.0.2.1}, {value: 192.0.2.2}",
    ] {
        let spec = format!(", addresses: [{addresses}]");
        assert_eq!(
            rendered(&minimal("", &spec), &settings),
            Err(NotRendered::Unmanaged),
            "{addresses}"
        );
    }
}

#[test]
fn what_cannot_be_done_is_said_by_field() {
    let settings = Settings::default();
    let said = |metadata: &str, spec: &str| {
        rendered(&minimal(metadata, spec), &settings)
            .expect_err("it cannot be done")
            .to_string()
    };
    let parameters = ", infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: options}}";
    assert_eq!(
        said("", parameters),
        "spec.infrastructure.parametersRef: ConfigMap options: settings by reference are read in a cluster only"
    );
    let kind = ", annotations: {networking.istio.io/service-type: Anycast}";
    assert_eq!(
        said(kind, ""),
        "metadata.annotations[networking.istio.io/service-type]: \"Anycast\" is none of ClusterIP, LoadBalancer, NodePort"
    );
    let level = ", annotations: {sidecar.istio.io/logLevel: chatty}";
    assert!(said(level, "").starts_with("metadata.annotations[sidecar.istio.io/logLevel]: \"chatty\""));
}

#[test]
fn infrastructure_replaces_what_the_gateway_itself_carries() {
    let yaml = minimal(
        ", labels: {of: gateway}, annotations: {of: gateway}",
        ", infrastructure: {labels: {of: infrastructure, gateway.networking.k8s.io/gateway-name: stolen}, annotations: {also: this}}",
    );
    let manifests = rendered(&yaml, &Settings::default()).expect("it is a waypoint");
    for meta in [
        &manifests.service_account.metadata,
        &manifests.deployment.metadata,
        &manifests.service.metadata,
        &manifests.deployment.spec.template.metadata,
    ] {
        assert_eq!(meta.labels["of"], "infrastructure");
        assert_eq!(meta.labels["gateway.networking.k8s.io/gateway-name"], "waypoint");
        assert_eq!(meta.annotations.get("of"), None);
        assert_eq!(meta.annotations["also"], "this");
    }
    assert_eq!(manifests.name(), NamespacedName::new("shop", "waypoint"));
}
