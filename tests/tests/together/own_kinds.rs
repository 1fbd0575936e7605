//! Our own kinds: RateLimitPolicy, HealthCheckPolicy, SessionPolicy, FaultFilter.

use std::collections::BTreeSet;

use crate::cases::{Via, check, http_route};
use crate::harness::{Answer, Together};

fn policy(kind: &str, targets: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: {kind}, metadata: {{name: web, namespace: shop}}, spec: {{targetRefs: [{targets}], {spec}}}}}"
    )
}

const WEB: &str = "{group: '', kind: Service, name: web}";

// row: RateLimitPolicy local
#[test]
fn limits_of_the_proxy() {
    let mesh = Together::shop(&policy(
        "RateLimitPolicy",
        WEB,
        "local: {limits: [{by: [{header: x-user}], requests: 2, interval: 1h}]}",
    ));
    let of = |user: &str| mesh.get("/").header("x-user", user).send();
    assert_eq!([of("a").status, of("a").status, of("b").status], [200, 200, 200]);
    let refused = of("a");
    assert_eq!(refused.brief(), (429, ""));
    assert_eq!(refused.header("ratelimit-remaining"), Some("0"));
    assert_eq!(of("b").status, 200);
    assert_eq!(
        mesh.get("/").send().status,
        200,
        "without the header nothing is counted"
    );
}

// row: RateLimitPolicy targetRefs.sectionName
#[test]
fn limits_of_one_port() {
    let mesh = Together::shop(&policy(
        "RateLimitPolicy",
        "{group: '', kind: Service, name: web, sectionName: any}",
        "local: {limits: [{requests: 1, interval: 1h}]}",
    ));
    let at = |port: u16| mesh.get("/").to(&format!("web:{port}")).send().status;
    assert_eq!([at(81), at(81), at(80), at(80)], [200, 429, 200, 200]);
}

// row: RateLimitPolicy global.backendRef
#[test]
fn limits_that_a_service_counts() {
    let mesh = Together::shop("");
    mesh.service("limits", "app: limits");
    let limits = mesh.backend("limits-0", "app: limits");
    mesh.apply(&policy(
        "RateLimitPolicy",
        WEB,
        "global: {backendRef: {name: limits, port: 9090}, domain: shop, failureMode: Closed, timeout: 10s, descriptors: [{entries: [{header: x-user}]}]}",
    ));
    let of = |user: &str| mesh.get("/").header("x-user", user).send().status;
    // RateLimitResponse.overall_code: 1 is OK, 2 is OVER_LIMIT.
    limits.says_in_grpc(&[0x08, 1]);
    assert_eq!(of("a"), 200);
    let asked = limits.requests();
    assert_eq!(
        asked[0].path,
        "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
    );
    assert!(
        asked[0].body.contains("shop") && asked[0].body.contains("x-user"),
        "{asked:?}"
    );
    limits.says_in_grpc(&[0x08, 2]);
    assert_eq!(of("a"), 429);
    assert_eq!(mesh.get("/").send().status, 200, "nothing of it is counted");
    limits.hangs_up(true);
    assert_eq!(of("a"), 500);
}

/// An endpoint that fails its test is left out, and comes back.
fn health(probe: &str, ill: impl Fn(&Together), well: impl Fn(&Together)) {
    let mesh = Together::shop("");
    ill(&mesh);
    mesh.apply(&policy(
        "HealthCheckPolicy",
        "{group: '', kind: Service, name: web, sectionName: http}",
        &format!("{probe}, interval: 10ms, timeout: 5s, unhealthyThreshold: 1, healthyThreshold: 1"),
    ));
    let by = || -> BTreeSet<String> { (0..12).map(|_| mesh.get("/").send().by().to_owned()).collect() };
    let one = BTreeSet::from(["web-v2".to_owned()]);
    mesh.until("the ill one left out", || (by() == one).then_some(()));
    well(&mesh);
    mesh.until("both again", || (by().len() == 2).then_some(()));
}

// row: HealthCheckPolicy http
#[test]
fn health_over_http() {
    health(
        "http: {path: /healthz, expectedStatuses: [200]}",
        |mesh| mesh.of("web-v1").answers_at("/healthz", Some(503)),
        |mesh| mesh.of("web-v1").answers_at("/healthz", None),
    );
}

