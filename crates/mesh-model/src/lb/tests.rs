use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use mesh_types::{NamespacedHostname, WorkloadUid};

use super::{
    Choice, Endpoint, EndpointSet, NoEndpoint, Purpose, Random, Request, accepts, choose_address,
    choose_resolved, pick, pick_waypoint, waypoints,
};
use crate::fixtures::{identity, waypoint};
use crate::service::{HealthPolicy, IpFamilies, LoadBalancing, Mode, Scope, WeightedWaypoint};
use crate::workload::{ApplicationTunnel, ApplicationTunnelProtocol, HealthStatus, Locality};
use crate::{AppProtocol, GatewayRef, Port, Ports, Service, Workload};

fn name() -> NamespacedHostname {
    NamespacedHostname::new("shop", "web.shop")
}

fn port(service_port: u16, target_port: Option<u16>) -> Port {
    Port {
        service_port,
        target_port,
        app_protocol: AppProtocol::Unknown,
    }
}

/// A workload with an address that serves port 80 of the service on 8080.
fn workload(uid: &str) -> Workload {
    Workload {
        addresses: vec!["10.0.0.1".parse().unwrap()],
        services: [(name(), Ports::from(vec![port(80, Some(8080))]))].into(),
        ..Workload::new(WorkloadUid::new(uid), uid, identity("shop", "web"))
    }
}

fn located(uid: &str, region: &str, zone: &str) -> Workload {
    Workload {
        locality: Locality {
            region: region.into(),
            zone: zone.into(),
            ..Locality::default()
        },
        ..workload(uid)
    }
}

fn service() -> Service {
    Service {
        ports: Ports::from(vec![port(80, None)]),
        ..Service::new(name(), "web")
    }
}

fn balanced(mode: Mode, preference: &[Scope]) -> Service {
    Service {
        load_balancing: LoadBalancing {
            preference: preference.to_vec(),
            mode,
            health: HealthPolicy::OnlyHealthy,
        },
        ..service()
    }
}

fn endpoints(workloads: impl IntoIterator<Item = Workload>) -> EndpointSet {
    workloads
        .into_iter()
        .map(|w| Endpoint::new(Arc::new(w), &name()))
        .collect()
}

/// How often each workload is picked, in 4,000 picks.
fn shares(client: &Workload, service: &Service, endpoints: &EndpointSet) -> HashMap<String, u32> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut shares = HashMap::new();
    for _ in 0..4_000 {
        let request = Request {
            client,
            service,
            port: 80,
            purpose: Purpose::Connect,
            avoid: &[],
        };
        let Ok(Choice::Endpoint { endpoint, .. }) = pick(&request, endpoints, &mut random) else {
            panic!("no endpoint");
        };
        *shares.entry(endpoint.workload.uid.to_string()).or_default() += 1;
    }
    shares
}

fn picked(client: &Workload, service: &Service, endpoints: &EndpointSet) -> Vec<String> {
    let mut picked: Vec<_> = shares(client, service, endpoints).into_keys().collect();
    picked.sort();
    picked
}

fn target(
    service: &Service,
    endpoints: &EndpointSet,
    port: u16,
    purpose: Purpose,
) -> Result<Option<u16>, NoEndpoint> {
    let client = workload("client");
    let request = Request {
        client: &client,
        service,
        port,
        purpose,
        avoid: &[],
    };
    let choice = pick(&request, endpoints, &mut fastrand::Rng::with_seed(1))?;
    Ok(match choice {
        Choice::Endpoint { target_port, .. } => Some(target_port),
        Choice::Original => None,
    })
}

#[test]
fn endpoints_are_drawn_in_proportion_to_their_capacity() {
    let weighted = |uid, capacity| Workload {
        capacity,
        ..workload(uid)
    };
    let set = endpoints([weighted("a", 1), weighted("b", 3), weighted("none", 0)]);
    let shares = shares(&workload("client"), &service(), &set);
    assert!(!shares.contains_key("none"));
    assert!((900..1100).contains(&shares["a"]), "{shares:?}");
}

#[test]
fn a_search_draws_in_proportion_too() {
    // Most of the endpoints are of a lower rank, so that trials usually fail.
    let near = |uid, capacity| Workload {
        capacity,
        ..located(uid, "eu", "a")
    };
    let far = (0..200).map(|i| located(&format!("far-{i}"), "us", "b"));
    let set = endpoints(far.chain([near("a", 1), near("b", 3)]));
    let service = balanced(Mode::Failover, &[Scope::Region]);
    let shares = shares(&located("client", "eu", "a"), &service, &set);
    assert_eq!(shares.len(), 2);
    assert!((900..1100).contains(&shares["a"]), "{shares:?}");
}

