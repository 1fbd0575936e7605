//! What is wrong does what its author must not be surprised by, and says where it is: object, field and reason, in one
//! line. xDS is carried by gRPC here, as in products.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_k8s_api::Object;
use controlplane_k8s_api::lateen::{HealthProbe, LocalLimit, SessionCarrier};
use controlplane_k8s_api::security::{JwtKeys, JwtRule, Rule};
use mesh_model::l7::authorization::{Condition, TextAttribute, Values};
use mesh_model::l7::route::{HttpMatch, NamedMatch, Rules};
use mesh_model::l7::{PolicyKind, TextMatch};
use mesh_xds::{Change, TypeUrl};
use serde_json::{Value, json};

use crate::cases::{http_route, to};
use crate::harness::Together;
use crate::tokens;

/// An object for the Service `web`.
fn policy(version: &str, kind: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: {version}, kind: {kind}, metadata: {{name: {name}, namespace: shop}}, spec: {{targetRefs: [{{group: '', kind: \
         Service, name: web}}], {spec}}}}}"
    )
}

fn authorization(name: &str, spec: &str) -> String {
    policy("security.istio.io/v1", "AuthorizationPolicy", name, spec)
}

fn own(kind: &str, spec: &str) -> String {
    policy("lateen.dev/v1alpha1", kind, "web", spec)
}

fn status(mesh: &Together) -> u16 {
    mesh.get("/").send().status
}

/// The messages of an object's conditions of a type, which are one line each.
fn told(mesh: &Together, kind: &str, name: &str, condition: &str) -> String {
    let found = mesh.conditions(kind, name, condition);
    let messages = found.iter().filter_map(|c| c["message"].as_str());
    let messages: Vec<_> = messages.collect();
    assert!(messages.iter().all(|m| !m.contains('\n')), "{messages:?}");
    messages.join(" | ")
}

#[test]
fn an_invalid_backend_is_answered_with_500_for_its_share_and_nobody_else_gets_it() {
    let mesh = Together::shop_over_grpc("");
    for (backend, reason, message) in [
        ("name: nobody, port: 80", "BackendNotFound", "Service shop/nobody"),
        ("name: web-v2, port: 82", "BackendNotFound", "has no port 82"),
        ("kind: Lamp, name: web-v2, port: 80", "InvalidKind", "Lamp"),
    ] {
        mesh.apply(&http_route(&format!(
            "{{backendRefs: [{{name: web-v1, port: 80, weight: 7}}, {{{backend}, weight: 2}}, {{name: web-v2, port: 80, weight: 1}}]}}"
        )));
        assert_eq!(mesh.reason("HTTPRoute", "web", "ResolvedRefs"), reason);
        let said = told(&mesh, "HTTPRoute", "web", "ResolvedRefs");
        assert!(
            said.contains("spec.rules[0].backendRefs[1]") && said.contains(message),
            "{said}"
        );
        for two in [false, true] {
            let get = || if two { mesh.get("/").http2() } else { mesh.get("/") };
            let kept = [mesh.keep(get()), mesh.keep(get()), mesh.keep(get())];
            let mut got = BTreeMap::<(u16, String), usize>::new();
            for n in 0..500 {
                let answer = kept[n % 3].send(get());
                *got.entry((answer.status, answer.by().to_owned())).or_default() += 1;
            }
            let of = |status: u16, by: &str| got.get(&(status, by.to_owned())).copied().unwrap_or_default();
            let shares = [of(200, "web-v1"), of(500, ""), of(200, "web-v2")];
            let wanted = [350, 100, 50];
            assert!(
                shares.iter().sum::<usize>() == 500
                    && shares
                        .iter()
                        .zip(wanted)
                        .all(|(n, wanted)| n.abs_diff(wanted) <= 25),
                "{backend}: {got:?}"
            );
        }
    }
    mesh.apply(&http_route(&format!("{{{}}}", to("v1"))));
    assert!((0..50).all(|_| mesh.get("/").send().brief() == (200, "web-v1")));
    assert!(mesh.holds("HTTPRoute", "web", "ResolvedRefs"));
}

