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
        image_pull_secrets: vec!["registry".into(), "mirror".into()],
        user: PodUser::Assigned,
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

#[test]
fn what_nothing_can_be_called_is_said_of_the_gateway_and_never_sent_to_an_api_server() {
    let why = |yaml: &str| {
        let why = rendered(yaml, &Settings::default()).expect_err("it has a name that nothing can have");
        why.to_string()
    };
    for bad in [
        "front\\nkind: Secret {{ .Values.x }}",
        "--privileged",
        "Front",
        "a.b",
        "9",
    ] {
        let told = why(&minimal(
            &format!(", annotations: {{gateway.istio.io/name-override: \"{bad}\"}}"),
            "",
        ));
        assert!(
            told.starts_with("metadata.annotations[gateway.istio.io/name-override]: \"")
                && !told.contains('\n'),
            "{told}"
        );
    }
    let told = why(&minimal(
        ", annotations: {gateway.istio.io/service-account: \"a b\"}",
        "",
    ));
    assert!(
        told.starts_with("metadata.annotations[gateway.istio.io/service-account]: \"a b\" is not"),
        "{told}"
    );
    let called = |name: &str| minimal("", "").replace("name: waypoint,", &format!("name: {name},"));
    for name in ["a".repeat(253), "a".repeat(64), "two.parts".to_owned()] {
        assert!(why(&called(&name)).starts_with("metadata.name: "), "{name}");
    }
    assert!(why(&called("two.parts")).contains("gateway.istio.io/name-override may say"));
    let over = minimal(", annotations: {gateway.istio.io/name-override: two}", "");
    let over = over.replace("name: waypoint,", "name: two.parts,");
    assert!(rendered(&over, &Settings::default()).is_ok());
    assert!(rendered(&called(&"a".repeat(63)), &Settings::default()).is_ok());
}

/// Annotations are anybody's text, and go over to what a Gateway becomes: as data, in whichever form that is written down.
#[test]
fn what_annotations_say_stays_within_them() {
    let hostile =
        "a\n---\nkind: Secret\n'\"{{ .Values.x }}$(POD_NAME) `id` #\u{0}\u{2028}: - &a *a !!x %YAML\r\n\t";
    let quoted = serde_json::to_string(hostile).expect("a text");
    let yaml = minimal(&format!(", annotations: {{example.com/a: {quoted}}}"), "");
    let manifests = rendered(&yaml, &Settings::default()).expect("it is a waypoint");
    let (account, deployment, service) = (
        serde_json::json!(manifests.service_account),
        serde_json::json!(manifests.deployment),
        serde_json::json!(manifests.service),
    );
    assert_eq!(service["metadata"]["annotations"]["example.com/a"], hostile);
    let template = &deployment["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"]["example.com/a"], hostile);
    // A container's own texts are expanded (`$(NAME)`) where it starts, so none of them is anybody's.
    let container = template["spec"]["containers"][0].to_string();
    assert!(!container.contains("$("), "{container}");
    for (object, written) in [
        (account, serde_saphyr::to_string(&manifests.service_account)),
        (deployment, serde_saphyr::to_string(&manifests.deployment)),
        (service, serde_saphyr::to_string(&manifests.service)),
    ] {
        let written = written.expect("it can be written");
        assert!(!written.contains("\n---"), "{written}");
        let read: serde_json::Value = serde_saphyr::from_str(&written).expect("it is YAML");
        assert_eq!(read, object);
    }
}