#[test]
fn the_endpoints_own_port_comes_before_the_services() {
    let general = Service {
        ports: Ports::from(vec![port(80, Some(9999))]),
        ..service()
    };
    let set = endpoints([workload("a")]);
    assert_eq!(target(&general, &set, 80, Purpose::Connect), Ok(Some(8080)));
    let unmapped = Workload {
        services: [(name(), Ports::default())].into(),
        ..workload("b")
    };
    assert_eq!(
        target(&general, &endpoints([unmapped]), 80, Purpose::Connect),
        Ok(Some(9999))
    );
}

#[test]
fn an_endpoint_without_the_port_is_not_taken_where_the_service_only_names_it() {
    let without = Workload {
        services: [(name(), Ports::default())].into(),
        ..workload("without")
    };
    let set = endpoints([without.clone(), workload("with")]);
    assert_eq!(picked(&workload("client"), &service(), &set), ["with"]);
    let nobody = endpoints([without]);
    assert_eq!(
        target(&service(), &nobody, 80, Purpose::Connect),
        Err(NoEndpoint::NoneUsable)
    );
}

#[test]
fn a_port_that_the_service_has_not_is_the_clients_fault() {
    let set = endpoints([workload("a")]);
    assert_eq!(
        target(&service(), &set, 81, Purpose::Connect),
        Err(NoEndpoint::UnknownPort(81))
    );
    assert_eq!(
        target(&service(), &EndpointSet::default(), 80, Purpose::Connect),
        Err(NoEndpoint::NoneUsable)
    );
}

#[test]
fn a_gateway_with_an_application_tunnel_needs_no_port_on_the_service() {
    let tunnelled = Workload {
        application_tunnel: Some(ApplicationTunnel {
            protocol: ApplicationTunnelProtocol::Proxy,
            port: Some(15088),
        }),
        ..workload("wp")
    };
    let set = endpoints([tunnelled]);
    assert_eq!(target(&service(), &set, 15008, Purpose::Gateway), Ok(Some(15008)));
    assert!(target(&service(), &set, 15008, Purpose::Connect).is_err());
    let plain = endpoints([workload("wp")]);
    assert!(target(&service(), &plain, 15008, Purpose::Gateway).is_err());
}

#[test]
fn strict_takes_only_endpoints_that_share_everything() {
    let strict = balanced(Mode::Strict, &[Scope::Region, Scope::Zone]);
    let client = located("client", "eu", "a");
    let set = endpoints([
        located("near", "eu", "a"),
        located("half", "eu", "b"),
        located("far", "us", "a"),
    ]);
    assert_eq!(picked(&client, &strict, &set), ["near"]);
    let request = Request {
        client: &located("client", "asia", "a"),
        service: &strict,
        port: 80,
        purpose: Purpose::Connect,
        avoid: &[],
    };
    let nothing = pick(&request, &set, &mut fastrand::Rng::with_seed(1));
    assert!(matches!(nothing, Err(NoEndpoint::NoneUsable)));
}

#[test]
fn an_internal_traffic_policy_of_local_stays_on_the_node() {
    let on = |uid, node: &str| Workload {
        node: node.into(),
        ..workload(uid)
    };
    let local = balanced(Mode::Strict, &[Scope::Node]);
    let set = endpoints([on("here", "n1"), on("there", "n2")]);
    assert_eq!(picked(&on("client", "n1"), &local, &set), ["here"]);
}

#[test]
fn failover_takes_the_longest_shared_prefix() {
    let failover = balanced(Mode::Failover, &[Scope::Region, Scope::Zone]);
    let (far, half, near) = (
        located("far", "us", "a"),
        located("half", "eu", "b"),
        located("near", "eu", "a"),
    );
    let client = located("client", "eu", "a");
    let set = endpoints([far.clone(), half.clone(), near]);
    assert_eq!(picked(&client, &failover, &set), ["near"]);
    assert_eq!(
        picked(&client, &failover, &endpoints([far.clone(), half])),
        ["half"]
    );
    assert_eq!(
        picked(&client, &failover, &endpoints([far])),
        ["far"],
        "rather that than none"
    );
}

#[test]
fn a_zone_counts_only_within_the_same_region() {
    let failover = balanced(Mode::Failover, &[Scope::Region, Scope::Zone]);
    let set = endpoints([located("zone-only", "us", "a"), located("nothing", "us", "b")]);
    let picked = picked(&located("client", "eu", "a"), &failover, &set);
    assert_eq!(picked, ["nothing", "zone-only"]);
}

#[test]
fn a_leading_network_is_a_preference_of_its_own() {
    let failover = balanced(Mode::Failover, &[Scope::Network, Scope::Region, Scope::Zone]);
    let on = |network: &str, workload| Workload {
        network: network.into(),
        ..workload
    };
    let client = on("n1", located("client", "eu", "a"));
    let here = on("n1", located("here", "us", "z"));
    let near = on("n2", located("near", "eu", "a"));
    let far = on("n2", located("far", "us", "a"));
    let set = endpoints([here, near.clone(), far.clone()]);
    assert_eq!(picked(&client, &failover, &set), ["here"]);
    assert_eq!(picked(&client, &failover, &endpoints([near, far])), ["near"]);
}

