use controlplane_k8s_api::Kind;
use controlplane_k8s_api::gateway::LabelSelector;
use mesh_model::service::Scope;
use mesh_model::workload::TunnelProtocol;
use mesh_model::{Address, Workload};

use super::*;
use crate::config::{ServiceEntryVisibility, VisibilityRule};
use crate::fixture::{Mesh, ip, pod, registered};

fn entry(name: &str, metadata: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').expect("<namespace>/<name>");
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {name}, namespace: {namespace}, {metadata}}}, spec: {{{spec}}}}}\n---\n"
    )
}

const PORTS: &str = "ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS, targetPort: 8443}]";

fn of(resolution: &str, more: &str) -> String {
    entry(
        "shop/ext",
        "",
        &format!("hosts: [a.example.com], {PORTS}, resolution: {resolution}, {more}"),
    )
}

fn service<'a>(mesh: &'a Mesh, name: &str) -> Option<&'a MeshService> {
    match mesh.addresses.get(name)? {
        Address::Service(service) => Some(service),
        Address::Workload(_) => panic!("{name} is a workload"),
    }
}

fn workloads(mesh: &Mesh) -> Vec<&Workload> {
    let workloads = mesh.addresses.values().filter_map(|a| match a {
        Address::Workload(workload) => Some(workload),
        Address::Service(_) => None,
    });
    workloads.collect()
}

fn reason(mesh: &Mesh, name: &str, kind: ConditionType) -> Option<StatusReason> {
    let mut all = mesh.index.statuses().into_iter();
    let status = all.find(|s| s.object.kind == Kind::ServiceEntry && s.object.name == name)?;
    status.condition(kind).map(|c| c.reason)
}

#[test]
fn each_resolution_makes_its_own_endpoints() {
    let endpoints = "endpoints: [{address: 192.0.2.1}]";
    let named = "endpoints: [{address: b.example.com}]";
    for (resolution, more, addresses, hostname) in [
        ("STATIC", endpoints, Some("192.0.2.1"), ""),
        ("DNS", "", None, "a.example.com"),
        ("DNS", named, None, "b.example.com"),
        ("DNS", endpoints, Some("192.0.2.1"), ""),
        ("DNS_ROUND_ROBIN", "", None, "a.example.com"),
    ] {
        let mesh = Mesh::of(&of(resolution, more));
        let [workload] = workloads(&mesh)[..] else {
            panic!("{resolution} {more}: {:?}", mesh.addresses);
        };
        assert_eq!(
            workload.addresses,
            addresses.map(ip).into_iter().collect::<Vec<_>>()
        );
        assert_eq!(workload.hostname.as_str(), hostname);
        assert_eq!(workload.tunnel_protocol, TunnelProtocol::None);
        let ports = workload.services.values().next().expect("it serves the host");
        assert_eq!(ports.get(443).and_then(|p| p.target_port), Some(8443));
        let lb = &service(&mesh, "shop/a.example.com").unwrap().load_balancing;
        assert_eq!(*lb, LoadBalancing::default());
    }
    for more in ["addresses: [10.9.0.0/16]", ""] {
        let mesh = Mesh::of(&of("NONE", more));
        assert!(workloads(&mesh).is_empty());
        let service = service(&mesh, "shop/a.example.com").unwrap();
        assert_eq!(service.load_balancing.mode, Mode::Passthrough);
        assert_eq!(
            service.addresses.len(),
            usize::from(!more.is_empty()),
            "none is given"
        );
    }
}

