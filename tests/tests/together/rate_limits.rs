//! RateLimitPolicy, descriptor by descriptor: limits that the waypoint counts, and limits that a service counts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mesh_extensions::rate_limit::{Counted, CurrentLimit, DescriptorStatus, Hit, Unit};
use parking_lot::Mutex;
use serde_json::json;

use crate::harness::{Ask, Together};
use crate::services;
use crate::tokens::{authentication, token};

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: RateLimitPolicy, metadata: {{name: limit, namespace: shop}}, spec: \
         {{targetRefs: [{{group: '', kind: Service, name: web}}], {spec}}}}}"
    )
}

type Change = for<'a> fn(Ask<'a>) -> Ask<'a>;

// row: RateLimitPolicy local
#[test]
fn each_value_of_a_descriptor_has_a_bucket_of_its_own() {
    const SAME: Change = |ask| ask;
    // What tells buckets apart; a request of one value, of another one, and one that does not count.
    let rows: &[(&str, Change, Change, Option<Change>)] = &[
        (
            "{header: X-User}",
            |ask| ask.header("x-user", "a"),
            |ask| ask.header("x-user", "b"),
            Some(SAME),
        ),
        (
            "{header: x-user, value: {prefix: vip-}}",
            |ask| ask.header("x-user", "vip-a"),
            |ask| ask.header("x-user", "vip-b"),
            Some(|ask| ask.header("x-user", "a")),
        ),
        (
            "{attribute: SourcePrincipal}",
            SAME,
            |ask| ask.from("other"),
            None,
        ),
        (
            "{attribute: SourceNamespace}",
            SAME,
            |ask| ask.from("bank/client"),
            None,
        ),
        ("{attribute: Authority}", SAME, |ask| ask.host("web.shop"), None),
        (
            "{header: x-user}, {attribute: SourcePrincipal}",
            |ask| ask.header("x-user", "a"),
            |ask| ask.header("x-user", "a").from("other"),
            Some(SAME),
        ),
    ];
    for (by, one, another, free) in rows {
        let mesh = Together::shop("");
        mesh.apply(&policy(&format!(
            "local: {{limits: [{{by: [{by}], requests: 2, interval: 1h}}]}}"
        )));
        assert!(mesh.holds("RateLimitPolicy", "limit", "Accepted"), "{by}");
        let status = |change: &Change| change(mesh.get("/a")).send().status;
        assert_eq!([status(one), status(one), status(one)], [200, 200, 429], "{by}");
        assert_eq!(
            [status(another), status(another), status(another)],
            [200, 200, 429],
            "{by}"
        );
        if let Some(free) = free {
            assert_eq!([status(free), status(free), status(free)], [200; 3], "{by}");
        }
    }
}

#[test]
fn limits_by_path_method_and_claim_and_what_the_client_is_told() {
    let mesh = Together::shop("");
    mesh.apply(&policy("local: {limits: [{by: [{attribute: Path}, {attribute: Method}], requests: 1, interval: 1h, burst: 2}]}"));
    let first = mesh.get("/a?q=1").send();
    assert_eq!(
        (
            first.status,
            first.header("ratelimit-limit"),
            first.header("ratelimit-remaining")
        ),
        (200, Some("2"), Some("1"))
    );
    assert_eq!(mesh.get("/a?q=2").send().status, 200);
    let over = mesh.get("/a").send();
    assert_eq!(
        (over.status, over.header("x-envoy-ratelimited")),
        (429, Some("true"))
    );
    assert_eq!(over.header("ratelimit-remaining"), Some("0"));
    assert!(over.header("ratelimit-reset").unwrap().parse::<u64>().unwrap() > 1000);
    // Another spelling of the same path is the same path.
    assert_eq!(mesh.get("/x/../a").send().status, 429);
    assert_eq!(mesh.post("/a", "").send().status, 200);
    assert_eq!(mesh.get("/b").send().status, 200);
    let log = mesh.log(6);
    assert_eq!(
        log.iter().filter(|line| line.contains(" 429 RL ")).count(),
        2,
        "{log:#?}"
    );

    mesh.apply(&authentication(""));
    mesh.apply(&policy(
        "local: {limits: [{by: [{claim: tenant.id}], requests: 1, interval: 1h}]}",
    ));
    let status = |tenant: &str| {
        let token = token(json!({"tenant": {"id": tenant}}));
        mesh.get("/c")
            .header("authorization", &format!("Bearer {token}"))
            .send()
            .status
    };
    assert_eq!([status("a"), status("a"), status("b")], [200, 429, 200]);
    // Without a token nothing is counted.
    assert_eq!(
        [mesh.get("/c").send().status, mesh.get("/c").send().status],
        [200, 200]
    );
}

