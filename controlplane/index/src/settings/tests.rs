use controlplane_k8s_api::Kind;

use super::*;
use crate::fixture::{Mesh, pod};
use crate::status::ObjectStatus;

/// An object with these labels and annotations, alone in a mesh.
fn mesh(kind: &str, labels: &str, annotations: &str) -> Mesh {
    let metadata = format!("labels: {{{labels}}}, annotations: {{{annotations}}}");
    let of = |api: &str, spec: &str| {
        format!(
            "{{apiVersion: {api}, kind: {kind}, metadata: {{name: a, namespace: shop, {metadata}}}, spec: {spec}}}"
        )
    };
    let yaml = match kind {
        "Namespace" => format!("{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, {metadata}}}}}"),
        "Pod" => pod("shop/a", &metadata, ""),
        "Service" => of("v1", "{clusterIP: 10.96.0.1, ports: [{port: 80}]}"),
        "ServiceEntry" => of(
            "networking.istio.io/v1",
            "{hosts: [a.example.com], ports: [{number: 80, name: http}], resolution: STATIC}",
        ),
        "WorkloadEntry" => of("networking.istio.io/v1", "{address: 192.0.2.7}"),
        "Gateway" => of(
            "gateway.networking.k8s.io/v1",
            "{gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}",
        ),
        other => panic!("{other}"),
    };
    Mesh::of(&yaml)
}

fn told(mesh: &Mesh) -> Option<StatusCondition> {
    let mut statuses = mesh.index.statuses().into_iter();
    let told = |status: ObjectStatus| status.condition(ConditionType::SettingsUnderstood).cloned();
    statuses.find_map(told)
}

/// Each label and annotation that steers the mesh, where it stands, a value that nobody knows, and what it is taken for.
#[test]
fn what_steers_the_mesh_and_is_not_known_is_told_where_it_stands() {
    let (mode, network) = ("istio.io/dataplane-mode", "istio.io/use-waypoint-namespace");
    let distribution = "networking.istio.io/traffic-distribution";
    for (kind, place, name, value, says) in [
        (
            "Namespace",
            "labels",
            mode,
            "Ambient",
            "\"Ambient\" is none of ambient, none: its pods are not in the mesh",
        ),
        (
            "Namespace",
            "labels",
            USE_WAYPOINT,
            "",
            "is empty: it asks for no waypoint",
        ),
        (
            "Namespace",
            "labels",
            INGRESS,
            "yes",
            "\"yes\" is neither true nor false: gateways for traffic from outside go past",
        ),
        (
            "Namespace",
            "annotations",
            ONLY,
            "yes",
            "\"yes\" is none of true, false: nobody but the waypoint is let in",
        ),
        (
            "Namespace",
            "annotations",
            FAIL_OPEN,
            "yes",
            "\"yes\" is none of true, false: connections are refused",
        ),
        (
            "Namespace",
            "annotations",
            distribution,
            "near",
            "\"near\" is none of PreferClose, PreferSameZone, PreferSameNode",
        ),
        (
            "Pod",
            "labels",
            mode,
            "sidecar",
            "\"sidecar\" is none of ambient, none: the Namespace's label counts",
        ),
        (
            "Pod",
            "labels",
            "networking.istio.io/tunnel",
            "h2",
            "\"h2\" is not http: it does not speak HBONE itself",
        ),
        (
            "Pod",
            "annotations",
            "ambient.istio.io/bypass-inbound-capture",
            "on",
            "\"on\" is neither true nor false: what comes in is captured",
        ),
        (
            "Pod",
            "annotations",
            "ambient.istio.io/dns-capture",
            "",
            "\"\" is neither true nor false: the node's setting counts",
        ),
        ("Pod", "labels", USE_WAYPOINT, "", "is empty"),
        ("Service", "labels", USE_WAYPOINT, "", "is empty"),
        (
            "Service",
            "labels",
            network,
            "",
            "is empty: the waypoint of the own namespace is meant",
        ),
        (
            "Service",
            "labels",
            INGRESS,
            "on",
            "\"on\" is neither true nor false",
        ),
        (
            "Service",
            "annotations",
            FAIL_OPEN,
            "True",
            "\"True\" is none of true, false",
        ),
        (
            "Service",
            "annotations",
            distribution,
            "a\nkind: {{ .b }}",
            "\"a\\nkind: {{ .b }}\" is none of PreferClose",
        ),
        ("ServiceEntry", "labels", USE_WAYPOINT, "", "is empty"),
        (
            "ServiceEntry",
            "labels",
            "networking.istio.io/enable-autoallocate-ip",
            "no",
            "\"no\" is none of true, false: its hosts are given addresses",
        ),
        (
            "ServiceEntry",
            "annotations",
            "istio.io/connect-strategy",
            "race",
            "\"race\" is none of DEFAULT",
        ),
        (
            "ServiceEntry",
            "annotations",
            distribution,
            "near",
            "\"near\" is none of PreferClose",
        ),
        ("WorkloadEntry", "labels", USE_WAYPOINT, "", "is empty"),
        (
            "WorkloadEntry",
            "labels",
            "networking.istio.io/tunnel",
            "h2",
            "\"h2\" is not http",
        ),
        (
            "Gateway",
            "labels",
            "istio.io/waypoint-for",
            "pods",
            "\"pods\" is none of service, workload, all and none: it takes no traffic",
        ),
        (
            "Gateway",
            "annotations",
            "ambient.istio.io/waypoint-inbound-binding",
            "TCP",
            "\"TCP\" is none of PROXY",
        ),
    ] {
        let field = format!("{name}: {value:?}");
        let (labels, annotations) = match place {
            "labels" => (field.as_str(), ""),
            _ => ("", field.as_str()),
        };
        let mesh = mesh(kind, labels, annotations);
        let told = told(&mesh).unwrap_or_else(|| panic!("{kind}: nothing is said of {field}"));
        assert_eq!(
            (told.holds, told.reason),
            (false, StatusReason::UnknownValue),
            "{field}"
        );
        let says = format!("metadata.{place}[{name}]: {says}");
        assert!(told.message.starts_with(&says), "{}\n{says}", told.message);
        assert!(!told.message.contains('\n'), "{}", told.message);
        // The log and `analyze` say each thing once.
        let conditions = mesh.index.conditions().into_iter();
        let said = conditions.filter(|(_, c)| c.reason == ConditionReason::UnknownValue);
        assert_eq!(said.count(), 1, "{field}");
    }
}