#[test]
fn a_filter_that_is_not_there_is_answered_with_500_and_other_rules_serve() {
    let mesh = Together::shop_over_grpc(&http_route(&format!(
        "{{matches: [{{path: {{value: /slow}}}}], filters: [{{type: ExtensionRef, extensionRef: {{group: lateen.dev, kind: FaultFilter, \
         name: slow}}}}], {}}}, {{{}}}",
        to("v1"),
        to("v2")
    )));
    let said = told(&mesh, "HTTPRoute", "web", "ResolvedRefs");
    assert!(
        said.contains("spec.rules[0].filters[0]") && said.contains("FaultFilter"),
        "{said}"
    );
    assert_eq!(mesh.get("/slow").send().brief(), (500, ""));
    assert_eq!(mesh.get("/").send().brief(), (200, "web-v2"));
    mesh.apply("{apiVersion: lateen.dev/v1alpha1, kind: FaultFilter, metadata: {name: slow, namespace: shop}, spec: {delay: {fixedDelay: 1ms}}}");
    assert_eq!(mesh.get("/slow").send().brief(), (200, "web-v1"));
}

type BreakRule = fn(&mut Rule);

/// A rule that takes every request of the tests but for what is broken, and where that is told.
const BROKEN_RULES: &[(&str, BreakRule, &str)] = &[
    (
        "from: [{source: {ipBlocks: [127.0.0.0/8]}}]",
        |rule| rule.from[0].source.ip_blocks = vec!["10.0.0.0/99".into()],
        "from[0].source.ipBlocks",
    ),
    (
        "from: [{source: {notIpBlocks: [192.0.2.0/24]}}]",
        |rule| rule.from[0].source.not_ip_blocks = vec!["nowhere".into()],
        "from[0].source.notIpBlocks",
    ),
    (
        "from: [{source: {remoteIpBlocks: [127.0.0.0/8]}}]",
        |rule| rule.from[0].source.remote_ip_blocks.push("10".into()),
        "from[0].source.remoteIpBlocks",
    ),
    (
        "from: [{source: {namespaces: [shop]}}]",
        |rule| rule.from[0].source = <_>::default(),
        "from[0].source",
    ),
    (
        "to: [{operation: {ports: ['80']}}]",
        |rule| rule.to[0].operation.ports = vec!["eighty".into()],
        "to[0].operation.ports",
    ),
    (
        "to: [{operation: {paths: [/*]}}]",
        |rule| rule.to[0].operation.paths = vec!["/{a}".into()],
        "to[0].operation.paths",
    ),
    (
        "when: [{key: source.namespace, values: [shop]}]",
        |rule| rule.when[0].key = "source.colour".into(),
        "when[0].key",
    ),
    (
        "when: [{key: source.ip, values: [127.0.0.0/8]}]",
        |rule| rule.when[0].values = vec!["10.0.0.0/x".into()],
        "when[0].values",
    ),
    (
        "when: [{key: source.namespace, values: [shop]}]",
        |rule| rule.when[0].values = Vec::new(),
        "when[0]",
    ),
];

/// Each broken part in a policy of this action; whether a request passes before and after.
fn broken_rules(action: &str, before: u16, after: u16, direction: &str) {
    let mesh = Together::shop_over_grpc("");
    for (rule, break_it, field) in BROKEN_RULES {
        let yaml = authorization("row", &format!("action: {action}, rules: [{{{rule}}}]"));
        mesh.apply(&yaml);
        assert_eq!(status(&mesh), before, "{action} {rule}");
        mesh.apply_unchecked(&yaml, |object| {
            let Object::AuthorizationPolicy(policy) = object else {
                panic!()
            };
            break_it(&mut policy.spec.rules[0]);
        });
        assert_eq!(status(&mesh), after, "{action} {field}");
        assert_eq!(
            mesh.reason("AuthorizationPolicy", "row", "WaypointAccepted"),
            "PartiallyInvalid"
        );
        let said = told(&mesh, "AuthorizationPolicy", "row", "WaypointAccepted");
        assert!(
            said.contains("spec.rules[0]") && said.contains(field) && said.contains(direction),
            "{said}"
        );
    }
}

#[test]
fn a_broken_part_makes_an_allow_narrower() {
    broken_rules("ALLOW", 200, 403, "allows nothing by what is wrong");
}

