use mesh_model::GatewayDestination;
use mesh_model::policy::{Action, Scope, ServiceAccountMatch, StringMatch};
use mesh_model::service::{HealthPolicy, IpFamilies, LoadBalancing, Mode, VirtualAddress};
use mesh_model::workload::{HealthStatus, Locality, WorkloadType};
use mesh_types::NetworkAddress;
use serde_json::{Value, json};

use super::*;
use crate::Update;
use crate::fixtures::{hostname, member, policy, service, with};

fn dump(updates: impl IntoIterator<Item = Update>) -> Value {
    serde_json::to_value(with(updates).1.dump()).unwrap()
}

fn waypoint() -> GatewayRef {
    GatewayRef {
        destination: GatewayDestination::Hostname(hostname("shop/wp.shop")),
        hbone_port: 15008,
        fail_open: false,
    }
}

#[test]
fn a_workload_reads_as_upstreams() {
    let workload = Workload {
        waypoint: Some(waypoint()),
        node: "n1".into(),
        cluster_id: "Kubernetes".into(),
        canonical_name: "web".into(),
        workload_name: "web".into(),
        workload_type: WorkloadType::Pod,
        status: HealthStatus::Unhealthy,
        authorization_policies: vec!["shop/p".parse().unwrap()],
        locality: Locality {
            region: "eu".into(),
            ..Locality::default()
        },
        ..member("a", "10.0.0.1", "shop/web")
    };
    let expected = json!({
        "workloadIps": ["10.0.0.1"],
        "waypoint": {"destination": "shop/wp.shop", "hboneMtlsPort": 15008},
        "protocol": "HBONE",
        "networkMode": "Standard",
        "uid": "Kubernetes//Pod/shop/a",
        "name": "a",
        "namespace": "shop",
        "trustDomain": "cluster.local",
        "serviceAccount": "web",
        "workloadName": "web",
        "workloadType": "pod",
        "canonicalName": "web",
        "node": "n1",
        "authorizationPolicies": ["shop/p"],
        "status": "Unhealthy",
        "clusterId": "Kubernetes",
        "locality": {"region": "eu", "zone": "", "subzone": ""},
        "services": ["shop/web"],
        "capacity": 1,
    });
    assert_eq!(dump([Update::Workload(workload)])["workloads"], json!([expected]));
}

#[test]
fn a_service_reads_as_upstreams_with_its_endpoints() {
    let mut web = service("shop/web", "10.96.0.1");
    web.addresses
        .push(VirtualAddress::range("net", "10.97.0.0/24".parse().unwrap()));
    web.ports = [80, 9000]
        .into_iter()
        .map(|service_port| mesh_model::Port {
            service_port,
            target_port: (service_port == 9000).then_some(9090),
            app_protocol: mesh_model::AppProtocol::Http11,
        })
        .collect();
    web.waypoint = Some(GatewayRef {
        destination: GatewayDestination::Address(NetworkAddress::new("net", "10.0.0.9".parse().unwrap())),
        hbone_port: 15008,
        fail_open: false,
    });
    web.load_balancing = LoadBalancing {
        preference: vec![mesh_model::service::Scope::Node],
        mode: Mode::Strict,
        health: HealthPolicy::OnlyHealthy,
    };
    web.ip_families = IpFamilies::V4Only;
    let expected = json!({
        "name": "web",
        "namespace": "shop",
        "hostname": "web",
        "vips": ["/10.96.0.1"],
        "cidrVips": [{"network": "net", "cidr": "10.97.0.0/24"}],
        "ports": {"80": 0, "9000": 9090},
        "endpoints": {
            "Kubernetes//Pod/shop/a": {
                "workloadUid": "Kubernetes//Pod/shop/a",
                "port": {"80": 8080},
                "status": "Healthy",
            },
        },
        "subjectAltNames": [],
        "waypoint": {"destination": "net/10.0.0.9", "hboneMtlsPort": 15008},
        "loadBalancer": {"routingPreferences": ["Node"], "mode": "Strict", "healthPolicy": "OnlyHealthy"},
        "ipFamilies": "IPv4",
        "canonical": false,
        "visibility": "Public",
    });
    let updates = [
        Update::Service(web),
        Update::Workload(member("a", "10.0.0.1", "shop/web")),
    ];
    assert_eq!(dump(updates)["services"], json!([expected]));
}

#[test]
fn a_policy_reads_as_upstreams() {
    let mut p = policy("shop/p", Scope::WorkloadSelector, Action::Deny);
    let m = &mut p.rules[0].clauses[0].matches[0];
    m.namespaces = vec![
        StringMatch::Exact("bank".into()),
        StringMatch::Prefix("ba".into()),
    ];
    m.source_ips = vec!["10.0.0.0/8".parse().unwrap()];
    m.destination_ports = vec![80];
    m.service_accounts = vec![ServiceAccountMatch {
        namespace: "bank".into(),
        service_account: "ledger".into(),
    }];
    let expected = json!({
        "name": "p",
        "namespace": "shop",
        "scope": "WorkloadSelector",
        "action": "Deny",
        "rules": [[[{
            "namespaces": [{"Exact": "bank"}, {"Prefix": "ba"}],
            "serviceAccounts": [{"namespace": "bank", "serviceAccount": "ledger"}],
            "notPrincipals": [{"Presence": []}],
            "sourceIps": ["10.0.0.0/8"],
            "destinationPorts": [80],
        }]]],
        "dryRun": false,
    });
    assert_eq!(dump([Update::Authorization(p)])["policies"], json!([expected]));
}

#[test]
fn endpoints_without_their_service_are_shown_as_staged() {
    let staged = dump([Update::Workload(member("a", "10.0.0.1", "shop/web"))]);
    assert_eq!(
        staged["stagedServices"],
        json!({"shop/web": {"Kubernetes//Pod/shop/a": {
            "workloadUid": "Kubernetes//Pod/shop/a",
            "port": {"80": 8080},
            "status": "Healthy",
        }}})
    );
}

#[test]
fn everything_stands_in_the_order_of_its_name() {
    let dump = dump(["b", "a", "c"].map(|name| Update::Workload(member(name, "10.0.0.1", "shop/web"))));
    let workloads = dump["workloads"].as_array().unwrap();
    let names: Vec<_> = workloads.iter().map(|w| w["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}