// row: RateLimitPolicy global.backendRef
#[test]
fn a_service_counts_what_it_is_told() {
    let mesh = Together::shop("");
    let at = services::place(&mesh, "counter", "grpc");
    let hits: Arc<Mutex<Vec<Hit>>> = Arc::default();
    let log = hits.clone();
    services::unary(at, move |_, message| {
        let hit = Hit::decode(&message).unwrap();
        log.lock().push(hit.clone());
        let user = hit
            .descriptors
            .iter()
            .flatten()
            .find(|(key, _)| key == "x-user")
            .map(|(_, value)| value.as_str());
        if user == Some("broken") {
            return Err(14);
        }
        let over = user == Some("greedy");
        Ok(Counted {
            over_limit: over,
            statuses: vec![DescriptorStatus {
                over_limit: over,
                limit: Some(CurrentLimit {
                    requests: 10,
                    unit: Unit::Minute,
                    name: String::new(),
                }),
                remaining: if over { 0 } else { 7 },
                reset: Some(Duration::from_secs(30)),
            }],
            response_headers: vec![("x-counted".parse().unwrap(), "yes".parse().unwrap())],
            request_headers: vec![("x-left".parse().unwrap(), "7".parse().unwrap())],
            body: Bytes::new(),
        }
        .encode())
    });
    let global = |fields: &str| {
        policy(&format!(
            "global: {{backendRef: {{name: counter, port: 80}}, domain: shop, timeout: 1s, {fields} descriptors: [{{entries: \
             [{{constant: web}}, {{attribute: Path}}, {{attribute: SourcePrincipal}}]}}, {{entries: [{{header: x-user}}]}}, \
             {{entries: [{{header: x-absent}}]}}]}}"
        ))
    };
    mesh.apply(&global(""));
    let fine = mesh.get("/a?q").header("x-user", "bob").send();
    assert_eq!(
        (
            fine.status,
            fine.header("ratelimit-remaining"),
            fine.header("x-counted")
        ),
        (200, Some("7"), Some("yes"))
    );
    assert_eq!(fine.seen().header("x-left").as_deref(), Some("7"));
    let hit = hits.lock()[0].clone();
    assert_eq!(hit.domain, "shop");
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    // What a request lacks is left out, with all of its descriptor.
    assert_eq!(hit.descriptors.len(), 2, "{:?}", hit.descriptors);
    assert_eq!(hit.descriptors[1], [pair("x-user", "bob")]);
    assert_eq!(
        hit.descriptors[0][..2],
        [pair("generic_key", "web"), pair("path", "/a")]
    );
    assert!(
        hit.descriptors[0][2]
            .1
            .ends_with("cluster.local/ns/shop/sa/client"),
        "{hit:?}"
    );
    let over = mesh.get("/a").header("x-user", "greedy").send();
    assert_eq!(
        (over.status, over.header("x-envoy-ratelimited")),
        (429, Some("true"))
    );
    assert_eq!((over.header("ratelimit-remaining"), over.by()), (Some("0"), ""));
    let broken = || mesh.get("/a").header("x-user", "broken").send().status;
    assert_eq!(broken(), 200);
    mesh.apply(&global("failureMode: Closed,"));
    assert_eq!(broken(), 500);
    mesh.deregister("counter");
    assert_eq!(mesh.get("/a").header("x-user", "bob").send().status, 500);
    mesh.apply(&global("failureMode: Open,"));
    assert_eq!(mesh.get("/a").header("x-user", "bob").send().status, 200);
}

