//! Which endpoint takes a request.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::{rule, virtual_service};
use crate::cases::third;
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

/// A stage of three places: the waypoint is in zone `z1` of region `r1`, as is `web-v1`; `web-v2` is in zone `z2`, `web-v3` in
/// region `r2`, `web-v4` in region `r3`. All are endpoints of `far.example.com`, with this traffic policy.
fn far(policy: &str) -> Together {
    let mesh = Together::shop(
        "{apiVersion: v1, kind: Node, metadata: {name: node-a, labels: {topology.kubernetes.io/region: r1, topology.kubernetes.io/zone: z1}}}",
    );
    third(&mesh);
    mesh.backend("web-v4", "version: v4");
    let endpoint = |version: &str, place: &str| {
        let ip = mesh.of(&format!("web-{version}")).ip;
        format!("{{address: {ip}, locality: {place}}}")
    };
    let endpoints = [("v1", "r1/z1"), ("v2", "r1/z2"), ("v3", "r2/z1"), ("v4", "r3/z1")];
    let endpoints = endpoints
        .map(|(version, place)| endpoint(version, place))
        .join(", ");
    mesh.apply(&format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: far, namespace: shop}}, spec: {{hosts: [far.example.com], \
         ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}], resolution: STATIC, endpoints: [{endpoints}]}}}}"
    ));
    mesh.apply(&virtual_service("far.example.com", "retries: {attempts: 0}"));
    mesh.apply(&rule(
        "far.example.com",
        &format!("{policy}, outlierDetection: {{consecutive5xxErrors: 1, baseEjectionTime: 1h, maxEjectionPercent: 100}}"),
    ));
    mesh
}

/// How often who answers so many requests to it.
fn shares(mesh: &Together, count: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..count {
        let answer = mesh.get("/").to("far.example.com:80").send();
        assert_eq!(answer.status, 200, "{answer:?}");
        *shares.entry(answer.by().to_owned()).or_default() += 1;
    }
    shares
}

/// The one who answers, and is left out after that.
fn next(mesh: &Together) -> String {
    let who: Vec<String> = shares(mesh, 20).into_keys().collect();
    let [only] = who.as_slice() else { panic!("{who:?}") };
    mesh.of(only).fails(1, 500);
    assert_eq!(mesh.get("/").to("far.example.com:80").send().status, 500);
    only.clone()
}

// row: DestinationRule trafficPolicy.loadBalancer.localityLbSetting.failover
#[test]
fn the_nearest_come_first_and_a_region_may_have_another_one_in_its_place() {
    for (setting, order) in [
        ("{enabled: true}", ["web-v1", "web-v2"]),
        ("{failover: [{from: r1, to: r3}]}", ["web-v1", "web-v2"]),
    ] {
        let mesh = far(&format!(
            "loadBalancer: {{simple: ROUND_ROBIN, localityLbSetting: {setting}}}"
        ));
        assert_eq!([next(&mesh), next(&mesh)], order, "{setting}");
        let rest: BTreeSet<String> = shares(&mesh, 20).into_keys().collect();
        let wanted = match setting.contains("failover") {
            true => BTreeSet::from(["web-v4".to_owned()]),
            false => ["web-v3", "web-v4"].map(str::to_owned).into(),
        };
        assert_eq!(rest, wanted, "{setting}");
    }
}

// row: DestinationRule trafficPolicy.loadBalancer.localityLbSetting.distribute
#[test]
fn places_have_shares() {
    let mesh = far(
        "loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {distribute: [{from: 'r2/*', to: {'r1/*': 100}}, {from: 'r1/z1/*', to: \
         {'r1/z1/*': 60, 'r2/z1/*': 40}}]}}",
    );
    let got = shares(&mesh, 400);
    let of = |name: &str| got.get(name).copied().unwrap_or_default();
    assert!(
        of("web-v1").abs_diff(240) <= 60 && of("web-v3").abs_diff(160) <= 60 && got.len() == 2,
        "{got:?}"
    );
}

// row: DestinationRule trafficPolicy.loadBalancer.warmup
#[test]
fn who_is_new_gets_its_share_little_by_little() {
    const WARM: Duration = Duration::from_secs(2);
    let mesh = Together::shop(&rule(
        "web",
        "loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 2s, minimumPercent: 1, aggression: 1}}",
    ));
    // Whoever is there at the first request is as new as all others.
    assert_eq!(who(&mesh, 20), both());
    mesh.block_on(async { tokio::time::sleep(WARM + Duration::from_millis(200)).await });
    // On a machine that is so busy that whoever was new is not any more, another one is.
    for n in 3..23 {
        let new = format!("web-v{n}");
        let begin = Instant::now();
        mesh.backend(&new, &format!("app: web, version: v{n}"));
        let count = |requests: usize| (0..requests).filter(|_| mesh.get("/").send().by() == new).count();
        let at_first = count(60);
        if begin.elapsed() > WARM / 4 {
            mesh.deregister(&new);
            continue;
        }
        // A third would be twenty.
        assert!(at_first <= 12, "{at_first} of 60");
        mesh.until("its share", || (count(60) >= 15).then_some(()));
        return;
    }
    panic!("the machine was too busy");
}

// row: DestinationRule exportTo
#[test]
fn another_namespaces_rule_counts_where_it_is_exported_to() {
    let mesh = Together::shop(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: waypoint, namespace: shop, labels: {istio.io/waypoint-for: all}}, \
         spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}]}}",
    );
    mesh.apply(&format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: team, labels: {{istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: shop}}}}}}\n---\n\
         {{apiVersion: v1, kind: Service, metadata: {{name: far, namespace: team}}, spec: {{clusterIP: 10.96.9.9, ports: [{{name: http, port: 80, targetPort: 8080}}]}}}}\n---\n\
         {{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: far, namespace: team, labels: {{kubernetes.io/service-name: far}}}}, \
         addressType: IPv4, endpoints: [{{addresses: [{}]}}], ports: [{{name: http, port: 8080}}]}}",
        mesh.of("web-v2").ip
    ));
    let version = || {
        let answer = mesh.get("/").to("far.team.svc.cluster.local:80").send();
        answer.seen().version
    };
    let (counts, does_not) = ("HTTP/2.0", "HTTP/1.1");
    assert_eq!(version(), does_not);
    for (export_to, expected) in [
        ("", counts),
        ("exportTo: ['*'],", counts),
        ("exportTo: [shop],", counts),
        ("exportTo: [bank, shop],", counts),
        ("exportTo: ['.'],", does_not),
        ("exportTo: [bank],", does_not),
        ("exportTo: [team],", does_not),
    ] {
        mesh.apply(&format!(
            "{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: far, namespace: team}}, spec: {{host: far, {export_to} \
             trafficPolicy: {{connectionPool: {{http: {{h2UpgradePolicy: UPGRADE}}}}}}}}}}"
        ));
        assert_eq!(version(), expected, "{export_to}");
    }
}
