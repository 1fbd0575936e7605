mod dice;
pub(crate) mod examples;

use std::fmt::Debug;

use bytes::Bytes;
use mesh_proto::google::protobuf::Duration as ProtoDuration;
use mesh_proto::lateen::l7::v1 as pb;
use prost::Message;

use self::dice::Any;
use super::quota::QuotaUnit;
use super::rate_limit::RateLimit;
use super::wire::{Resource, decode_resource, encode_resource};
use super::*;
use crate::fixtures::Dice;
use crate::{InvalidResource, Problem};

/// The law of the wire: what is written reads as the same, and writes as the same bytes.
fn survives<T: Resource + PartialEq + Debug>(thing: &T) {
    let body = encode_resource(thing);
    let again: T =
        decode_resource(&thing.own_name(), body.clone()).unwrap_or_else(|e| panic!("{e}: {thing:?}"));
    assert_eq!(&again, thing);
    assert_eq!(encode_resource(&again), body);
}

fn any_survives<T: Resource + Any + PartialEq + Debug>(seed: u64) {
    let mut dice = Dice(fastrand::Rng::with_seed(seed));
    for _ in 0..3_000 {
        survives(&T::any(&mut dice));
    }
}

#[test]
fn binds_survive_the_wire() {
    examples::binds().iter().for_each(|(_, bind)| survives(bind));
    any_survives::<Bind>(1);
}

#[test]
fn backends_survive_the_wire() {
    examples::backends()
        .iter()
        .for_each(|(_, backend)| survives(backend));
    any_survives::<Backend>(2);
}

#[test]
fn routes_survive_the_wire() {
    examples::routes().iter().for_each(|(_, route)| survives(route));
    any_survives::<Route>(3);
}

#[test]
fn policies_survive_the_wire() {
    examples::policies().iter().for_each(survives);
    any_survives::<Policy>(4);
}

#[test]
fn labels_survive_the_wire() {
    survives(&examples::labels());
    any_survives::<EndpointLabels>(5);
}

#[test]
fn quotas_survive_the_wire() {
    let quota = examples::quota();
    survives(&quota);
    for unit in [
        QuotaUnit::Second,
        QuotaUnit::Minute,
        QuotaUnit::Hour,
        QuotaUnit::Day,
        QuotaUnit::Week,
        QuotaUnit::Month,
        QuotaUnit::Year,
    ] {
        let mut quota = quota.clone();
        quota.limits[0].unit = unit;
        survives(&quota);
    }
    type Breaking = fn(&mut Quota);
    let breakings: [(Breaking, &str); 5] = [
        (|q| q.callers.clear(), "callers"),
        (|q| q.limits[1].name = "0".into(), "limits"),
        (|q| q.limits[0].requests = 0, "limits[0].requests"),
        (|q| q.limits[0].name = "".into(), "limits[0].name"),
        (|q| q.limits[0].keys[1] = "".into(), "limits[0].keys[1]"),
    ];
    for (breaking, field) in breakings {
        let mut quota = quota.clone();
        breaking(&mut quota);
        let error = Quota::decode(&quota.domain, quota.encode())
            .unwrap_err()
            .to_string();
        assert!(error.contains(field), "{error}");
    }
}

#[test]
fn what_is_not_known_is_refused_instead_of_left_out() {
    let route = examples::http_route();
    let mut body = route.encode().to_vec();
    // Field 100, of one byte.
    body.extend([0xa0, 0x06, 0x01]);
    let refused = Route::decode(&route.key(), body.into()).unwrap_err();
    assert_eq!(refused.problem, Problem::NotUnderstood);
    assert_eq!(
        refused.to_string(),
        r#"route "HTTPRoute/shop/cart": body: has fields that are not known here"#
    );
}

#[test]
fn a_resource_under_another_name_is_refused() {
    let bind = examples::waypoint_bind();
    let refused = Bind::decode("shop/waypoint/other", bind.encode()).unwrap_err();
    assert_eq!(
        refused.problem,
        Problem::OtherName("shop/waypoint/mesh".to_owned())
    );
}

#[test]
fn a_policys_name_says_what_it_is() {
    let names: Vec<_> = examples::policies().iter().map(|p| p.key().to_string()).collect();
    let mut distinct = names.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((names.len(), distinct.len()), (16, 16));
    assert_eq!(names[0], "AnyPolicy/shop/all/authorization/team");
}

#[test]
fn strictness_is_what_absence_means() {
    let limit = examples::global_limit();
    let policy = examples::policy(PolicyKind::RateLimit(RateLimit::Global(limit)));
    survives(&policy);
    let message = pb::Policy::decode(policy.encode()).unwrap();
    let Some(pb::policy::Kind::RateLimit(limit)) = message.kind else {
        panic!("it is a rate limit");
    };
    let Some(pb::rate_limit::Counted::Global(limit)) = limit.counted else {
        panic!("it is a global one");
    };
    assert!(!limit.fail_open);
}

