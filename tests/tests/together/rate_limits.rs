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