#[test]
fn wildcards_are_a_waypoints_business() {
    let spec = "hosts: [\"*.example.com\"], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DYNAMIC_DNS";
    let gateway = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: egress, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
status: {addresses: [{value: 10.96.0.9}]}
---
";
    let mut mesh = Mesh::of(&entry(
        "shop/ext",
        "labels: {istio.io/use-waypoint: egress}",
        spec,
    ));
    let missing = Some(StatusReason::NoWaypointForWildcardService);
    assert_eq!(reason(&mesh, "ext", ConditionType::WaypointMissing), missing);
    mesh.set(gateway);
    assert_eq!(reason(&mesh, "ext", ConditionType::WaypointMissing), None);
    assert_eq!(
        reason(&mesh, "ext", ConditionType::WaypointBound),
        Some(StatusReason::WaypointAccepted)
    );
    let service = service(&mesh, "shop/*.example.com").unwrap();
    assert_eq!(
        service.addresses.len(),
        2,
        "it is reached at addresses of its own"
    );
    assert!(service.waypoint.is_some());
    assert_eq!(workloads(&mesh)[0].hostname, "*.example.com");
    assert!(workloads(&mesh)[0].waypoint.is_none());
    let of_selected = spec.replace("DYNAMIC_DNS", "STATIC");
    let mesh = Mesh::of(&entry("shop/ext", "", &of_selected));
    let unreachable = self::service(&mesh, "shop/*.example.com").unwrap();
    assert!(unreachable.addresses.is_empty(), "nobody could resolve it");
}

#[test]
fn hosts_without_addresses_are_given_some() {
    let given = |mesh: &Mesh| service(mesh, "shop/a.example.com").unwrap().addresses.clone();
    let mut mesh = Mesh::of(&of("DNS", ""));
    let both = given(&mesh);
    assert_eq!(both.len(), 2);
    let status = mesh
        .index
        .statuses()
        .into_iter()
        .find(|s| s.object.name == "ext")
        .unwrap();
    assert_eq!(status.addresses.len(), 2);
    mesh.set(&of("DNS", "addresses: [10.9.9.9]"));
    assert_eq!(given(&mesh), [VirtualAddress::single("", ip("10.9.9.9"))]);
    mesh.set(&of("DNS", ""));
    assert_eq!(given(&mesh), both);
    let opted_out = "labels: {networking.istio.io/enable-autoallocate-ip: \"False\"}";
    mesh.set(&entry(
        "shop/ext",
        opted_out,
        &format!("hosts: [a.example.com], {PORTS}, resolution: DNS"),
    ));
    assert!(given(&mesh).is_empty());
    let recorded = of("DNS", "").replace(
        "}}\n---",
        "}, status: {addresses: [{host: a.example.com, value: 240.240.7.7}]}}\n---",
    );
    mesh.set(&recorded);
    assert_eq!(given(&mesh), [VirtualAddress::single("", ip("240.240.7.7"))]);
}

#[test]
fn a_service_has_its_host_before_every_entry_of_its_namespace() {
    let host = "a.shop.svc.cluster.local";
    let of_host = |name: &str| {
        entry(
            name,
            "",
            &format!(
                "hosts: [{host}, b.example.com], {PORTS}, resolution: STATIC, endpoints: [{{address: 192.0.2.1}}]"
            ),
        )
    };
    let kubernetes = "{apiVersion: v1, kind: Service, metadata: {name: a, namespace: shop}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}}\n---\n";
    let mut mesh = Mesh::of(&(of_host("shop/ext") + &of_host("bank/ext")));
    let of_shop = format!("shop/{host}");
    assert_eq!(service(&mesh, &of_shop).unwrap().name, "ext");
    mesh.set(kubernetes);
    assert_eq!(service(&mesh, &of_shop).unwrap().name, "a");
    assert!(
        !service(&mesh, &format!("bank/{host}")).unwrap().canonical,
        "others mean the Service"
    );
    assert_eq!(mesh.reasons("shop/ext"), [ConditionReason::HostTaken]);
    assert_eq!(
        reason(&mesh, "ext", ConditionType::HostsAccepted),
        Some(StatusReason::Accepted),
        "of bank"
    );
    let workload = workloads(&mesh)
        .into_iter()
        .find(|w| w.namespace() == "shop")
        .unwrap();
    let served: Vec<String> = workload.services.keys().map(ToString::to_string).collect();
    assert_eq!(served, ["shop/b.example.com"], "its endpoint serves what it has");
    mesh.remove(Kind::Service, "shop/a");
    assert_eq!(service(&mesh, &of_shop).unwrap().name, "ext");
}