#[test]
fn passthrough_picks_nobody() {
    let passthrough = balanced(Mode::Passthrough, &[]);
    let set = endpoints([workload("a")]);
    assert_eq!(target(&passthrough, &set, 80, Purpose::Connect), Ok(None));
    assert_eq!(target(&passthrough, &set, 80, Purpose::Gateway), Ok(Some(8080)));
}

#[test]
fn preferences_without_a_mode_mean_nothing() {
    let any = balanced(Mode::Any, &[Scope::Region]);
    let set = endpoints([located("near", "eu", "a"), located("far", "us", "a")]);
    assert_eq!(picked(&located("client", "eu", "a"), &any, &set), ["far", "near"]);
}

#[test]
fn a_workload_without_an_address_is_reached_from_other_networks_through_its_gateway() {
    let hidden = |network: &str, gateway| Workload {
        addresses: Vec::new(),
        network: network.into(),
        network_gateway: gateway,
        ..workload("hidden")
    };
    let reached = |w| target(&service(), &endpoints([w]), 80, Purpose::Connect).is_ok();
    assert!(reached(hidden("elsewhere", Some(waypoint()))));
    assert!(
        !reached(hidden("", Some(waypoint()))),
        "in the client's own network"
    );
    assert!(!reached(hidden("elsewhere", None)));
    let named = Workload {
        hostname: "db.example.com".into(),
        ..hidden("", None)
    };
    assert!(reached(named));
}

#[test]
fn health_matters_unless_the_service_takes_anybody() {
    let anybody = Service {
        load_balancing: LoadBalancing {
            health: HealthPolicy::AllowAll,
            ..LoadBalancing::default()
        },
        ..service()
    };
    assert!(accepts(&service(), HealthStatus::Healthy));
    assert!(!accepts(&service(), HealthStatus::Unhealthy));
    assert!(accepts(&anybody, HealthStatus::Unhealthy));
}

#[test]
fn a_set_of_endpoints_keeps_one_per_workload() {
    let mut set = endpoints([workload("a"), workload("b"), workload("c")]);
    let changed = Workload {
        capacity: 9,
        ..workload("b")
    };
    set.insert(Endpoint::new(Arc::new(changed), &name()));
    assert_eq!(set.len(), 3);
    let capacity = |set: &EndpointSet, uid| set.get(&WorkloadUid::new(uid)).map(|e| e.workload.capacity);
    assert_eq!(capacity(&set, "b"), Some(9));
    assert!(set.remove(&WorkloadUid::new("a")).is_some());
    assert!(set.remove(&WorkloadUid::new("a")).is_none());
    assert_eq!((capacity(&set, "b"), capacity(&set, "c")), (Some(9), Some(1)));
    assert_eq!(set.as_slice().len(), 2);
}

#[test]
fn the_requested_address_is_used_where_the_workload_has_it() {
    let dual = Workload {
        addresses: ["10.0.0.1", "fd00::1"].map(|ip| ip.parse().unwrap()).to_vec(),
        ..workload("a")
    };
    let choose = |families, requested: &str| choose_address(&dual, families, requested.parse().unwrap());
    let ip = |ip: &str| ip.parse::<IpAddr>().ok();
    assert_eq!(choose(IpFamilies::V4Only, "fd00::1"), ip("fd00::1"));
    assert_eq!(choose(IpFamilies::Automatic, "::ffff:10.0.0.1"), ip("10.0.0.1"));
    assert_eq!(choose(IpFamilies::Automatic, "10.96.0.1"), ip("10.0.0.1"));
    assert_eq!(choose(IpFamilies::Dual, "fd96::1"), ip("fd00::1"));
    assert_eq!(choose(IpFamilies::V4Only, "fd96::1"), ip("10.0.0.1"));
    let single = workload("b");
    assert_eq!(
        choose_address(&single, IpFamilies::Dual, "fd96::1".parse().unwrap()),
        ip("10.0.0.1")
    );
    assert_eq!(
        choose_address(&single, IpFamilies::V6Only, "fd96::1".parse().unwrap()),
        None
    );
}