#[test]
fn a_broken_part_makes_a_deny_wider() {
    broken_rules("DENY", 403, 403, "denies more than it says");
    // Wider is what it was not about before: this one is for nobody here.
    let mesh = Together::shop_over_grpc("");
    let yaml = authorization(
        "row",
        "action: DENY, rules: [{from: [{source: {ipBlocks: [192.0.2.0/24]}}]}]",
    );
    mesh.apply(&yaml);
    assert_eq!(status(&mesh), 200);
    mesh.apply_unchecked(&yaml, |object| {
        let Object::AuthorizationPolicy(policy) = object else {
            panic!()
        };
        policy.spec.rules[0].from[0].source.ip_blocks = vec!["192.0.2.0/99".into()];
    });
    assert_eq!(status(&mesh), 403);
}

#[test]
fn another_rule_of_a_broken_policy_counts_as_it_is_written() {
    let mesh = Together::shop_over_grpc("");
    let yaml = authorization(
        "row",
        "rules: [{from: [{source: {namespaces: [shop]}}]}, {to: [{operation: {paths: [/open]}}]}]",
    );
    mesh.apply_unchecked(&yaml, |object| {
        let Object::AuthorizationPolicy(policy) = object else {
            panic!()
        };
        policy.spec.rules[0].from[0].source.ip_blocks = vec!["x".into()];
    });
    assert_eq!((status(&mesh), mesh.get("/open").send().status), (403, 200));
}

#[test]
fn a_provider_that_is_not_there_lets_nobody_pass_that_it_would_be_asked_about() {
    let mesh = Together::shop_over_grpc(&authorization(
        "ask",
        "action: CUSTOM, provider: {name: nobody}, rules: [{to: [{operation: {paths: [/asked]}}]}]",
    ));
    assert_eq!((mesh.get("/asked").send().status, status(&mesh)), (403, 200));
    let said = told(&mesh, "AuthorizationPolicy", "ask", "WaypointAccepted");
    assert!(
        said.contains("spec.provider.name") && said.contains("nobody"),
        "{said}"
    );
}

#[test]
fn a_broken_rule_of_tokens_lets_no_token_count() {
    let mesh = Together::shop_over_grpc(&authorization(
        "needs",
        "rules: [{from: [{source: {requestPrincipals: ['*']}}]}]",
    ));
    let good = tokens::token(json!({"aud": "shop"}));
    let ask = |name: &str| {
        let ask = mesh.get("/").header(name, &format!("Bearer {good}"));
        ask.send().status
    };
    type Breaking = fn(&mut JwtRule);
    let breakings: [(Breaking, &str); 5] = [
        (|rule| rule.issuer = "".into(), "issuer"),
        (|rule| rule.audiences = vec!["".into()], "audiences"),
        (
            |rule| rule.from_headers[0].name = "no header".into(),
            "fromHeaders[0].name",
        ),
        (|rule| rule.keys = JwtKeys::Inline(" ".into()), "jwks"),
        (|rule| rule.keys = JwtKeys::Uri("ftp://keys".into()), "jwksUri"),
    ];
    for (breaking, field) in breakings {
        let yaml =
            tokens::authentication("audiences: [shop], fromHeaders: [{name: x-token, prefix: 'Bearer '}]");
        mesh.apply(&yaml);
        assert_eq!(ask("x-token"), 200, "{field}");
        mesh.apply_unchecked(&yaml, |object| {
            let Object::RequestAuthentication(authentication) = object else {
                panic!()
            };
            breaking(&mut authentication.spec.jwt_rules[0]);
        });
        assert!(matches!(ask("x-token"), 401 | 403), "{field}");
        // Nor is it looked for where nobody wrote that it is.
        assert!(matches!(ask("authorization"), 401 | 403), "{field}");
        let said = told(&mesh, "RequestAuthentication", "jwt", "WaypointAccepted");
        assert!(said.contains(&format!("spec.jwtRules[0].{field}")), "{said}");
        mesh.remove("RequestAuthentication", "jwt");
    }
}