// row: HealthCheckPolicy grpc
#[test]
fn health_over_grpc() {
    // HealthCheckResponse.status: 1 is SERVING, 2 is NOT_SERVING.
    health(
        "grpc: {service: shop.Web}",
        |mesh| {
            mesh.of("web-v1").says_in_grpc(&[0x08, 2]);
            mesh.of("web-v2").says_in_grpc(&[0x08, 1]);
        },
        |mesh| mesh.of("web-v1").says_in_grpc(&[0x08, 1]),
    );
}

// row: HealthCheckPolicy tcp
#[test]
fn health_over_tcp() {
    let mesh = Together::shop("");
    mesh.apply(&policy(
        "HealthCheckPolicy",
        "{group: '', kind: Service, name: web, sectionName: http}",
        "tcp: {}, interval: 10ms, timeout: 5s, unhealthyThreshold: 1, healthyThreshold: 1",
    ));
    // Nobody listens at the address of this Pod: connections to it are refused.
    mesh.absent("web-v0", "app: web, version: v0");
    let by = || -> BTreeSet<(u16, String)> {
        let answers = (0..12).map(|_| mesh.get("/").send());
        answers.map(|a| (a.status, a.by().to_owned())).collect()
    };
    let both = BTreeSet::from([(200, "web-v1".to_owned()), (200, "web-v2".to_owned())]);
    mesh.until("the absent one left out", || (by() == both).then_some(()));
}

// row: SessionPolicy cookie
#[test]
fn sessions_by_cookie() {
    let mesh = Together::shop(&policy("SessionPolicy", WEB, "cookie: {name: session}"));
    let cookie = |answer: &Answer| {
        let set = answer.header("set-cookie").expect("a cookie");
        set.split(';').next().unwrap_or_default().to_owned()
    };
    let mut homes = BTreeSet::new();
    for _ in 0..24 {
        let first = mesh.get("/").send();
        homes.insert(first.by().to_owned());
        let cookie = cookie(&first);
        assert!(cookie.starts_with("session="), "{cookie}");
        for _ in 0..8 {
            let next = mesh.get("/").header("cookie", &cookie).send();
            assert_eq!((next.by(), next.header("set-cookie")), (first.by(), None));
        }
    }
    assert_eq!(homes.len(), 2, "without a cookie they go anywhere");
    // One whose endpoint is gone moves, and is told so.
    let first = mesh.get("/").send();
    let (home, cookie_of_gone) = (first.by().to_owned(), cookie(&first));
    mesh.deregister(&home);
    let moved = mesh.get("/").header("cookie", &cookie_of_gone).send();
    assert!(moved.by() != home && moved.status == 200, "{moved:?}");
    assert_ne!(cookie(&moved), cookie_of_gone);
}

// row: SessionPolicy header
#[test]
fn sessions_by_header() {
    let mesh = Together::shop(&policy("SessionPolicy", WEB, "header: {name: x-session}"));
    for _ in 0..6 {
        let first = mesh.get("/").send();
        let session = first.header("x-session").expect("a session").to_owned();
        for _ in 0..8 {
            assert_eq!(
                mesh.get("/").header("x-session", &session).send().by(),
                first.by()
            );
        }
    }
}

#[test]
fn sessions_of_a_route() {
    let mesh = Together::shop(&http_route(
        "{sessionPersistence: {sessionName: kept, type: Cookie}, backendRefs: [{name: web-v1, port: 80}, {name: web-v2, port: 80}]}",
    ));
    let mut homes = BTreeSet::new();
    for _ in 0..8 {
        let first = mesh.get("/").send();
        homes.insert(first.by().to_owned());
        let set = first.header("set-cookie").expect("a cookie").to_owned();
        let cookie = set.split(';').next().unwrap_or_default();
        for _ in 0..8 {
            assert_eq!(mesh.get("/").header("cookie", cookie).send().by(), first.by());
        }
    }
    assert_eq!(homes.len(), 2);
}

#[test]
fn faults_of_gateway_apis_routes() {
    let mesh = Together::shop(
        "{apiVersion: lateen.dev/v1alpha1, kind: FaultFilter, metadata: {name: teapot, namespace: shop}, spec: {abort: {httpStatus: 418}}}",
    );
    mesh.apply(&http_route(
        "{matches: [{path: {type: PathPrefix, value: /tea}}], filters: [{type: ExtensionRef, extensionRef: {group: lateen.dev, kind: FaultFilter, name: teapot}}], backendRefs: [{name: web-v1, port: 80}]}, \
         {backendRefs: [{name: web-v2, port: 80}]}",
    ));
    check(&mesh, Via::Mesh, &[("GET /tea", "418"), ("GET /", "v2")]);
}
