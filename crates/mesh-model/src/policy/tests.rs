use bytes::Bytes;
use mesh_proto::istio::security as pb;
use mesh_proto::istio::security::string_match::MatchType;
use mesh_types::NamespacedName;

use super::wire::decode_range;
use crate::fixtures::{Dice, full_policy, strict};
use crate::{Authorization, InvalidResource, Problem};

fn refusal(spoil: impl FnOnce(&mut pb::Match)) -> InvalidResource {
    let mut message = pb::Authorization::from(&full_policy());
    spoil(&mut message.rules[0].clauses[0].matches[0]);
    Authorization::try_from(message).unwrap_err()
}

#[test]
fn a_policy_survives_the_wire() {
    for policy in [strict(), full_policy()] {
        assert_eq!(
            Authorization::try_from(pb::Authorization::from(&policy)),
            Ok(policy)
        );
    }
}

#[test]
fn any_policy_survives_the_wire() {
    let mut dice = Dice(fastrand::Rng::with_seed(9));
    for _ in 0..2_000 {
        let policy = dice.policy(NamespacedName::new("shop", "p"));
        assert_eq!(Authorization::decode("shop/p", policy.encode()), Ok(policy));
    }
}

#[test]
fn strict_mode_has_the_bytes_that_istio_sends() {
    // name, namespace, scope WORKLOAD_SELECTOR, action DENY, one rule of one clause of one match of one presence.
    let mut bytes = vec![10, 29];
    bytes.extend(b"istio_converted_static_strict");
    bytes.extend([18, 12]);
    bytes.extend(b"istio-system");
    bytes.extend([24, 2, 32, 1, 42, 8, 10, 6, 18, 4, 34, 2, 34, 0]);
    assert_eq!(strict().encode(), bytes);
}

#[test]
fn a_malformed_value_refuses_the_policy_instead_of_widening_it() {
    let at = |field: &str| format!("rules[0].clauses[0].matches[0].{field}");
    let empty = |kind: fn(String) -> MatchType| pb::StringMatch {
        match_type: Some(kind(String::new())),
    };
    for (refused, field, problem) in [
        (
            refusal(|m| m.source_ips[1].address = Bytes::from_static(&[10, 0])),
            "source_ips[1].address",
            Problem::AddressLength(2),
        ),
        (
            refusal(|m| m.source_ips[0].length = 33),
            "source_ips[0].length",
            Problem::PrefixLength {
                address: "10.0.0.0".parse().unwrap(),
                length: 33,
            },
        ),
        // 264 is 8 in eight bits.
        (
            refusal(|m| m.not_destination_ips[0].length = 264),
            "not_destination_ips[0].length",
            Problem::PrefixLength {
                address: "10.9.0.0".parse().unwrap(),
                length: 264,
            },
        ),
        // 65536 + 80 is 80 in sixteen bits.
        (
            refusal(|m| m.destination_ports[1] = 65_616),
            "destination_ports[1]",
            Problem::Port(65_616),
        ),
        (
            refusal(|m| m.not_destination_ports[0] = u32::MAX),
            "not_destination_ports[0]",
            Problem::Port(u32::MAX),
        ),
        (
            refusal(|m| m.namespaces[0].match_type = None),
            "namespaces[0].match_type",
            Problem::Missing,
        ),
        (
            refusal(|m| m.principals[0] = empty(MatchType::Exact)),
            "principals[0].exact",
            Problem::Empty,
        ),
        (
            refusal(|m| m.not_principals[0] = empty(MatchType::Prefix)),
            "not_principals[0].prefix",
            Problem::Empty,
        ),
        (
            refusal(|m| m.not_namespaces[0] = empty(MatchType::Suffix)),
            "not_namespaces[0].suffix",
            Problem::Empty,
        ),
        (
            refusal(|m| m.service_accounts[0].namespace.clear()),
            "service_accounts[0].namespace",
            Problem::Empty,
        ),
        (
            refusal(|m| m.not_service_accounts[0].service_account.clear()),
            "not_service_accounts[0].serviceAccount",
            Problem::Empty,
        ),
    ] {
        assert_eq!((refused.field, refused.problem), (at(field), problem));
    }
}

#[test]
fn unknown_scopes_and_actions_are_refused() {
    let message = pb::Authorization::from(&strict());
    let scope = pb::Authorization {
        scope: 3,
        ..message.clone()
    };
    let action = pb::Authorization {
        action: 2,
        ..message.clone()
    };
    assert_eq!(
        Authorization::try_from(scope).unwrap_err().to_string(),
        "authorization policy \"istio-system/istio_converted_static_strict\": scope: unknown value 3"
    );
    assert_eq!(
        Authorization::try_from(action).unwrap_err().problem,
        Problem::UnknownValue(2)
    );
}

#[test]
fn a_policy_needs_a_name_and_a_namespace() {
    for (name, namespace) in [("", "shop"), ("p", ""), ("a/b", "shop")] {
        let message = pb::Authorization {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            ..pb::Authorization::default()
        };
        assert!(Authorization::try_from(message).is_err(), "{namespace}/{name}");
    }
}

#[test]
fn a_policy_under_anothers_name_is_refused() {
    let refused = Authorization::decode("shop/other", strict().encode()).unwrap_err();
    assert_eq!(refused.name, "shop/other");
    assert!(matches!(refused.problem, Problem::OtherName(_)));
}

#[test]
fn bytes_that_are_no_message_are_refused_by_name() {
    let refused = Authorization::decode("shop/p", Bytes::from_static(&[0xff])).unwrap_err();
    assert_eq!(
        (refused.name.as_str(), refused.field.as_str()),
        ("shop/p", "body")
    );
    assert!(matches!(refused.problem, Problem::Encoding(_)));
}

#[test]
fn a_range_of_mapped_addresses_is_the_ipv4_range() {
    let mapped: std::net::Ipv6Addr = "::ffff:10.0.0.0".parse().unwrap();
    let range = |length| decode_range(&mapped.octets(), length).ok();
    assert_eq!(range(104), "10.0.0.0/8".parse().ok());
    assert_eq!(range(95), None, "this would hold addresses that are not mapped");
    assert_eq!(range(129), None);
}

#[test]
fn rules_of_tomorrow_are_ignored_where_they_are_extensions() {
    let mut message = pb::Authorization::from(&full_policy());
    message.rules[0].clauses[0].matches[0].extensions = vec![pb::Extension {
        name: "tomorrow".to_owned(),
        config: None,
    }];
    assert_eq!(Authorization::try_from(message), Ok(full_policy()));
}