#[test]
fn a_broken_limit_counts_nothing_and_the_one_beside_it_counts() {
    let mesh = Together::shop_over_grpc("");
    type Breaking = fn(&mut LocalLimit);
    let breakings: [(Breaking, &str); 3] = [
        (|limit| limit.interval = <_>::default(), "interval"),
        (
            |limit| limit.by[0].source = controlplane_k8s_api::lateen::DescriptorSource::Header("a b".into()),
            "by[0].header",
        ),
        (
            |limit| {
                let regex = controlplane_k8s_api::lateen::TextMatch::Regex("(".into());
                limit.by[0].value = Some(regex);
            },
            "by[0].value",
        ),
    ];
    for (breaking, field) in breakings {
        let yaml = own(
            "RateLimitPolicy",
            "local: {limits: [{by: [{header: x-user}], requests: 1, interval: 1h}, {by: [{header: x-all}], requests: 1, interval: 1h}]}",
        );
        mesh.apply_unchecked(&yaml, |object| {
            let Object::RateLimitPolicy(policy) = object else {
                panic!()
            };
            breaking(&mut policy.spec.local.as_mut().expect("it is there").limits[0]);
        });
        let with = |name: &str| mesh.get("/").header(name, field).send().status;
        assert_eq!([with("x-user"), with("x-user")], [200, 200], "{field}");
        assert_eq!([with("x-all"), with("x-all")], [200, 429], "{field}");
        assert_eq!(
            mesh.reason("RateLimitPolicy", "web", "Accepted"),
            "PartiallyInvalid"
        );
        let said = told(&mesh, "RateLimitPolicy", "web", "Accepted");
        assert!(said.contains(&format!("spec.local.limits[0].{field}")), "{said}");
    }
}

#[test]
fn a_broken_health_check_leaves_nobody_out() {
    let mesh = Together::shop_over_grpc("");
    mesh.of("web-v1").answers_at("/healthz", Some(503));
    let yaml = own(
        "HealthCheckPolicy",
        "http: {path: /healthz}, interval: 10ms, unhealthyThreshold: 1",
    );
    mesh.apply_unchecked(&yaml, |object| {
        let Object::HealthCheckPolicy(policy) = object else {
            panic!()
        };
        let HealthProbe::Http(http) = &mut policy.spec.probe else {
            panic!()
        };
        http.path = "healthz".into();
    });
    let said = told(&mesh, "HealthCheckPolicy", "web", "Accepted");
    assert!(said.contains("spec.http.path"), "{said}");
    assert!(!mesh.holds("HealthCheckPolicy", "web", "Accepted"));
    let by: BTreeSet<String> = (0..40).map(|_| mesh.get("/").send().by().to_owned()).collect();
    assert_eq!(by.len(), 2, "{by:?}");
}

#[test]
fn a_broken_session_keeps_nobody() {
    let mesh = Together::shop_over_grpc("");
    mesh.apply_unchecked(&own("SessionPolicy", "cookie: {name: sid}"), |object| {
        let Object::SessionPolicy(policy) = object else {
            panic!()
        };
        let SessionCarrier::Cookie(cookie) = &mut policy.spec.carrier else {
            panic!()
        };
        cookie.name = "a b".into();
    });
    let answer = mesh.get("/").send();
    assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
    let said = told(&mesh, "SessionPolicy", "web", "Accepted");
    assert!(said.contains("spec.cookie.name"), "{said}");
}

/// What is seen of an object that is in force.
type Works = fn(&Together) -> bool;

type File = (
    &'static str,
    &'static str,
    Works,
    (&'static str, &'static str),
    &'static str,
);

