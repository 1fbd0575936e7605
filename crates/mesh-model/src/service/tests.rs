use mesh_proto::istio::workload as pb;

use super::{IpFamilies, VirtualAddress, Visibility};
use crate::fixtures::{Dice, full_service};
use crate::{InvalidResource, Problem, Service};

fn refusal(spoil: impl FnOnce(&mut pb::Service)) -> InvalidResource {
    let mut message = pb::Service::from(&full_service());
    spoil(&mut message);
    Service::try_from(message).unwrap_err()
}

#[test]
fn a_service_survives_the_wire() {
    let full = full_service();
    assert_eq!(Service::try_from(pb::Service::from(&full)), Ok(full));
}

#[test]
fn any_service_survives_the_wire() {
    let mut dice = Dice(fastrand::Rng::with_seed(8));
    for _ in 0..2_000 {
        let service = dice.service();
        assert_eq!(Service::try_from(pb::Service::from(&service)), Ok(service));
    }
}

#[test]
fn default_values_are_absent_from_the_wire() {
    let bare = Service::new(full_service().hostname, "web");
    let message = pb::Service::from(&bare);
    let expected = pb::Service {
        name: "web".to_owned(),
        namespace: "shop".to_owned(),
        hostname: "web.shop.svc.cluster.local".to_owned(),
        ..pb::Service::default()
    };
    assert_eq!(message, expected);
}

#[test]
fn a_range_of_one_address_is_that_address_and_bits_beyond_the_prefix_are_cleared() {
    let ip = "10.0.0.7".parse().unwrap();
    assert_eq!(
        VirtualAddress::range("", "10.0.0.7/32".parse().unwrap()),
        VirtualAddress::single("", ip)
    );
    assert_eq!(
        VirtualAddress::range("", "10.0.0.7/24".parse().unwrap()),
        VirtualAddress::range("", "10.0.0.0/24".parse().unwrap())
    );
}

#[test]
fn a_refusal_names_the_service_and_the_field() {
    for (refused, field, problem) in [
        (refusal(|s| s.hostname.clear()), "hostname", Problem::Empty),
        (refusal(|s| s.namespace.clear()), "namespace", Problem::Empty),
        (
            refusal(|s| s.hostname = "a/b".to_owned()),
            "hostname",
            Problem::NamespacedName("a/b".to_owned()),
        ),
        (
            refusal(|s| s.addresses[0].address.clear()),
            "addresses[0].address",
            Problem::AddressLength(0),
        ),
        (
            refusal(|s| s.addresses[1].length = Some(33)),
            "addresses[1].length",
            Problem::PrefixLength {
                address: "198.51.100.0".parse().unwrap(),
                length: 33,
            },
        ),
        (
            refusal(|s| s.ports[1].service_port = 65_536),
            "ports[1].service_port",
            Problem::Port(65_536),
        ),
        (
            refusal(|s| s.subject_alt_names.push(String::new())),
            "subject_alt_names[1]",
            Problem::Empty,
        ),
        (
            refusal(|s| s.waypoint.as_mut().unwrap().hbone_mtls_port = 0),
            "waypoint.hbone_mtls_port",
            Problem::Port(0),
        ),
        (
            refusal(|s| s.weighted_waypoints[0].destination = None),
            "weighted_waypoints[0].destination",
            Problem::Missing,
        ),
        (
            refusal(|s| s.load_balancing.as_mut().unwrap().routing_preference[2] = 0),
            "load_balancing.routing_preference[2]",
            Problem::UnknownValue(0),
        ),
        (
            refusal(|s| s.load_balancing.as_mut().unwrap().mode = 4),
            "load_balancing.mode",
            Problem::UnknownValue(4),
        ),
        (
            refusal(|s| s.visibility = 2),
            "visibility",
            Problem::UnknownValue(2),
        ),
    ] {
        assert_eq!((refused.field.as_str(), refused.problem), (field, problem));
    }
    assert_eq!(
        refusal(|s| s.ip_families = 7).to_string(),
        "service \"shop/web.shop.svc.cluster.local\": ip_families: unknown value 7"
    );
}

#[test]
fn a_range_as_gateway_is_refused_and_a_full_length_is_none() {
    let address = |length| {
        let mut message = pb::Service::from(&full_service());
        message.waypoint.as_mut().unwrap().destination =
            Some(pb::gateway_address::Destination::Address(pb::NetworkAddress {
                network: String::new(),
                address: bytes::Bytes::from_static(&[10, 0, 0, 1]),
                length,
            }));
        Service::try_from(message)
    };
    assert_eq!(address(Some(24)).unwrap_err().problem, Problem::Range);
    assert_eq!(address(Some(32)), address(None));
}

#[test]
fn a_hidden_service_is_visible_to_its_own_namespace_only() {
    let hidden = full_service();
    assert_eq!(hidden.visibility, Visibility::Namespace);
    assert!(hidden.visible_to("shop"));
    assert!(!hidden.visible_to("bank"));
}

#[test]
fn the_last_of_two_ports_with_one_number_counts() {
    let mut message = pb::Service::from(&full_service());
    message.ports.push(pb::Port {
        service_port: 80,
        target_port: 8081,
        app_protocol: 0,
        ..pb::Port::default()
    });
    let service = Service::try_from(message).unwrap();
    assert_eq!(service.ports.get(80).unwrap().target_port, Some(8081));
}

#[test]
fn families_accept_their_own() {
    let (v4, v6) = ("10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap());
    assert!(IpFamilies::V4Only.accept(v4) && !IpFamilies::V4Only.accept(v6));
    assert!(!IpFamilies::V6Only.accept(v4) && IpFamilies::V6Only.accept(v6));
    assert!(IpFamilies::Dual.accept(v4) && IpFamilies::Automatic.accept(v6));
}