#[test]
fn weighted_waypoints_share_connections_and_weightless_ones_give_way_to_the_one() {
    let gateway = |hbone_port| GatewayRef {
        hbone_port,
        ..waypoint()
    };
    let weighted = |hbone_port, weight| WeightedWaypoint {
        gateway: gateway(hbone_port),
        weight,
    };
    let canary = Service {
        waypoint: Some(gateway(1)),
        weighted_waypoints: vec![weighted(1, 90), weighted(2, 10), weighted(3, 0)],
        ..service()
    };
    let mut random = fastrand::Rng::with_seed(5);
    let ports = (0..1_000).map(|_| pick_waypoint(&canary, &mut random).unwrap().hbone_port);
    let ports: Vec<_> = ports.collect();
    let canaries = ports.iter().filter(|p| **p == 2).count();
    assert!((70..130).contains(&canaries), "{canaries}");
    assert!(!ports.contains(&3));
    let weightless = Service {
        weighted_waypoints: vec![weighted(2, 0)],
        ..canary.clone()
    };
    assert_eq!(pick_waypoint(&weightless, &mut random), Some(&gateway(1)));
    assert_eq!(pick_waypoint(&service(), &mut random), None);
}

#[test]
fn what_failed_is_taken_again_only_where_there_is_no_other() {
    let heavy = Workload {
        capacity: 1_000,
        ..workload("failed")
    };
    let failed = [heavy.uid.clone()];
    let client = workload("client");
    let ask = |set: &EndpointSet| {
        let service = service();
        let request = Request {
            client: &client,
            service: &service,
            port: 80,
            purpose: Purpose::Connect,
            avoid: &failed,
        };
        let mut random = fastrand::Rng::with_seed(7);
        let Ok(Choice::Endpoint { endpoint, .. }) = pick(&request, set, &mut random) else {
            panic!("no endpoint");
        };
        endpoint.workload.uid.to_string()
    };
    for _ in 0..100 {
        assert_eq!(
            ask(&endpoints([heavy.clone(), workload("other")])),
            workload("other").uid.to_string()
        );
    }
    assert_eq!(ask(&endpoints([heavy.clone()])), heavy.uid.to_string());
}

#[test]
fn waypoints_are_tried_from_the_drawn_one_on() {
    let gateway = |hbone_port| GatewayRef {
        hbone_port,
        ..waypoint()
    };
    let weighted = |hbone_port, weight| WeightedWaypoint {
        gateway: gateway(hbone_port),
        weight,
    };
    struct Draw(u64);
    impl Random for Draw {
        fn below(&mut self, end: u64) -> u64 {
            self.0.min(end - 1)
        }
    }
    let order = |service: &Service, draw| -> Vec<u16> {
        waypoints(service, &mut Draw(draw))
            .map(|w| w.hbone_port)
            .collect()
    };
    let canary = Service {
        waypoint: Some(gateway(1)),
        weighted_waypoints: vec![weighted(1, 90), weighted(2, 10), weighted(3, 0)],
        ..service()
    };
    let apart = Service {
        waypoint: Some(gateway(9)),
        ..canary.clone()
    };
    let one = Service {
        waypoint: Some(gateway(1)),
        ..service()
    };
    for (service, draw, expected) in [
        (&canary, 0, vec![1, 2]),
        (&canary, 99, vec![2, 1]),
        (&apart, 0, vec![1, 9, 2]),
        (&apart, 90, vec![2, 9, 1]),
        (&one, 0, vec![1]),
    ] {
        assert_eq!(order(service, draw), expected);
    }
    assert!(order(&service(), 0).is_empty());
}

#[test]
fn a_resolved_address_is_drawn_among_those_of_the_right_family() {
    let ips: Vec<IpAddr> = ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"]
        .map(|ip| ip.parse().unwrap())
        .to_vec();
    let mut random = fastrand::Rng::with_seed(3);
    let mut drawn = |addresses: &[IpAddr], families, requested: &str| -> Vec<String> {
        let requested = requested.parse().unwrap();
        let all = (0..50).filter_map(|_| choose_resolved(addresses, families, requested, &mut random));
        let mut all: Vec<_> = all.map(|ip| ip.to_string()).collect();
        all.sort();
        all.dedup();
        all
    };
    let (v4, v6) = (["10.0.0.1", "10.0.0.2"], ["fd00::1", "fd00::2"]);
    assert_eq!(drawn(&ips, IpFamilies::Automatic, "240.240.0.1"), v4);
    assert_eq!(drawn(&ips, IpFamilies::Automatic, "::ffff:240.240.0.1"), v4);
    assert_eq!(drawn(&ips, IpFamilies::Dual, "2001:2::1"), v6);
    // The service's families count more than the client's.
    assert_eq!(drawn(&ips, IpFamilies::V4Only, "2001:2::1"), v4);
    assert_eq!(drawn(&ips[2..], IpFamilies::Automatic, "240.240.0.1"), v6);
    assert!(drawn(&ips[2..], IpFamilies::V4Only, "240.240.0.1").is_empty());
    assert!(drawn(&[], IpFamilies::Automatic, "240.240.0.1").is_empty());
}