#[test]
fn the_oldest_entry_has_a_host_and_the_others_endpoints_are_left_out() {
    let made = |name: &str, year: u16| {
        let created = format!("creationTimestamp: \"{year}-01-01T00:00:00Z\"");
        entry(
            name,
            &created,
            &format!("hosts: [a.example.com], {PORTS}, resolution: DNS"),
        )
    };
    let mut mesh = Mesh::of(&(made("shop/young", 2026) + &made("bank/old", 2024)));
    assert!(!service(&mesh, "shop/a.example.com").unwrap().canonical);
    assert!(service(&mesh, "bank/a.example.com").unwrap().canonical);
    mesh.set(&made("shop/older", 2025));
    assert_eq!(service(&mesh, "shop/a.example.com").unwrap().name, "older");
    assert_eq!(
        reason(&mesh, "young", ConditionType::HostsAccepted),
        Some(StatusReason::HostTaken)
    );
    assert_eq!(workloads(&mesh).len(), 2);
    mesh.remove(Kind::ServiceEntry, "bank/old");
    assert!(service(&mesh, "shop/a.example.com").unwrap().canonical);
    mesh.remove(Kind::ServiceEntry, "shop/older");
    assert_eq!(service(&mesh, "shop/a.example.com").unwrap().name, "young");
    assert_eq!(
        reason(&mesh, "young", ConditionType::HostsAccepted),
        Some(StatusReason::Accepted)
    );
}

#[test]
fn the_meshs_configuration_says_who_may_know() {
    let mesh_config = |visibility: &str| {
        format!(
            "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh, namespace: istio-system}}, spec: {{serviceEntryVisibility: {{defaultVisibility: {visibility}, policies: [{{visibility: PUBLIC, matchingRules: [{{namespaceSelector: {{matchLabels: {{team: a}}}}}}]}}]}}}}}}\n---\n"
        )
    };
    let namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: a}}}\n---\n";
    let mut mesh = Mesh::of(&(mesh_config("NAMESPACE") + &of("DNS", "")));
    let visibility = |mesh: &Mesh| service(mesh, "shop/a.example.com").map(|s| s.visibility);
    assert_eq!(visibility(&mesh), Some(Visibility::Namespace));
    mesh.set(&mesh_config("NONE"));
    assert_eq!(visibility(&mesh), None);
    mesh.set(namespace);
    assert_eq!(visibility(&mesh), Some(Visibility::Public));
    mesh.remove(Kind::MeshConfig, "istio-system/mesh");
    mesh.set(&namespace.replace("team: a", ""));
    assert_eq!(visibility(&mesh), Some(Visibility::Public));
}

#[test]
fn export_to_and_the_mesh_say_who_may_know() {
    let rule = |labels: &[(&str, &str)], visibility| VisibilityRule {
        namespaces: vec![LabelSelector {
            match_labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..LabelSelector::default()
        }],
        visibility,
    };
    let hidden = vec![
        rule(&[("team", "a")], ServiceEntryVisibility::Public),
        rule(&[("team", "b")], ServiceEntryVisibility::None),
        rule(&[], ServiceEntryVisibility::Namespace),
    ];
    for (rules, label, export_to, expected) in [
        (vec![], "", "", Some(Visibility::Public)),
        (vec![], "", "exportTo: [\"*\"]", Some(Visibility::Public)),
        (vec![], "", "exportTo: [\".\"]", Some(Visibility::Namespace)),
        (vec![], "", "exportTo: [shop]", Some(Visibility::Namespace)),
        (vec![], "", "exportTo: [\"~\"]", None),
        (vec![], "", "exportTo: [\".\", bank]", Some(Visibility::Public)),
        (hidden.clone(), "team: a", "", Some(Visibility::Public)),
        (
            hidden.clone(),
            "team: a",
            "exportTo: [\".\"]",
            Some(Visibility::Namespace),
        ),
        (hidden.clone(), "team: b", "exportTo: [\"*\"]", None),
        (
            hidden.clone(),
            "team: c",
            "exportTo: [\"*\"]",
            Some(Visibility::Namespace),
        ),
        (
            hidden.clone(),
            "team: c",
            "exportTo: [bank]",
            Some(Visibility::Namespace),
        ),
    ] {
        let config = MeshConfig {
            service_entry_visibility: rules,
            ..MeshConfig::default()
        };
        let namespace = format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {{{label}}}}}}}\n---\n"
        );
        let mesh = Mesh::with(config, &(namespace + &of("DNS", export_to)));
        let visibility = service(&mesh, "shop/a.example.com").map(|s| s.visibility);
        assert_eq!(visibility, expected, "{label} {export_to}");
        assert_eq!(workloads(&mesh).len(), usize::from(expected.is_some()));
    }
    let mesh = Mesh::of(&of("DNS", "exportTo: [bank]"));
    assert_eq!(mesh.reasons("shop/ext"), [ConditionReason::Unsupported]);
}