/// Kind, the object, what is seen of it, a text in place of its file, and the field that the status names.
const FILES: &[File] = &[
    (
        "AuthorizationPolicy",
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: web, namespace: shop}, spec: {targetRefs: [{group: '', kind: Service, name: web}], action: DENY, rules: [{to: [{operation: {paths: [/no]}}]}]}}",
        |mesh| mesh.get("/no").send().status == 403 && status(mesh) == 200,
        ("paths:", "path:"),
        "spec.rules[0].to[0].operation.path",
    ),
    (
        "RequestAuthentication",
        "{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: web, namespace: shop}, spec: {targetRefs: [{group: '', kind: Service, name: web}], jwtRules: [{issuer: me, jwks: '{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}'}]}}",
        |mesh| {
            let ask = mesh.get("/").header("authorization", "Bearer x.y.z");
            ask.send().status == 401 && status(mesh) == 200
        },
        ("issuer: me", "issuer: ''"),
        "spec.jwtRules[0].issuer",
    ),
    (
        "RateLimitPolicy",
        "{apiVersion: lateen.dev/v1alpha1, kind: RateLimitPolicy, metadata: {name: web, namespace: shop}, spec: {targetRefs: [{group: '', kind: Service, name: web}], local: {limits: [{by: [{header: x-limited}], requests: 1, interval: 1h}]}}}",
        |mesh| {
            let ask = || mesh.get("/").header("x-limited", "a").send().status;
            let first = ask();
            (first == 200 || first == 429) && ask() == 429 && status(mesh) == 200
        },
        ("requests: 1", "requests: 0"),
        "spec.local.limits[0].requests",
    ),
    (
        "SessionPolicy",
        "{apiVersion: lateen.dev/v1alpha1, kind: SessionPolicy, metadata: {name: web, namespace: shop}, spec: {targetRefs: [{group: '', kind: Service, name: web}], cookie: {name: sid}}}",
        |mesh| {
            mesh.get("/")
                .send()
                .header("set-cookie")
                .is_some_and(|set| set.starts_with("sid="))
        },
        ("name: sid", "name: 's id'"),
        "spec.cookie.name",
    ),
    (
        "HealthCheckPolicy",
        "{apiVersion: lateen.dev/v1alpha1, kind: HealthCheckPolicy, metadata: {name: web, namespace: shop}, spec: {targetRefs: [{group: '', kind: Service, name: web}], http: {path: /healthz}, interval: 10ms, unhealthyThreshold: 1}}",
        |mesh| {
            mesh.until("a probe", || {
                let seen = mesh.of("web-v1").requests();
                mesh.of("web-v1").forget();
                seen.iter().any(|seen| seen.path == "/healthz").then_some(true)
            })
        },
        ("path: /healthz", "path: healthz"),
        "spec.http.path",
    ),
    (
        "FaultFilter",
        "{apiVersion: lateen.dev/v1alpha1, kind: FaultFilter, metadata: {name: web, namespace: shop}, spec: {abort: {httpStatus: 418}}}",
        |mesh| mesh.get("/fault").send().status == 418,
        ("httpStatus: 418", "httpStatus: 1418"),
        "spec.abort.httpStatus",
    ),
    (
        "HTTPRoute",
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: v1, namespace: shop}, spec: {parentRefs: [{group: '', kind: Service, name: web-v1}], rules: [{backendRefs: [{name: web-v2, port: 80}]}]}}",
        |mesh| mesh.get("/").to("web-v1:80").send().by() == "web-v2",
        ("port: 80", "port: 80000"),
        "spec.rules[0].backendRefs[0].port",
    ),
    (
        "DestinationRule",
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: web, namespace: shop}, spec: {host: web, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}}",
        |mesh| mesh.get("/").send().seen().version == "HTTP/2.0",
        ("UPGRADE", "PERHAPS"),
        "spec.trafficPolicy.connectionPool.http.h2UpgradePolicy",
    ),
    (
        "Telemetry",
        "{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {name: web, namespace: shop}, spec: {accessLogging: [{providers: [{name: envoy}], filter: {expression: 'response.code >= 400'}}]}}",
        |mesh| {
            let count = |path: &str| mesh.log(0).iter().filter(|line| line.contains(path)).count();
            let before = (count("/fine"), count("/gone"));
            mesh.get("/fine").send();
            mesh.get("/gone").header("say-status", "410").send();
            mesh.until("the line", || (count("/gone") > before.1).then_some(()));
            count("/fine") == before.0
        },
        ("response.code >= 400", "response.colour == 1"),
        "spec.accessLogging[0].filter.expression",
    ),
];

#[test]
fn a_file_that_does_not_parse_leaves_the_last_good_one_in_force() {
    let mesh = Together::shop_over_grpc(&http_route(
        "{matches: [{path: {value: /fault}}], filters: [{type: ExtensionRef, extensionRef: {group: lateen.dev, kind: FaultFilter, name: web}}], \
         backendRefs: [{name: web, port: 80}]}, {backendRefs: [{name: web, port: 80}]}",
    ));
    for (kind, yaml, works, (right, wrong), field) in FILES {
        let name = if *kind == "HTTPRoute" { "v1" } else { "web" };
        mesh.apply(yaml);
        assert!(works(&mesh), "{kind}, as it should be");
        let broken = yaml.replacen(right, wrong, 1);
        for (text, field) in [(broken.as_str(), *field), ("{apiVersion: x", "")] {
            let errors = mesh.overwrite(kind, name, text);
            assert!(!errors.is_empty(), "{kind}");
            assert!(works(&mesh), "{kind}: {errors:?}");
            let current = mesh.conditions(kind, name, "lateen.dev/Current");
            assert_eq!(current[0]["status"], "False", "{kind}");
            assert_eq!(current[0]["reason"], "LastGood", "{kind}");
            let said = told(&mesh, kind, name, "lateen.dev/Current");
            assert!(
                said.contains(field) && said.contains(&format!("{kind}/shop/{name}.yaml:1:")),
                "{said}"
            );
            // What cannot be read at all names no object.
            assert!(
                field.is_empty() || said.contains(&format!("{kind} shop/{name}: ")),
                "{said}"
            );
        }
        mesh.apply(yaml);
        let current = mesh.conditions(kind, name, "lateen.dev/Current");
        assert!(current.is_empty(), "{kind}, mended: {current:?}");
        // What is seen is its doing. (Without a probe there is nothing to wait for; a line may come late.)
        if !["FaultFilter", "HealthCheckPolicy", "Telemetry"].contains(kind) {
            mesh.remove(kind, name);
            assert!(!works(&mesh), "{kind}, without it");
        }
    }
}

