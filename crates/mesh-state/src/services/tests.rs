use mesh_model::service::{HealthPolicy, LoadBalancing};
use mesh_model::workload::HealthStatus;

use super::*;
use crate::fixtures::{at, hostname, member, service, uid};

fn anybody(name: &str) -> Service {
    Service {
        load_balancing: LoadBalancing {
            health: HealthPolicy::AllowAll,
            ..LoadBalancing::default()
        },
        ..service(name, "10.96.0.1")
    }
}

fn joined(workloads: impl IntoIterator<Item = Workload>) -> Services {
    let mut services = Services::default();
    for workload in workloads {
        services.join(&Arc::new(workload), None);
    }
    services
}

fn endpoint_names(services: &Services, name: &str) -> Vec<String> {
    let endpoints = services.endpoints(&hostname(name));
    let endpoints = endpoints.map_or(&[][..], EndpointSet::as_slice);
    let mut names: Vec<_> = endpoints.iter().map(|e| e.workload.name.to_string()).collect();
    names.sort();
    names
}

#[test]
fn endpoints_that_arrive_before_their_service_wait_for_it() {
    let mut services = joined([member("a", "10.0.0.1", "shop/web")]);
    assert!(endpoint_names(&services, "shop/web").is_empty());
    assert_eq!(services.staged()[&hostname("shop/web")][0].name, "a");
    services.insert(Arc::new(service("shop/web", "10.96.0.1")));
    assert_eq!(endpoint_names(&services, "shop/web"), ["a"]);
    assert!(services.staged().is_empty());
}

#[test]
fn a_staged_endpoint_that_leaves_before_its_service_comes_leaves_nothing() {
    let workload = member("a", "10.0.0.1", "shop/web");
    let mut services = joined([workload.clone()]);
    services.leave(&workload);
    assert!(services.by_name.is_empty());
}

#[test]
fn endpoints_outlive_the_removal_and_return_of_their_service() {
    let mut services = joined([member("a", "10.0.0.1", "shop/web")]);
    services.insert(Arc::new(service("shop/web", "10.96.0.1")));
    assert!(services.remove(&hostname("shop/web")));
    assert!(!services.remove(&hostname("shop/web")));
    assert!(endpoint_names(&services, "shop/web").is_empty());
    services.insert(Arc::new(service("shop/web", "10.96.0.1")));
    assert_eq!(endpoint_names(&services, "shop/web"), ["a"]);
}

#[test]
fn an_endpoint_that_is_not_healthy_is_none_unless_the_service_takes_anybody() {
    let sick = Workload {
        status: HealthStatus::Unhealthy,
        ..member("sick", "10.0.0.2", "shop/web")
    };
    let mut services = joined([member("well", "10.0.0.1", "shop/web"), sick]);
    services.insert(Arc::new(service("shop/web", "10.96.0.1")));
    assert_eq!(endpoint_names(&services, "shop/web"), ["well"]);
    services.insert(Arc::new(anybody("shop/web")));
    assert_eq!(endpoint_names(&services, "shop/web"), ["sick", "well"]);
    services.insert(Arc::new(service("shop/web", "10.96.0.1")));
    assert_eq!(endpoint_names(&services, "shop/web"), ["well"]);
}

#[test]
fn an_endpoint_that_falls_ill_and_recovers_goes_and_comes_back() {
    let well = member("a", "10.0.0.1", "shop/web");
    let sick = Workload {
        status: HealthStatus::Unhealthy,
        ..well.clone()
    };
    let mut services = joined([well.clone()]);
    services.insert(Arc::new(service("shop/web", "10.96.0.1")));
    services.join(&Arc::new(sick.clone()), Some(&well));
    assert!(endpoint_names(&services, "shop/web").is_empty());
    services.join(&Arc::new(well), Some(&sick));
    assert_eq!(endpoint_names(&services, "shop/web"), ["a"]);
}

#[test]
fn a_workload_that_changes_services_changes_memberships() {
    let before = member("a", "10.0.0.1", "shop/web");
    let after = member("a", "10.0.0.1", "shop/api");
    let mut services = joined([before.clone()]);
    for name in ["shop/web", "shop/api"] {
        services.insert(Arc::new(service(name, "10.96.0.1")));
    }
    services.join(&Arc::new(after), Some(&before));
    assert!(endpoint_names(&services, "shop/web").is_empty());
    assert_eq!(endpoint_names(&services, "shop/api"), ["a"]);
}

#[test]
fn an_endpoint_carries_the_workload_as_it_is_now() {
    let before = member("a", "10.0.0.1", "shop/web");
    let after = Workload {
        capacity: 7,
        ..before.clone()
    };
    let mut services = joined([before.clone()]);
    services.insert(Arc::new(service("shop/web", "10.96.0.1")));
    services.join(&Arc::new(after), Some(&before));
    let endpoint = services
        .endpoints(&hostname("shop/web"))
        .unwrap()
        .get(&uid("a"))
        .unwrap();
    assert_eq!(endpoint.workload.capacity, 7);
    assert_eq!(endpoint.ports().get(80).unwrap().target_port, Some(8080));
}

#[test]
fn a_service_that_moves_is_not_found_where_it_was() {
    let mut services = Services::default();
    services.insert(Arc::new(service("shop/web", "10.96.0.1")));
    services.insert(Arc::new(service("shop/web", "10.96.0.0/24")));
    assert!(services.exactly_at(&at("10.96.0.1")).is_empty());
    assert_eq!(services.around("", "10.96.0.9".parse().unwrap()).count(), 1);
    services.insert(Arc::new(service("shop/web", "10.96.0.2")));
    assert_eq!(services.around("", "10.96.0.9".parse().unwrap()).count(), 0);
    services.remove(&hostname("shop/web"));
    assert!(services.by_address.is_empty() && services.by_hostname.is_empty() && services.by_name.is_empty());
}

#[test]
fn the_longest_prefix_comes_first() {
    let mut services = Services::default();
    for (name, range) in [
        ("a/wide", "10.0.0.0/8"),
        ("a/narrow", "10.1.2.0/24"),
        ("a/v6", "fd00::/8"),
    ] {
        services.insert(Arc::new(service(name, range)));
    }
    let around = |ip: &str| -> Vec<u8> {
        let found = services.around("", ip.parse().unwrap());
        found.map(|(length, _)| length).collect()
    };
    assert_eq!(around("10.1.2.3"), [24, 8]);
    assert_eq!(around("10.2.2.3"), [8]);
    assert_eq!(around("fd00::1"), [8]);
    assert!(around("192.0.2.1").is_empty());
    assert_eq!(services.around("other", "10.1.2.3".parse().unwrap()).count(), 0);
}

#[test]
fn a_change_of_a_service_that_does_not_concern_health_keeps_its_endpoints_as_they_are() {
    let mut services = joined((0..50).map(|i| member(&format!("p{i}"), "10.0.0.1", "shop/web")));
    services.insert(Arc::new(service("shop/web", "10.96.0.1")));
    let place = |services: &Services| {
        services
            .endpoints(&hostname("shop/web"))
            .unwrap()
            .as_slice()
            .as_ptr()
    };
    let before = place(&services);
    let renamed = Service {
        canonical: true,
        ..service("shop/web", "10.96.0.1")
    };
    assert!(services.insert(Arc::new(renamed.clone())));
    assert!(!services.insert(Arc::new(renamed)), "nothing has changed");
    services.join(&Arc::new(member("p7", "10.0.0.9", "shop/web")), None);
    assert_eq!(place(&services), before, "the endpoints were copied");
}