#[test]
fn nothing_is_said_of_what_is_known() {
    for (kind, labels, annotations) in [
        (
            "Namespace",
            "istio.io/dataplane-mode: none, istio.io/use-waypoint: wp",
            "lateen.dev/waypoint-only: 'false'",
        ),
        (
            "Pod",
            "istio.io/dataplane-mode: ambient",
            "ambient.istio.io/bypass-inbound-capture: T, ambient.istio.io/dns-capture: '0'",
        ),
        (
            "Service",
            "istio.io/use-waypoint: none, istio.io/ingress-use-waypoint: T",
            "networking.istio.io/traffic-distribution: preferclose",
        ),
        (
            "ServiceEntry",
            "networking.istio.io/enable-autoallocate-ip: 'False'",
            "istio.io/connect-strategy: race_first_tcp_connect",
        ),
        ("WorkloadEntry", "networking.istio.io/tunnel: http", ""),
        (
            "Gateway",
            "istio.io/waypoint-for: all",
            "ambient.istio.io/waypoint-inbound-binding: NONE",
        ),
    ] {
        let mesh = mesh(kind, labels, annotations);
        assert_eq!(told(&mesh), None, "{kind} {labels} {annotations}");
    }
}

/// What a Namespace's annotation says to its objects is told of each of them, too.
#[test]
fn what_a_namespace_says_of_distribution_is_told_of_its_objects() {
    let mut mesh = mesh("ServiceEntry", "", "");
    mesh.set("{apiVersion: v1, kind: Namespace, metadata: {name: shop, annotations: {networking.istio.io/traffic-distribution: near}}}");
    mesh.set("{apiVersion: v1, kind: Service, metadata: {name: b, namespace: shop}, spec: {clusterIP: 10.96.0.2, ports: [{port: 80}]}}");
    for kind in [Kind::ServiceEntry, Kind::Service, Kind::Namespace] {
        let mut statuses = mesh.index.statuses().into_iter();
        let status = statuses
            .find(|status| status.object.kind == kind)
            .expect("it has a status");
        let told = status.condition(ConditionType::SettingsUnderstood);
        assert!(
            told.is_some_and(|told| told.message.contains("\"near\"")),
            "{kind:?}: {told:?}"
        );
    }
}

/// Both words that Go knows, and so upstream: a pod is captured the same way with files and on Kubernetes.
#[test]
fn words_for_true_are_those_that_upstream_reads() {
    for (text, bypassed) in [
        ("1", true),
        ("TRUE", true),
        ("t", true),
        ("True", true),
        ("0", false),
        ("yes", false),
    ] {
        let mesh = mesh(
            "Pod",
            "",
            &format!("ambient.istio.io/bypass-inbound-capture: '{text}'"),
        );
        let assignment = mesh.assignments.values().next().expect("it has a node");
        assert_eq!(assignment.options.bypass_inbound_capture, bypassed, "{text}");
    }
}