#[test]
fn a_file_that_never_parsed_counts_for_nothing_and_its_object_says_so() {
    let mesh = Together::shop_over_grpc("");
    let wrong = authorization("never", "action: DENY, rules: [{to: [{operation: {path: [/]}}]}]");
    assert!(mesh.try_apply(&wrong).is_err());
    assert_eq!(status(&mesh), 200);
    assert_eq!(
        mesh.reason("AuthorizationPolicy", "never", "lateen.dev/Current"),
        "NeverGood"
    );
    let said = told(&mesh, "AuthorizationPolicy", "never", "lateen.dev/Current");
    assert!(
        said.contains("AuthorizationPolicy shop/never: spec.rules[0].to[0].operation.path")
            && said.contains("paths"),
        "{said}"
    );
}

/// The waypoint's resources; what a control plane of another version might send in place of them.
fn refusals(mesh: &Together) -> Vec<Value> {
    let page = mesh.status_page();
    page["refusedByProxies"].as_array().cloned().unwrap_or_default()
}

#[test]
fn what_the_waypoint_refuses_leaves_the_last_good_one_in_force_and_the_rest_of_its_batch_applies() {
    let mesh = Together::shop_over_grpc(&http_route(&format!("{{{}}}", to("v1"))));
    let mut poison = (**mesh.l7().route("HTTPRoute/shop/web").expect("it is there")).clone();
    let mut fine = poison.clone();
    fine.object.name.name = "fine".into();
    let Rules::Http { rules, .. } = &mut fine.rules else {
        panic!()
    };
    rules[0].matches = vec![HttpMatch {
        headers: vec![named("x-fine", "yes")],
        ..HttpMatch::default()
    }];
    let Rules::Http { rules, .. } = &mut poison.rules else {
        panic!()
    };
    rules[0].matches = vec![HttpMatch {
        headers: vec![named("no header", "x")],
        ..HttpMatch::default()
    }];
    let change = |name: &str, body: bytes::Bytes| {
        Change::upsert(TypeUrl::ROUTE, name, body).for_gateways(["shop/waypoint"])
    };
    let refused = mesh.inject(vec![
        change("HTTPRoute/shop/web", poison.encode()),
        change("HTTPRoute/shop/fine", fine.encode()),
    ]);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(
        refused[0].contains("HTTPRoute/shop/web") && refused[0].contains("headers[0].name"),
        "{refused:?}"
    );
    assert_eq!(mesh.get("/").send().brief(), (200, "web-v1"));
    assert!(mesh.l7().route("HTTPRoute/shop/fine").is_some());
    let said = refusals(&mesh);
    assert_eq!(said.len(), 1, "{said:?}");
    let error = said[0]["error"].as_str().expect("a line");
    assert!(
        error.contains("HTTPRoute/shop/web") && !error.contains('\n'),
        "{error}"
    );
    // Whoever mends it is believed.
    let mended = mesh.inject(vec![change("HTTPRoute/shop/web", fine.encode().slice(0..0))]);
    assert_eq!(mended.len(), 1, "an empty message is no route: {mended:?}");
    mesh.apply(&http_route(&format!("{{{}}}", to("v2"))));
    assert_eq!(mesh.get("/").send().brief(), (200, "web-v2"));
    assert_eq!(refusals(&mesh), Vec::<Value>::new());
}

