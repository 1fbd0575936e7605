use super::*;
use crate::fixtures::{at, identity, pod, uid};

fn index(workloads: impl IntoIterator<Item = Workload>) -> Workloads {
    let mut index = Workloads::default();
    for workload in workloads {
        index.insert(Arc::new(workload));
    }
    index
}

fn name_at<'w>(index: &'w Workloads, ip: &str) -> Option<&'w str> {
    index.at(&at(ip)).map(|w| w.name.as_str())
}

#[test]
fn a_workload_is_found_by_each_of_its_addresses_in_its_network_only() {
    let dual = Workload {
        addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        ..pod("a", "10.0.0.1")
    };
    let index = index([dual]);
    assert_eq!(name_at(&index, "10.0.0.1"), Some("a"));
    assert_eq!(name_at(&index, "fd00::1"), Some("a"));
    assert_eq!(name_at(&index, "::ffff:10.0.0.1"), Some("a"));
    assert_eq!(
        index.at(&NetworkAddress::new("other", "10.0.0.1".parse().unwrap())),
        None
    );
}

#[test]
fn a_changed_address_leaves_no_trace_of_the_old_one() {
    let mut index = index([pod("a", "10.0.0.1"), pod("a", "10.0.0.2")]);
    assert_eq!(name_at(&index, "10.0.0.1"), None);
    assert_eq!(name_at(&index, "10.0.0.2"), Some("a"));
    index.remove(&uid("a"));
    assert!(index.by_address.is_empty() && index.by_uid.is_empty());
}

#[test]
fn a_workload_on_the_hosts_network_is_found_by_uid_but_not_by_address() {
    let host = Workload {
        network_mode: NetworkMode::HostNetwork,
        ..pod("host", "10.88.0.99")
    };
    let mut index = index([host, pod("a", "10.88.0.99")]);
    assert_eq!(name_at(&index, "10.88.0.99"), Some("a"));
    assert!(index.get(&uid("host")).is_some());
    index.remove(&uid("host"));
    assert_eq!(
        name_at(&index, "10.88.0.99"),
        Some("a"),
        "the address was never the host's"
    );
}

#[test]
fn a_workload_that_is_not_healthy_is_still_found() {
    let unhealthy = Workload {
        status: HealthStatus::Unhealthy,
        ..pod("a", "10.0.0.1")
    };
    assert_eq!(name_at(&index([unhealthy]), "10.0.0.1"), Some("a"));
}

#[test]
fn of_several_claims_to_an_address_a_pod_in_the_mesh_comes_first_in_any_order() {
    let foreign = |name: &str, tunnel_protocol| Workload {
        tunnel_protocol,
        ..Workload {
            addresses: vec!["10.0.0.1".parse().unwrap()],
            ..Workload::new(WorkloadUid::new(name), name, identity("shop", "web"))
        }
    };
    let plain = |name| Workload {
        tunnel_protocol: TunnelProtocol::None,
        ..pod(name, "10.0.0.1")
    };
    let mut claims = vec![
        foreign("entry", TunnelProtocol::None),
        foreign("entry-in-mesh", TunnelProtocol::Hbone),
        plain("pod"),
        pod("pod-in-mesh", "10.0.0.1"),
    ];
    for _ in 0..claims.len() {
        claims.rotate_left(1);
        let mut index = index(claims.clone());
        for (name, uid) in [
            ("pod-in-mesh", uid("pod-in-mesh")),
            ("pod", uid("pod")),
            ("entry-in-mesh", WorkloadUid::new("entry-in-mesh")),
            ("entry", WorkloadUid::new("entry")),
        ] {
            assert_eq!(name_at(&index, "10.0.0.1"), Some(name));
            index.remove(&uid);
        }
        assert_eq!(name_at(&index, "10.0.0.1"), None);
    }
}

#[test]
fn an_address_that_is_given_anew_belongs_to_the_pod_that_lives() {
    let ended = Workload {
        status: HealthStatus::Unhealthy,
        ..pod("a-job", "10.0.0.1")
    };
    let index = index([ended, pod("z-new", "10.0.0.1")]);
    assert_eq!(name_at(&index, "10.0.0.1"), Some("z-new"));
}

#[test]
fn an_address_that_very_many_claim_costs_no_more_than_its_share() {
    // Squared, this would take minutes.
    let mut index = index((0..20_000).map(|i| pod(&format!("p{i}"), "10.0.0.1")));
    assert_eq!(name_at(&index, "10.0.0.1"), Some("p0"));
    (0..19_999).for_each(|i| drop(index.remove(&uid(&format!("p{i}")))));
    assert_eq!(name_at(&index, "10.0.0.1"), Some("p19999"));
}