#[test]
fn a_key_is_never_printed() {
    for (_, bind) in examples::binds() {
        let message = pb::Bind::decode(bind.encode()).unwrap();
        let (ours, wire) = (format!("{bind:?}"), format!("{message:?}"));
        assert!(
            !ours.contains("PRIVATE") && !wire.contains("PRIVATE"),
            "{ours}\n{wire}"
        );
    }
}

// === refusals ===

fn refused_bind(spoil: impl FnOnce(&mut pb::Bind)) -> InvalidResource {
    let bind = examples::waypoint_bind();
    let mut message = pb::Bind::decode(bind.encode()).unwrap();
    spoil(&mut message);
    Bind::decode(&bind.key(), message.encode_to_vec().into()).unwrap_err()
}

/// Of a route with one rule that says everything.
fn refused_rule(spoil: impl FnOnce(&mut pb::HttpRule)) -> InvalidResource {
    let route = examples::http_route();
    let mut message = pb::Route::decode(route.encode()).unwrap();
    let Some(pb::route::Rules::Http(http)) = &mut message.rules else {
        panic!("it routes requests");
    };
    spoil(&mut http.rules[0]);
    Route::decode(&route.key(), message.encode_to_vec().into()).unwrap_err()
}

fn forward(rule: &mut pb::HttpRule) -> &mut pb::HttpBackend {
    match &mut rule.action {
        Some(pb::http_rule::Action::Forward(forward)) => &mut forward.backends[0],
        _ => panic!("it forwards"),
    }
}

fn refused_policy(index: usize, spoil: impl FnOnce(&mut pb::policy::Kind)) -> InvalidResource {
    let policy = &examples::policies()[index];
    let mut message = pb::Policy::decode(policy.encode()).unwrap();
    spoil(message.kind.as_mut().unwrap());
    Policy::decode(&policy.key(), message.encode_to_vec().into()).unwrap_err()
}

fn check(refused: InvalidResource, field: &str, problem: Problem) {
    assert_eq!((refused.field.as_str(), refused.problem), (field, problem));
}

#[test]
fn a_bad_bind_is_refused_by_field() {
    check(refused_bind(|m| m.port = 0), "port", Problem::Port(0));
    check(
        refused_bind(|m| m.port = 65_536 + 80),
        "port",
        Problem::Port(65_616),
    );
    check(refused_bind(|m| m.protocol = None), "protocol", Problem::Missing);
    check(refused_bind(|m| m.gateway = None), "gateway", Problem::Missing);
    check(
        refused_bind(|m| m.listener = "a/b".into()),
        "listener",
        Problem::Slash("a/b".into()),
    );
    let serves = |serves| {
        refused_bind(move |m| m.protocol = Some(pb::bind::Protocol::Hbone(pb::HboneBind { serves })))
    };
    check(serves(0), "hbone.serves", Problem::UnknownValue(0));
    check(serves(5), "hbone.serves", Problem::UnknownValue(5));
}

