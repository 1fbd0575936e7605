use controlplane_k8s_api::gateway::GatewayAddress;
use controlplane_k8s_api::service::{LoadBalancerIngress, ServicePort};
use mesh_types::Strng;

use super::*;

fn name() -> NamespacedName {
    NamespacedName::new("shop", "waypoint")
}

fn service(ips: &[&str], port: u16) -> Service {
    let mut service = Service::default();
    service.spec.cluster_ips = ips.iter().map(|ip| Strng::from(*ip)).collect();
    service.spec.ports = vec![ServicePort {
        name: "mesh".into(),
        port,
        target_port: None,
        app_protocol: None,
        protocol: Default::default(),
    }];
    service
}

fn found(gateway: &Gateway, service: Option<&Service>) -> Vec<String> {
    let served = at(&MeshConfig::default(), gateway, &name(), service);
    let addresses = served.addresses.into_iter();
    addresses
        .map(|address| match address {
            GivenAddress::Ip(ip) => ip.to_string(),
            GivenAddress::Hostname(host) => host.to_string(),
        })
        .collect()
}

#[test]
fn a_gateway_is_found_at_its_service() {
    let gateway = Gateway::default();
    assert_eq!(found(&gateway, None), [""; 0]);
    assert_eq!(
        found(&gateway, Some(&service(&["10.96.0.9"], 80))),
        [""; 0],
        "no tunnels"
    );
    let both = service(&["10.96.0.9", "fd00::9"], 15008);
    assert_eq!(
        found(&gateway, Some(&both)),
        ["10.96.0.9", "fd00::9", "waypoint.shop.svc.cluster.local"]
    );
    let headless = service(&["None"], 15008);
    assert_eq!(
        found(&gateway, Some(&headless)),
        ["waypoint.shop.svc.cluster.local"]
    );
}

#[test]
fn what_stands_already_is_where_its_author_says() {
    let mut gateway = Gateway::default();
    gateway.spec.addresses = vec![GatewayAddress {
        kind: "Hostname".into(),
        value: "front.example.org".into(),
    }];
    let ours = service(&["10.96.0.9"], 15008);
    assert_eq!(found(&gateway, Some(&ours)), ["front.example.org"]);
}

#[test]
fn what_runs_in_a_cluster_is_programmed_while_there_is_a_service_and_a_ready_pod() {
    let there = service(&["10.96.0.9"], 15008);
    let waiting = balanced(&[]);
    let given = balanced(&[("192.0.2.7", "")]);
    for (service, ready, expected) in [
        (None, 0, (false, StatusReason::AddressNotAssigned)),
        (None, 1, (false, StatusReason::AddressNotAssigned)),
        (Some(&there), 0, (false, StatusReason::Pending)),
        (Some(&there), 2, (true, StatusReason::Programmed)),
        (Some(&waiting), 2, (false, StatusReason::AddressNotAssigned)),
        (Some(&given), 0, (false, StatusReason::Pending)),
        (Some(&given), 1, (true, StatusReason::Programmed)),
    ] {
        let served = at(&MeshConfig::default(), &Gateway::default(), &name(), service);
        let condition = programmed(&served, &name(), service, ready);
        assert_eq!(
            (condition.holds, condition.reason),
            expected,
            "{}",
            condition.message
        );
    }
    let served = at(
        &MeshConfig::default(),
        &Gateway::default(),
        &name(),
        Some(&waiting),
    );
    let message = programmed(&served, &name(), Some(&waiting), 1).message;
    assert!(
        message.contains("no load balancer has given Service shop/waypoint"),
        "{message}"
    );
}

/// A Service of type LoadBalancer, with what it was given.
fn balanced(given: &[(&str, &str)]) -> Service {
    let mut service = service(&["10.96.0.9"], 15008);
    service.spec.kind = ServiceType::LoadBalancer;
    let ingress = given.iter().map(|(ip, hostname)| LoadBalancerIngress {
        ip: Strng::from(*ip),
        hostname: Strng::from(*hostname),
    });
    service.status.load_balancer.ingress = ingress.collect();
    service
}

#[test]
fn a_gateway_with_a_load_balancer_is_found_at_it() {
    let gateway = Gateway::default();
    assert_eq!(
        found(&gateway, Some(&balanced(&[]))),
        [""; 0],
        "none was given yet"
    );
    let given = [
        ("192.0.2.7", ""),
        ("", "edge.example.org"),
        ("2001:db8::7", "edge.example.org"),
        ("192.0.2.7", ""),
        ("nonsense", ""),
    ];
    assert_eq!(
        found(&gateway, Some(&balanced(&given))),
        ["192.0.2.7", "2001:db8::7", "edge.example.org"]
    );
    let texts: Vec<String> = (0..20).map(|i| format!("192.0.2.{i}")).collect();
    let many: Vec<(&str, &str)> = texts.iter().map(|ip| (ip.as_str(), "")).collect();
    assert_eq!(found(&gateway, Some(&balanced(&many))).len(), 16);
    let mut closed = balanced(&[("192.0.2.7", "")]);
    closed.spec.ports[0].port = 80;
    assert_eq!(found(&gateway, Some(&closed)), [""; 0], "no tunnels");
}
