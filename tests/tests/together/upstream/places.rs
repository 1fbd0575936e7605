//! Which endpoint takes a request.

use std::collections::BTreeSet;

use super::{rule, virtual_service};
use crate::harness::Together;

/// Who answers so many requests.
fn who(mesh: &Together, count: usize) -> BTreeSet<String> {
    (0..count)
        .map(|_| {
            let answer = mesh.get("/").send();
            assert_eq!(answer.status, 200);
            answer.by().to_owned()
        })
        .collect()
}

fn both() -> BTreeSet<String> {
    ["web-v1", "web-v2"].map(str::to_owned).into()
}

fn only(name: &str) -> BTreeSet<String> {
    [name.to_owned()].into()
}

// row: DestinationRule subsets
#[test]
fn a_subset_has_the_endpoints_with_its_labels_and_settings_of_its_own() {
    let mesh = Together::shop(
        "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: web, namespace: shop}, spec: {host: web, \
         subsets: [{name: one, labels: {version: v1}}, {name: two, labels: {version: v2}, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}]}}",
    );
    for (subset, name, version) in [("one", "web-v1", "HTTP/1.1"), ("two", "web-v2", "HTTP/2.0")] {
        let to = format!(
            "{{hosts: [web], http: [{{route: [{{destination: {{host: web, subset: {subset}}}}}]}}]}}"
        );
        mesh.apply(&format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: web, namespace: shop}}, spec: {to}}}"
        ));
        assert_eq!(who(&mesh, 20), only(name), "{subset}");
        assert_eq!(mesh.get("/").send().seen().version, version);
    }
}

// row: DestinationRule trafficPolicy.loadBalancer
#[test]
fn every_balancer_uses_all_and_equal_keys_go_to_one() {
    for simple in ["LEAST_REQUEST", "ROUND_ROBIN", "RANDOM", "LEAST_CONN"] {
        let mesh = Together::shop(&rule("web", &format!("loadBalancer: {{simple: {simple}}}")));
        assert_eq!(who(&mesh, 40), both(), "{simple}");
    }
    for table in [
        "",
        ", ringHash: {minimumRingSize: 2048}",
        ", maglev: {tableSize: 5003}",
    ] {
        let mesh = Together::shop(&rule(
            "web",
            &format!("loadBalancer: {{consistentHash: {{httpHeaderName: x-user{table}}}}}"),
        ));
        let mut homes = BTreeSet::new();
        for user in 0..16 {
            let user = user.to_string();
            let by = || mesh.get("/").header("x-user", &user).send().by().to_owned();
            let home = by();
            assert!((0..5).all(|_| by() == home), "user {user}{table}");
            homes.insert(home);
        }
        assert_eq!(homes, both());
    }
}

#[test]
fn keys_are_cookies_queries_and_addresses() {
    let mesh = Together::shop(&rule(
        "web",
        "loadBalancer: {consistentHash: {httpCookie: {name: user, path: /a, ttl: 60s}}}",
    ));
    let first = mesh.get("/").send();
    let cookie = first.header("set-cookie").expect("one is made").to_owned();
    assert!(
        cookie.starts_with("user=") && cookie.contains("Path=/a") && cookie.contains("Max-Age=60"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    for _ in 0..10 {
        let answer = mesh.get("/").header("cookie", pair).send();
        assert_eq!((answer.by(), answer.header("set-cookie")), (first.by(), None));
    }
    mesh.apply(&rule(
        "web",
        "loadBalancer: {consistentHash: {httpQueryParameterName: user}}",
    ));
    for user in 0..8 {
        let by = || mesh.get(&format!("/?a=b&user={user}")).send().by().to_owned();
        let home = by();
        assert!((0..5).all(|_| by() == home));
    }
    mesh.apply(&rule(
        "web",
        "loadBalancer: {consistentHash: {useSourceIp: true}}",
    ));
    assert_eq!(who(&mesh, 20).len(), 1, "all come from one address");
}

// row: DestinationRule trafficPolicy.loadBalancer.localityLbSetting
#[test]
fn endpoints_with_a_label_come_first_and_others_when_they_are_gone() {
    let mesh = Together::shop(&rule(
        "web",
        "loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {failoverPriority: ['version=v2']}}, outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 1h, maxEjectionPercent: 100}",
    ));
    mesh.apply(&virtual_service("web", "retries: {attempts: 0}"));
    assert_eq!(who(&mesh, 20), only("web-v2"));
    // Who is left out is as good as gone.
    mesh.of("web-v2").fails(1, 500);
    assert_eq!(mesh.get("/").send().status, 500);
    assert_eq!(who(&mesh, 20), only("web-v1"));
}