#[test]
fn what_others_may_not_know_of_is_not_what_they_mean() {
    let hidden = entry(
        "shop/ext",
        "creationTimestamp: \"2024-01-01T00:00:00Z\"",
        &format!("hosts: [a.example.com], {PORTS}, resolution: DNS, exportTo: [\".\"]"),
    );
    let open = entry(
        "bank/ext",
        "",
        &format!("hosts: [a.example.com], {PORTS}, resolution: DNS"),
    );
    let mesh = Mesh::of(&(hidden + &open));
    assert!(!service(&mesh, "shop/a.example.com").unwrap().canonical);
    assert!(service(&mesh, "bank/a.example.com").unwrap().canonical);
}

#[test]
fn what_is_hidden_has_no_waypoint_in_another_namespace() {
    let gateway = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: egress, namespace: infra}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}]}
status: {addresses: [{value: 10.96.0.9}]}
---
";
    let labels = "labels: {istio.io/use-waypoint: egress, istio.io/use-waypoint-namespace: infra}";
    let spec = |export_to: &str| {
        format!("hosts: [a.example.com], {PORTS}, resolution: DNS, exportTo: [{export_to}]")
    };
    for (export_to, expected) in [
        ("\"*\"", StatusReason::WaypointAccepted),
        ("\".\"", StatusReason::CrossNamespaceWaypointForbidden),
    ] {
        let mesh = Mesh::of(&(gateway.to_owned() + &entry("shop/ext", labels, &spec(export_to))));
        assert_eq!(reason(&mesh, "ext", ConditionType::WaypointBound), Some(expected));
    }
}

#[test]
fn pods_and_workload_entries_are_selected_by_label() {
    let spec = "hosts: [a.example.com, b.example.com], ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: other, protocol: HTTP, targetPort: 8081}], resolution: STATIC, location: MESH_INTERNAL, workloadSelector: {labels: {app: a}}";
    let vm = "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: vm, namespace: shop}, spec: {address: 10.6.0.1, labels: {app: a}, ports: {other: 9999}}}\n---\n";
    let containers = "containers: [{ports: [{name: http, containerPort: 8000}]}]";
    let mut mesh = Mesh::of(&format!(
        "{}{vm}{}{}",
        entry("shop/ext", "", spec),
        pod("shop/p", "labels: {app: a}", containers),
        pod("bank/p", "labels: {app: a}", containers)
    ));
    mesh.register("shop/p", registered("10.0.0.1"));
    mesh.register("bank/p", registered("10.0.0.2"));
    let targets = |workload: &Workload| -> Vec<(String, Vec<u16>)> {
        let of_host = |(host, ports): (&NamespacedHostname, &mesh_model::Ports)| {
            (
                host.to_string(),
                ports.iter().filter_map(|p| p.target_port).collect(),
            )
        };
        workload.services.iter().map(of_host).collect()
    };
    let both = |ports: [u16; 2]| {
        vec![
            ("shop/a.example.com".to_owned(), ports.to_vec()),
            ("shop/b.example.com".to_owned(), ports.to_vec()),
        ]
    };
    assert_eq!(targets(mesh.pod("shop/p")), both([8000, 8081]));
    assert_eq!(targets(mesh.pod("bank/p")), []);
    let vm = workloads(&mesh).into_iter().find(|w| w.name == "vm").unwrap();
    assert_eq!(targets(vm), both([80, 9999]));
    mesh.set(&entry("shop/ext", "", &spec.replace("app: a", "app: b")));
    assert_eq!(targets(mesh.pod("shop/p")), []);
    mesh.set(&entry("shop/ext", "", &spec.replace("{app: a}", "{}")));
    assert_eq!(targets(mesh.pod("shop/p")), [], "no label selects nobody");
}

