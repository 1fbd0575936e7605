use mesh_proto::istio::workload as pb;

use crate::fixtures::{Dice, full_workload, pod};
use crate::{InvalidResource, Problem, Workload};

fn wire() -> pb::Workload {
    pb::Workload::from(&pod())
}

fn refusal(spoil: impl FnOnce(&mut pb::Workload)) -> InvalidResource {
    let mut message = wire();
    spoil(&mut message);
    Workload::try_from(message).unwrap_err()
}

#[test]
fn a_workload_survives_the_wire() {
    for workload in [pod(), full_workload()] {
        assert_eq!(Workload::try_from(pb::Workload::from(&workload)), Ok(workload));
    }
}

#[test]
fn any_workload_survives_the_wire() {
    let mut dice = Dice(fastrand::Rng::with_seed(7));
    for _ in 0..2_000 {
        let workload = dice.workload();
        assert_eq!(Workload::try_from(pb::Workload::from(&workload)), Ok(workload));
    }
}

#[test]
fn default_values_are_absent_from_the_wire() {
    let message = wire();
    assert_eq!(message.trust_domain, "");
    assert_eq!(
        (message.network_gateway, message.application_tunnel),
        (None, None)
    );
    assert_eq!(message.capacity, None);
    let bare = Workload::new(pod().uid, "", pod().identity);
    assert_eq!(pb::Workload::from(&bare).locality, None);
}

#[test]
fn an_account_that_is_named_default_is_sent_and_one_that_is_not_named_is_not() {
    let named = Workload {
        identity: crate::fixtures::identity("shop", "default"),
        ..pod()
    };
    assert_eq!(pb::Workload::from(&named).service_account, "default");
    let implied = Workload {
        account_implied: true,
        ..named.clone()
    };
    let message = pb::Workload::from(&implied);
    assert_eq!(message.service_account, "");
    let decoded = Workload::try_from(message).unwrap();
    assert_eq!(decoded.identity, named.identity);
}

#[test]
fn an_absent_trust_domain_is_cluster_local() {
    assert_eq!(
        Workload::try_from(wire())
            .unwrap()
            .identity
            .trust_domain()
            .as_str(),
        "cluster.local"
    );
}

#[test]
fn an_absent_capacity_is_one_and_a_capacity_of_zero_stays_zero() {
    assert_eq!(Workload::try_from(wire()).unwrap().capacity, 1);
    let mut message = wire();
    message.capacity = Some(mesh_proto::google::protobuf::UInt32Value { value: 0 });
    assert_eq!(Workload::try_from(message).unwrap().capacity, 0);
}

#[test]
fn a_mapped_address_becomes_the_ipv4_one() {
    let mut message = wire();
    let mapped: std::net::Ipv6Addr = "::ffff:10.0.0.9".parse().unwrap();
    message.addresses = vec![bytes::Bytes::copy_from_slice(&mapped.octets())];
    let decoded = Workload::try_from(message).unwrap();
    assert_eq!(
        decoded.addresses,
        ["10.0.0.9".parse::<std::net::IpAddr>().unwrap()]
    );
}

#[test]
fn a_sidecars_mutual_tls_is_refused() {
    let refusal = refusal(|w| w.tunnel_protocol = pb::TunnelProtocol::LegacyIstioMtls.into());
    assert_eq!(refusal.problem, Problem::Unsupported("LEGACY_ISTIO_MTLS"));
    assert_eq!(
        refusal.to_string(),
        "workload \"Kubernetes//Pod/shop/web-6d4b75cb6d-abcde\": tunnel_protocol: LEGACY_ISTIO_MTLS is not supported"
    );
}

#[test]
fn a_refusal_names_the_field() {
    let gateway = pb::GatewayAddress {
        hbone_mtls_port: 70_000,
        lateen_fail_open: false,
        destination: None,
    };
    let web = "shop/web.shop.svc.cluster.local";
    for (refused, field, problem) in [
        (refusal(|w| w.uid.clear()), "uid", Problem::Empty),
        (refusal(|w| w.namespace.clear()), "namespace", Problem::Empty),
        (
            refusal(|w| w.addresses[1].truncate(5)),
            "addresses[1]",
            Problem::AddressLength(5),
        ),
        (
            refusal(|w| w.tunnel_protocol = 9),
            "tunnel_protocol",
            Problem::UnknownValue(9),
        ),
        (
            refusal(|w| w.network_mode = 9),
            "network_mode",
            Problem::UnknownValue(9),
        ),
        (refusal(|w| w.status = 9), "status", Problem::UnknownValue(9)),
        (
            refusal(|w| w.waypoint = Some(gateway.clone())),
            "waypoint.destination",
            Problem::Missing,
        ),
        (
            refusal(|w| w.authorization_policies[0] = "no-namespace".to_owned()),
            "authorization_policies[0]",
            Problem::NamespacedName("no-namespace".to_owned()),
        ),
        (
            refusal(|w| w.services.get_mut(web).unwrap().ports[1].target_port = 65_536),
            "services.shop/web.shop.svc.cluster.local.ports[1].target_port",
            Problem::Port(65_536),
        ),
    ] {
        assert_eq!((refused.field.as_str(), refused.problem), (field, problem));
    }
    assert_eq!(
        refusal(|w| w.service_account = "a/b".to_owned()).field,
        "service_account"
    );
    assert_eq!(refusal(|w| w.namespace = "a b".to_owned()).field, "namespace");
    assert_eq!(refusal(|w| w.trust_domain = "A".to_owned()).field, "trust_domain");
}

#[test]
fn extensions_and_labels_of_tomorrow_are_ignored() {
    let mut message = wire();
    message.extensions = vec![pb::Extension {
        name: "tomorrow".to_owned(),
        config: None,
    }];
    message.workload_type = 99;
    assert!(Workload::try_from(message).is_ok());
}