// row: RateLimitPolicy local.limits.when
// row: RateLimitPolicy local.limits.by.expression
#[test]
fn expressions_say_what_counts_and_what_is_told_apart() {
    let mesh = Together::shop("");
    mesh.apply(&policy(
        "local: {limits: [{when: \"request.method == 'GET' && !request.url_path.startsWith('/free')\", by: [{expression: \
         \"source.principal + '@' + request.headers['x-tenant'].lowerAscii()\"}], requests: 2, interval: 1h}]}",
    ));
    assert!(mesh.holds("RateLimitPolicy", "limit", "Accepted"));
    let get = |path: &str, tenant: &str| mesh.get(path).header("x-tenant", tenant);
    let status = |ask: Ask<'_>| ask.send().status;
    assert_eq!(
        [
            status(get("/a", "one")),
            status(get("/b", "ONE")),
            status(get("/c", "One"))
        ],
        [200, 200, 429]
    );
    assert_eq!(status(get("/a", "two")), 200);
    assert_eq!(status(get("/a", "one").from("other")), 200, "another client");
    // What it is not true of does not count; another spelling of a path is the same path.
    assert_eq!(status(get("/free", "one")), 200);
    assert_eq!(status(get("/free/../a", "one")), 429);
    assert_eq!(status(get("/x/../free", "one")), 200);
    assert_eq!(status(mesh.post("/a", "").header("x-tenant", "one")), 200);
    // Nor does what lacks what is asked for.
    assert_eq!(
        [
            status(mesh.get("/a")),
            status(mesh.get("/a")),
            status(mesh.get("/a"))
        ],
        [200; 3]
    );
}

#[test]
fn nobody_gets_around_a_limit_by_making_its_expression_fail() {
    let mesh = Together::shop("");
    mesh.apply(&policy(
        "local: {limits: [{when: \"int(request.headers['x-n']) > 5\", requests: 1, interval: 1h}]}",
    ));
    let status = |n: &str| mesh.get("/").header("x-n", n).send().status;
    assert_eq!([status("3"), status("3"), status("3")], [200; 3]);
    assert_eq!([status("9"), status("9")], [200, 429]);
    assert_eq!([status("many"), status("3")], [429, 200]);
    // One that would take too long counts, too.
    mesh.apply(&policy(
        "local: {limits: [{when: \"request.headers['x-n'] == 'x' || request.headers.exists(a, request.headers.exists(b, \
         (request.headers[a] + request.headers[b]).contains('never')))\", by: [{constant: all}], requests: 1, interval: 1h}]}",
    ));
    let long = "y".repeat(4000);
    let costly = || {
        let ask = mesh.get("/").header("x-n", "y");
        let ask = (0..24).fold(ask, |ask, n| ask.header(&format!("x-{n}"), &long[..2000]));
        ask.send().status
    };
    assert_eq!(status("y"), 200);
    assert_eq!(status("y"), 200, "it does not count");
    assert_eq!([costly(), costly()], [200, 429]);
}

#[test]
fn an_expression_that_is_none_leaves_the_last_good_limit_in_force() {
    let mesh = Together::shop("");
    let limit = |what: &str| {
        policy(&format!(
            "local: {{limits: [{{{what}, requests: 1, interval: 1h}}]}}"
        ))
    };
    mesh.apply(&limit("when: \"request.method == 'GET'\""));
    assert_eq!(
        [mesh.get("/").send().status, mesh.get("/").send().status],
        [200, 429]
    );
    for (wrong, field, why) in [
        (
            "when: 'request.colour == 1'",
            "spec.local.limits[0].when",
            "there is no attribute",
        ),
        (
            "when: 'request.method'",
            "spec.local.limits[0].when",
            "gives string where bool",
        ),
        (
            "when: 'response.code == 200'",
            "spec.local.limits[0].when",
            "response.code is not known yet",
        ),
        ("when: '1 +'", "spec.local.limits[0].when", "is no condition"),
        (
            "by: [{expression: 'size(request.path)'}]",
            "spec.local.limits[0].by[0].expression",
            "gives int where string",
        ),
        (
            "by: [{expression: upstream.address}]",
            "spec.local.limits[0].by[0].expression",
            "upstream.address is not known yet",
        ),
    ] {
        let told = mesh.try_apply(&limit(wrong)).expect_err(wrong);
        assert!(told[0].contains(field) && told[0].contains(why), "{told:?}");
        let status = mesh.status("RateLimitPolicy", "limit").to_string();
        assert!(
            status.contains(field) && status.contains("lateen.dev/Current"),
            "{status}"
        );
        assert_eq!(mesh.get("/").send().status, 429, "{wrong}");
    }
}

