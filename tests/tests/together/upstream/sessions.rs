//! Who stays where.

use std::time::Duration;

use crate::harness::Together;
use crate::harness::request::Answer;

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: SessionPolicy, metadata: {{name: stay, namespace: shop}}, \
         spec: {{targetRefs: [{{group: '', kind: Service, name: web}}], {spec}}}}}"
    )
}

/// The Pod of a backend, about to end.
fn ending(name: &str, version: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, labels: {{app: web, version: {version}}}, \
         deletionTimestamp: '2026-01-01T00:00:00Z'}}, spec: {{nodeName: node-a, serviceAccountName: {name}}}}}"
    )
}

fn cookie(answer: &Answer) -> Option<String> {
    let set = answer.header("set-cookie")?;
    Some(set.split(';').next()?.to_owned())
}

// row: SessionPolicy cookie
#[test]
fn a_session_stays_where_it_is_until_its_endpoint_is_gone() {
    let mesh = Together::shop(&policy("cookie: {name: sid}"));
    let first = mesh.get("/").send();
    let (home, held) = (first.by().to_owned(), cookie(&first).expect("it begins"));
    let set = first.header("set-cookie").unwrap();
    assert!(
        set.contains("Path=/") && set.contains("HttpOnly") && !set.contains("Max-Age"),
        "{set}"
    );
    let again = || mesh.get("/").header("cookie", &format!("other=1; {held}")).send();
    let stays = || {
        for _ in 0..10 {
            let answer = again();
            assert_eq!((answer.brief(), cookie(&answer)), ((200, home.as_str()), None));
        }
    };
    stays();
    // Its Pod is about to end: nobody new, and those who are there stay.
    mesh.apply(&ending(&home, home.trim_start_matches("web-")));
    for _ in 0..10 {
        assert_ne!(mesh.get("/").send().by(), home);
    }
    stays();
    mesh.deregister(&home);
    mesh.remove("Pod", &home);
    let moved = again();
    assert_ne!(moved.by(), home);
    assert!(cookie(&moved).is_some(), "it is told so");
}

// row: SessionPolicy header
#[test]
fn a_header_may_carry_it() {
    let mesh = Together::shop(&policy("header: {name: x-session}"));
    let first = mesh.get("/").send();
    let held = first.header("x-session").expect("it begins").to_owned();
    for _ in 0..10 {
        let answer = mesh.get("/").header("x-session", &held).send();
        assert_eq!((answer.by(), answer.header("x-session")), (first.by(), None));
    }
}

// row: SessionPolicy absoluteTimeout
// row: SessionPolicy idleTimeout
#[test]
fn a_session_ends_with_its_time() {
    for timeout in ["absoluteTimeout: 1s", "idleTimeout: 1s"] {
        let mesh = Together::shop(&policy(&format!("cookie: {{name: sid}}, {timeout}")));
        let held = cookie(&mesh.get("/").send()).expect("it begins");
        // Seconds are whole ones: it is more than one in any case.
        mesh.block_on(async { tokio::time::sleep(Duration::from_millis(2_100)).await });
        let began = cookie(&mesh.get("/").header("cookie", &held).send());
        let began = began.expect("another one begins");
        assert_ne!(
            began.split('-').nth(1),
            held.split('-').nth(1),
            "{timeout}: {began}"
        );
    }
}

// row: HTTPRoute rules.sessionPersistence
#[test]
fn a_rule_may_ask_for_it() {
    let route = |more: &str| {
        format!(
            "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: web, namespace: shop}}, spec: {{parentRefs: \
             [{{group: '', kind: Service, name: web}}], rules: [{{sessionPersistence: {{{more}}}, backendRefs: [{{name: web-v1, port: 80, weight: 1}}, {{name: web-v2, port: 80}}]}}]}}}}"
        )
    };
    let mesh = Together::shop(&route(
        "sessionName: sid, absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}",
    ));
    let set = mesh.get("/").send();
    let set = set.header("set-cookie").unwrap();
    assert!(set.starts_with("sid=") && set.contains("Max-Age=3600"), "{set}");
}

/// A cookie that is hashed stays at an endpoint that is about to end, too; whoever has none yet does not get there.
#[test]
fn a_hashed_cookie_stays_where_it_is_until_its_endpoint_is_gone() {
    for table in ["", ", maglev: {tableSize: 5003}"] {
        let mesh = Together::shop(&super::rule(
            "web",
            &format!(
                "loadBalancer: {{consistentHash: {{httpCookie: {{name: user, path: /, ttl: 60s}}{table}}}}}"
            ),
        ));
        let first = mesh.get("/").send();
        let (home, held) = (first.by().to_owned(), cookie(&first).expect("it begins"));
        let again = || mesh.get("/").header("cookie", &held).send().by().to_owned();
        assert!((0..5).all(|_| again() == home));
        mesh.apply(&ending(&home, home.trim_start_matches("web-")));
        for _ in 0..10 {
            assert_eq!(again(), home, "{table}");
            assert_ne!(mesh.get("/").send().by(), home, "{table}");
        }
        // It does not answer any more: nobody waits for it.
        mesh.deregister(&home);
        mesh.remove("Pod", &home);
        assert_ne!(again(), home, "{table}");
    }
}
