use controlplane_k8s_api::gateway::GatewayAddress;
use controlplane_k8s_api::service::ServicePort;
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
    let none = ServedGateway::default();
    let there = at(
        &MeshConfig::default(),
        &Gateway::default(),
        &name(),
        Some(&service(&["10.96.0.9"], 15008)),
    );
    for (served, ready, expected) in [
        (&none, 0, (false, StatusReason::AddressNotAssigned)),
        (&none, 1, (false, StatusReason::AddressNotAssigned)),
        (&there, 0, (false, StatusReason::Pending)),
        (&there, 2, (true, StatusReason::Programmed)),
    ] {
        let condition = programmed(served, &name(), ready);
        assert_eq!((condition.holds, condition.reason), expected);
    }
}