// row: RateLimitPolicy global.descriptors.when
#[test]
fn a_service_is_told_what_expressions_give() {
    let mesh = Together::shop("");
    let at = services::place(&mesh, "counter", "grpc");
    let hits: Arc<Mutex<Vec<Hit>>> = Arc::default();
    let log = hits.clone();
    services::unary(at, move |_, message| {
        log.lock().push(Hit::decode(&message).unwrap());
        let fine = Counted {
            over_limit: false,
            statuses: Vec::new(),
            response_headers: Vec::new(),
            request_headers: Vec::new(),
            body: Bytes::new(),
        };
        Ok(fine.encode())
    });
    mesh.apply(&policy(
        "global: {backendRef: {name: counter, port: 80}, domain: shop, timeout: 10s, descriptors: [{when: \"request.method == 'GET'\", entries: \
         [{key: who, expression: \"source.namespace + '/' + destination.service_name\"}, {key: route, expression: xds.route_name}]}, {when: \
         \"'x-vip' in request.headers\", entries: [{constant: vip}]}]}",
    ));
    mesh.apply(&crate::cases::http_route(
        "{name: all, backendRefs: [{name: web, port: 80}]}",
    ));
    assert_eq!(mesh.get("/").send().status, 200);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let told = hits.lock()[0].descriptors.clone();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0][0], pair("who", "shop/web"));
    assert!(told[0][1].1.contains("all"), "{told:?}");
    assert_eq!(mesh.post("/", "").header("x-vip", "1").send().status, 200);
    assert_eq!(hits.lock()[1].descriptors, [[pair("generic_key", "vip")]]);
    assert_eq!(mesh.post("/", "").send().status, 200);
    assert_eq!(hits.lock().len(), 2, "of nothing it is told nothing");
}

/// Quotas: the mesh's own service counts, and is asked about what `when` says alone.
// row: RateLimitPolicy global.limits
#[test]
fn a_quota_counts_what_its_condition_says() {
    let mesh = Together::shop("");
    let at = services::place(&mesh, "counter", "grpc");
    mesh.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: lateen-ratelimit, namespace: istio-system}}, spec: {{clusterIP: 10.96.8.1, ports: \
         [{{name: grpc, port: 8081, targetPort: {}}}]}}}}\n---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: counter, \
         namespace: istio-system, labels: {{kubernetes.io/service-name: lateen-ratelimit}}}}, addressType: IPv4, endpoints: [{{addresses: \
         [{}]}}], ports: [{{name: grpc, port: {}}}]}}",
        at.port(),
        at.ip(),
        at.port()
    ));
    let hits: Arc<Mutex<Vec<Hit>>> = Arc::default();
    let log = hits.clone();
    services::unary(at, move |_, message| {
        let hit = Hit::decode(&message).unwrap();
        let over_limit = hit
            .descriptors
            .iter()
            .flatten()
            .any(|(_, value)| value == "reads");
        log.lock().push(hit);
        let counted = Counted {
            over_limit,
            statuses: Vec::new(),
            response_headers: Vec::new(),
            request_headers: Vec::new(),
            body: Bytes::new(),
        };
        Ok(counted.encode())
    });
    mesh.apply(&policy(
        "global: {failureMode: Closed, timeout: 10s, limits: [{name: reads, when: \"request.method == 'GET'\", requests: 5, unit: Day, by: [{header: \
         x-user}]}, {name: writes, when: \"request.method == 'POST'\", requests: 5, unit: Day, by: [{header: x-user}]}]}",
    ));
    let asked = |ask: Ask<'_>| {
        hits.lock().clear();
        let status = ask.header("x-user", "a").send().status;
        let names: Vec<String> = hits
            .lock()
            .iter()
            .flat_map(|hit| hit.descriptors.clone())
            .map(|d| d[0].1.clone())
            .collect();
        (status, names)
    };
    let names = |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
    assert_eq!(asked(mesh.get("/")), (429, names(&["reads"])));
    assert_eq!(asked(mesh.post("/", "")), (200, names(&["writes"])));
    assert_eq!(asked(mesh.ask("PUT", "/")), (200, names(&[])));
}