fn named(name: &str, value: &str) -> NamedMatch {
    NamedMatch {
        name: name.into(),
        value: TextMatch::Exact(value.into()),
    }
}

#[test]
fn a_policy_that_the_waypoint_refuses_is_in_force_as_it_was_or_lets_nothing_pass() {
    let mesh = Together::shop_over_grpc(&authorization(
        "no",
        "action: DENY, rules: [{to: [{operation: {paths: [/no]}}]}]",
    ));
    let key = "AuthorizationPolicy/shop/no/authorization";
    let mut poison = (**mesh.l7().policy(key).expect("it is there")).clone();
    let PolicyKind::Authorization(says) = &mut poison.kind else {
        panic!()
    };
    says.rules[0].to.clear();
    says.rules[0].when = vec![Condition::Text(
        TextAttribute::RequestHeader("no header".into()),
        Values {
            any: vec![TextMatch::Present],
            ..Values::default()
        },
    )];
    let change = |name: &str, body: bytes::Bytes| {
        Change::upsert(TypeUrl::POLICY, name, body).for_gateways(["shop/waypoint"])
    };
    let refused = mesh.inject(vec![change(key, poison.encode())]);
    assert!(refused[0].contains(key), "{refused:?}");
    assert_eq!((mesh.get("/no").send().status, status(&mesh)), (403, 200));
    // One that was never good is in nobody's way but its targets': they are closed.
    poison.object.name.name = "new".into();
    let refused = mesh.inject(vec![change(
        "AuthorizationPolicy/shop/new/authorization",
        poison.encode(),
    )]);
    assert!(refused[0].contains("shop/new"), "{refused:?}");
    assert_eq!(status(&mesh), 503);
    assert_eq!(mesh.get("/").to("web-v1:80").send().status, 200);
}

#[test]
fn nobody_to_ask_is_503_and_too_much_is_503_or_429_and_grpc_has_codes_of_its_own() {
    let mesh = Together::shop_over_grpc("");
    mesh.service("empty", "app: nobody");
    mesh.apply(&http_route(
        "{matches: [{path: {value: /nowhere}}], backendRefs: [{name: nobody, port: 80}]}, {backendRefs: [{name: web, port: 80}]}",
    ));
    mesh.apply("{apiVersion: lateen.dev/v1alpha1, kind: RateLimitPolicy, metadata: {name: l, namespace: shop}, spec: {targetRefs: [{group: '', kind: Service, name: web-v1}], local: {limits: [{by: [{header: x-limited}], requests: 1, interval: 1h}]}}}");
    mesh.apply("{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: two, namespace: shop}, spec: {host: web-v2.shop.svc.cluster.local, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}}");
    // What is under way takes the only place there is.
    mesh.of("web-v2").takes(std::time::Duration::from_secs(60));
    let mut waits = mesh.connect("web-v2:80");
    waits.write("GET /waits HTTP/1.1\r\nhost: web\r\n\r\n");
    mesh.until("the first one", || {
        let seen = mesh.of("web-v2").requests();
        seen.iter().any(|seen| seen.path == "/waits").then_some(())
    });
    for (path, service, status, flag, code) in [
        ("/nowhere", "web", 500, "NC", 13),
        ("/", "empty", 503, "UH", 14),
        ("/", "web-v2", 503, "UO", 14),
        ("/", "web-v1", 429, "RL", 14),
    ] {
        let path = format!("{path}?of={service}");
        let once = || {
            mesh.get(&path)
                .to(&format!("{service}:80"))
                .header("x-limited", "a")
        };
        if status == 429 {
            once().send();
        }
        let answer = once().send();
        assert_eq!((answer.status, answer.by()), (status, ""), "{service}");
        let of = |line: &&String| line.contains(&path) && line.contains(&format!(" {status} {flag} "));
        mesh.until("its line", || mesh.log(0).iter().find(of).map(drop));
        if path.starts_with("/nowhere") {
            continue;
        }
        let call = mesh
            .grpc("/echo.Echo/Say")
            .to(&format!("{service}:80"))
            .header("x-limited", "a");
        let end = call.send();
        assert_eq!((end.answer.status, end.code), (200, code), "{service}: {end:?}");
    }
    let call = mesh.post("/nowhere", "").http2();
    let call = call
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let answer = call.send();
    assert_eq!(answer.status, 200);
    assert_ne!(answer.header("grpc-status"), Some("0"), "{answer:?}");
}
