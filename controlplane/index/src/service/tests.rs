use super::*;
use crate::fixture::{Mesh, pod, registered};

fn service(metadata: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: shop, {metadata}}}, spec: {{ports: [{{port: 80}}], {spec}}}}}\n---\n"
    )
}

fn namespace(annotations: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, annotations: {{{annotations}}}}}}}\n---\n"
    )
}

fn derived(mesh: &Mesh) -> &MeshService {
    mesh.service("shop/web.shop.svc.cluster.local")
}

const ZONE: [Scope; 3] = [Scope::Network, Scope::Region, Scope::Zone];
const NODE: [Scope; 5] = [
    Scope::Network,
    Scope::Region,
    Scope::Zone,
    Scope::Subzone,
    Scope::Node,
];
const ANNOTATION: &str = "networking.istio.io/traffic-distribution: ";

#[test]
fn field_counts_before_annotation_before_namespace() {
    let any: &[Scope] = &[];
    for (field, own, around, expected) in [
        ("", "", "", any),
        ("", "", "PreferClose", &ZONE),
        ("", "preferSameNode", "PreferClose", &NODE),
        ("PreferSameZone", "preferSameNode", "Any", &ZONE),
        ("PreferSameNode", "", "", &NODE),
        ("Nonsense", "preferSameNode", "PreferClose", any),
    ] {
        let line = |key: &str, value: &str| {
            if value.is_empty() {
                String::new()
            } else {
                format!("{key}{value}")
            }
        };
        let mesh = Mesh::of(&format!(
            "{}{}",
            namespace(&line(ANNOTATION, around)),
            service(
                &format!("annotations: {{{}}}", line(ANNOTATION, own)),
                &line("trafficDistribution: ", field)
            )
        ));
        let lb = &derived(&mesh).load_balancing;
        assert_eq!(lb.preference, expected, "{field} {own} {around}");
        assert_eq!(
            lb.mode,
            if expected.is_empty() {
                Mode::Any
            } else {
                Mode::Failover
            }
        );
    }
}

#[test]
fn local_traffic_policy_counts_before_any_distribution() {
    let mesh = Mesh::of(&service(
        "",
        "internalTrafficPolicy: Local, trafficDistribution: PreferClose",
    ));
    let lb = &derived(&mesh).load_balancing;
    assert_eq!(
        (lb.preference.as_slice(), lb.mode),
        ([Scope::Node].as_slice(), Mode::Strict)
    );
}

#[test]
fn namespace_annotation_reaches_its_services_and_no_label_does() {
    let mut mesh = Mesh::of(&service("", ""));
    mesh.set(&namespace(&format!("{ANNOTATION}PreferClose")));
    assert_eq!(derived(&mesh).load_balancing.preference, ZONE);
    mesh.set(&namespace(&format!("{ANNOTATION}PreferClose, other: x")));
    assert_eq!(mesh.told, 0);
}

#[test]
fn families_follow_from_the_field_else_from_the_addresses() {
    for (spec, expected) in [
        ("clusterIP: 10.96.0.1", IpFamilies::V4Only),
        ("clusterIPs: [\"fd00::1\"]", IpFamilies::V6Only),
        ("clusterIPs: [10.96.0.1, \"fd00::1\"]", IpFamilies::Dual),
        ("clusterIP: None", IpFamilies::Automatic),
        ("clusterIP: None, ipFamilies: [IPv6]", IpFamilies::V6Only),
        ("clusterIP: 10.96.0.1, ipFamilies: [IPv4, IPv6]", IpFamilies::Dual),
    ] {
        assert_eq!(
            derived(&Mesh::of(&service("", spec))).ip_families,
            expected,
            "{spec}"
        );
    }
}

#[test]
fn aliases_are_not_sent_and_a_missing_address_is_told() {
    let mut mesh = Mesh::of(&service("", "type: ExternalName"));
    assert!(mesh.addresses.is_empty());
    assert_eq!(mesh.reasons("shop/web"), [ConditionReason::NotForNodeProxy]);
    mesh.set(&service("", ""));
    assert!(derived(&mesh).addresses.is_empty());
    assert_eq!(mesh.reasons("shop/web"), [ConditionReason::NoAddress]);
    mesh.set(&service("", "clusterIP: None"));
    assert!(mesh.reasons("shop/web").is_empty());
    mesh.set(&service("", "type: ExternalName"));
    assert!(mesh.addresses.is_empty());
}

#[test]
fn endpoints_that_are_not_ready_are_used_only_where_asked_for() {
    let mesh = Mesh::of(&service("", "publishNotReadyAddresses: true"));
    assert_eq!(derived(&mesh).load_balancing.health, HealthPolicy::AllowAll);
    let mesh = Mesh::of(&service("", ""));
    assert_eq!(derived(&mesh).load_balancing.health, HealthPolicy::OnlyHealthy);
}

/// As many ports as an API server takes of one object, and more: all of them are told, of the service and of what serves it.
#[test]
fn a_service_may_have_ten_thousand_ports() {
    let ports: Vec<String> = (1..=10_000)
        .map(|port| format!("{{name: p{port}, port: {port}}}"))
        .collect();
    let spec = format!(
        "clusterIP: 10.96.0.1, selector: {{app: web}}, ports: [{}]",
        ports.join(", ")
    );
    let mut mesh = Mesh::of(
        &(service("", &spec).replacen("ports: [{port: 80}], ", "", 1)
            + &pod("shop/web", "labels: {app: web}", "")),
    );
    mesh.register("shop/web", registered("10.0.0.1"));
    assert_eq!(derived(&mesh).ports.iter().count(), 10_000);
    let served: Vec<usize> = mesh
        .pod("shop/web")
        .services
        .values()
        .map(|ports| ports.iter().count())
        .collect();
    assert_eq!(served, [10_000]);
}