#[test]
fn endpoints_are_what_they_say_each_for_itself() {
    let endpoints = "endpoints: [{address: 192.0.2.1, network: far, labels: {app: one, networking.istio.io/tunnel: http}, serviceAccount: acc}, {address: 192.0.2.2}, {address: 192.0.2.1, ports: {http: 81}}]";
    let policy = "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: shop}, spec: {selector: {matchLabels: {app: one}}}}\n---\n";
    let mesh = Mesh::of(&(of("STATIC", endpoints) + policy));
    let all = workloads(&mesh);
    let seen: Vec<_> = all
        .iter()
        .map(|w| {
            (
                w.addresses[0].to_string(),
                w.network.as_str(),
                w.authorization_policies.len(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("192.0.2.1".to_owned(), "far", 1),
            ("192.0.2.1".to_owned(), "", 0),
            ("192.0.2.2".to_owned(), "", 0)
        ],
        "a network and a label are one endpoint's, and an address may have two ports"
    );
    assert_eq!(
        (all[0].tunnel_protocol, all[0].native_tunnel),
        (TunnelProtocol::Hbone, true)
    );
    assert_eq!(
        (all[0].identity.service_account().as_str(), all[0].account_implied),
        ("acc", false)
    );
    assert_eq!(
        (all[2].identity.service_account().as_str(), all[2].account_implied),
        ("default", true)
    );
}

#[test]
fn annotations_for_traffic_distribution_count_unless_nothing_is_distributed() {
    let annotated = |resolution: &str| {
        let spec = format!("hosts: [a.example.com], {PORTS}, resolution: {resolution}");
        let mesh = Mesh::of(&entry(
            "shop/ext",
            "annotations: {networking.istio.io/traffic-distribution: PreferClose}",
            &spec,
        ));
        service(&mesh, "shop/a.example.com")
            .unwrap()
            .load_balancing
            .clone()
    };
    assert_eq!(
        annotated("DNS").preference,
        [Scope::Network, Scope::Region, Scope::Zone]
    );
    assert_eq!(annotated("NONE").preference, []);
}

#[test]
fn racing_endpoints_needs_a_waypoint() {
    let spec = format!("hosts: [a.example.com], {PORTS}, resolution: DNS");
    let mesh = Mesh::of(&entry(
        "shop/ext",
        "annotations: {istio.io/connect-strategy: race_first_tcp_connect}",
        &spec,
    ));
    let missing = Some(StatusReason::NoWaypointForRacingConnectStrategy);
    assert_eq!(reason(&mesh, "ext", ConditionType::WaypointMissing), missing);
}

#[test]
fn hosts_are_named_as_they_are_asked_for() {
    let of_host =
        |name: &str, host: &str| entry(name, "", &format!("hosts: [{host}], {PORTS}, resolution: DNS"));
    let recorded = of_host("shop/ext", "A.Example.com.").replace(
        "}}\n---",
        "}, status: {addresses: [{host: A.Example.com., value: 240.240.7.7}]}}\n---",
    );
    let mesh = Mesh::of(&(recorded + &of_host("shop/late", "a.example.COM")));
    let expected = [VirtualAddress::single("", ip("240.240.7.7"))];
    assert_eq!(service(&mesh, "shop/a.example.com").unwrap().addresses, expected);
    assert_eq!(workloads(&mesh)[0].hostname, "a.example.com");
    assert_eq!(
        reason(&mesh, "late", ConditionType::HostsAccepted),
        Some(StatusReason::HostTaken)
    );
}