#[test]
fn a_bad_match_is_refused_by_field() {
    let text = |r#match| pb::TextMatch {
        r#match: Some(r#match),
    };
    check(
        refused_rule(|m| m.matches[0].method = Some(pb::TextMatch { r#match: None })),
        "http.rules[0].matches[0].method.match",
        Problem::Missing,
    );
    check(
        refused_rule(|m| m.matches[0].headers[1].name = "X-There".into()),
        "http.rules[0].matches[0].headers[1].name",
        Problem::Header("X-There".into()),
    );
    let regex = || text(pb::text_match::Match::Regex("a(".into()));
    let refused = refused_rule(|m| m.matches[0].query[0].value = Some(regex()));
    assert_eq!(refused.field, "http.rules[0].matches[0].query[0].value.regex");
    assert!(matches!(refused.problem, Problem::Pattern(_)) && !refused.to_string().contains('\n'));
    let segments = |path: &str| pb::PathMatch {
        path: Some(pb::path_match::Path::Segments(path.into())),
    };
    for path in ["cart", "/cart/", ""] {
        check(
            refused_rule(|m| m.matches[0].path = Some(segments(path))),
            "http.rules[0].matches[0].path.segments",
            Problem::Path(path.into()),
        );
    }
    check(
        refused_rule(|m| m.matches[0].claims[0].claim = Some(pb::ClaimPath::default())),
        "http.rules[0].matches[0].claims[0].claim.names",
        Problem::Empty,
    );
}

#[test]
fn a_bad_action_is_refused_by_field() {
    check(
        refused_rule(|m| m.action = None),
        "http.rules[0].action",
        Problem::Missing,
    );
    check(
        refused_rule(|m| forward(m).weight = 1_000_001),
        "http.rules[0].forward.backends[0].weight",
        Problem::Above {
            number: 1_000_001,
            most: 1_000_000,
        },
    );
    check(
        refused_rule(|m| forward(m).destination = None),
        "http.rules[0].forward.backends[0].destination",
        Problem::Missing,
    );
    check(
        refused_rule(|m| forward(m).filters[0].filter = None),
        "http.rules[0].forward.backends[0].filters[0].filter",
        Problem::Missing,
    );
    let respond = |status| {
        let body = Bytes::new();
        refused_rule(|m| m.action = Some(pb::http_rule::Action::Respond(pb::Respond { status, body })))
    };
    check(respond(100), "http.rules[0].respond.status", Problem::Status(100));
    check(respond(600), "http.rules[0].respond.status", Problem::Status(600));
    let redirect = pb::Redirect {
        status: 304,
        ..pb::Redirect::default()
    };
    check(
        refused_rule(|m| m.action = Some(pb::http_rule::Action::Redirect(redirect))),
        "http.rules[0].redirect.status",
        Problem::RedirectStatus(304),
    );
}

#[test]
fn a_header_value_cannot_end_its_header() {
    let refused = refused_rule(|m| {
        let Some(pb::filter::Filter::RequestHeaders(edits)) = &mut m.filters[0].filter else {
            panic!("it edits headers");
        };
        edits.set[0].value = "1\r\nx-admin: yes".into();
    });
    check(
        refused,
        "http.rules[0].filters[0].request_headers.set[0].value",
        Problem::HeaderValue("1\r\nx-admin: yes".into()),
    );
}

#[test]
fn a_bad_time_is_refused_by_field() {
    for (seconds, nanos) in [
        (-1, 0),
        (0, -1),
        (0, 1_000_000_000),
        (i64::MAX, 0),
        (3_153_600_000, 1),
    ] {
        let time = ProtoDuration { seconds, nanos };
        check(
            refused_rule(|m| m.timeouts.as_mut().unwrap().request = Some(time)),
            "http.rules[0].timeouts.request",
            Problem::Duration { seconds, nanos },
        );
    }
    check(
        refused_rule(|m| m.retry.as_mut().unwrap().backoff = None),
        "http.rules[0].retry.backoff",
        Problem::Missing,
    );
}

#[test]
fn a_part_of_a_policy_that_is_not_known_refuses_it() {
    let authorization = |spoil: fn(&mut pb::Authorization)| {
        refused_policy(0, |kind| match kind {
            pb::policy::Kind::Authorization(m) => spoil(m),
            _ => panic!("the first one is an authorization"),
        })
    };
    check(
        authorization(|m| m.action = None),
        "authorization.action",
        Problem::Missing,
    );
    check(
        authorization(|m| m.rules[0].when[0].condition = None),
        "authorization.rules[0].when[0].condition",
        Problem::Missing,
    );
    check(
        authorization(|m| m.rules[0].from[0].principals.as_mut().unwrap().any[0].r#match = None),
        "authorization.rules[0].from[0].principals.any[0].match",
        Problem::Missing,
    );
    check(
        authorization(|m| m.rules[0].from[0].ips.as_mut().unwrap().any[0].length = 33),
        "authorization.rules[0].from[0].ips.any[0].length",
        Problem::PrefixLength {
            address: "10.0.0.0".parse().unwrap(),
            length: 33,
        },
    );
    check(
        authorization(|m| m.rules[0].to[0].ports.as_mut().unwrap().none[0] = 0),
        "authorization.rules[0].to[0].ports.none[0]",
        Problem::Port(0),
    );
    let normalization = refused_policy(13, |kind| *kind = pb::policy::Kind::PathNormalization(0));
    check(normalization, "path_normalization", Problem::UnknownValue(0));
}

#[test]
fn bad_traffic_rules_are_refused_by_field() {
    let traffic = |spoil: &dyn Fn(&mut pb::TrafficSettings)| {
        refused_policy(2, |kind| match kind {
            pb::policy::Kind::Traffic(m) => spoil(m.ports.get_mut(&80).unwrap()),
            _ => panic!("the third one is about traffic"),
        })
    };
    let maglev = |size: u32| {
        traffic(&|m| match &mut m.balancer.as_mut().unwrap().balancer {
            Some(pb::balancer::Balancer::ConsistentHash(m)) => {
                m.table = Some(pb::consistent_hash::Table::Maglev(size));
            }
            _ => panic!("it hashes"),
        })
    };
    let field = "traffic.ports[80].balancer.consistent_hash.maglev";
    for size in [0, 1, 4, 65_536] {
        check(maglev(size), field, Problem::NotPrime(size));
    }
    check(
        maglev(5_000_077),
        field,
        Problem::Above {
            number: 5_000_077,
            most: 5_000_011,
        },
    );
    check(
        traffic(&|m| m.proxy_protocol = Some(0)),
        "traffic.ports[80].proxy_protocol",
        Problem::UnknownValue(0),
    );
}
