//! AuthorizationPolicy with action CUSTOM: a provider of the mesh's configuration, field by field, and who passes.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use mesh_extensions::authorization::{Allowed, Check, Checked, CheckedBody, Denied};
use mesh_extensions::headers::{ChangedName, HeaderAction, HeaderChange};
use parking_lot::Mutex;

use crate::harness::Together;
use crate::services;

/// The usual stage with a provider, and a policy that asks it about everything below /ask.
fn stage(kind: &str, protocol: &str) -> (Together, SocketAddr) {
    let mesh = Together::shop("");
    let at = services::place(&mesh, "keeper", protocol);
    mesh.apply(&provider(kind, ""));
    mesh.apply(
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: ask, namespace: shop}, spec: \
         {targetRefs: [{group: '', kind: Service, name: web}], action: CUSTOM, provider: {name: keeper}, rules: [{to: \
         [{operation: {paths: ['/ask*']}}]}]}}",
    );
    (mesh, at)
}

fn provider(kind: &str, fields: &str) -> String {
    format!(
        "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh, namespace: istio-system}}, spec: \
         {{extensionProviders: [{{name: keeper, {kind}: {{service: keeper.shop.svc.cluster.local, port: 80, timeout: 1s, \
         {fields}}}}}]}}}}"
    )
}

const HTTP: &str = "envoyExtAuthzHttp";
const GRPC: &str = "envoyExtAuthzGrpc";

type Asked = Arc<Mutex<Vec<Request<Bytes>>>>;

/// Lets pass what has `x-key: good`, fails for `broken`, refuses all else.
fn keeper_over_http(at: SocketAddr) -> Asked {
    let asked = Asked::default();
    let log = asked.clone();
    services::http(at, move |request| {
        log.lock().push(request.clone());
        let key = request
            .headers()
            .get("x-key")
            .map(|value| value.to_str().unwrap().to_owned());
        let response = Response::builder()
            .header("x-user", "bob")
            .header("x-told", "yes")
            .header("x-other", "no");
        match key.as_deref() {
            Some("good") => response.status(200).body(Bytes::new()).unwrap(),
            Some("broken") => response.status(500).body(Bytes::new()).unwrap(),
            _ => response
                .status(418)
                .header("location", "/login")
                .body("not you".into())
                .unwrap(),
        }
    });
    asked
}

// row: MeshConfig extensionProviders.envoyExtAuthzHttp
// row: AuthorizationPolicy provider
#[test]
fn a_provider_of_http_is_asked_with_what_it_is_to_know() {
    let (mesh, at) = stage(HTTP, "http");
    let asked = keeper_over_http(at);
    mesh.apply(&provider(
        HTTP,
        "pathPrefix: /check, includeRequestHeadersInCheck: [x-key, 'x-a*', '*-z'], includeAdditionalHeadersInCheck: \
         {x-from: mesh}, headersToUpstreamOnAllow: ['x-u*'], headersToDownstreamOnAllow: [x-told], \
         headersToDownstreamOnDeny: [x-other]",
    ));
    // Nobody is asked about what no rule matches.
    assert_eq!(mesh.get("/free").send().status, 200);
    assert!(asked.lock().is_empty());
    let ask = |key: &str| {
        let ask = mesh
            .post("/ask/x?q=1", "body")
            .header("x-key", key)
            .header("x-abc", "1");
        ask.header("my-z", "2")
            .header("x-hidden", "3")
            .header("authorization", "Basic abc")
            .header("x-user", "forged")
    };
    let answer = ask("good").send();
    assert_eq!((answer.status, answer.header("x-told")), (200, Some("yes")));
    assert_eq!(answer.header("x-other"), None);
    let seen = answer.seen();
    assert_eq!((seen.path.as_str(), seen.body.as_str()), ("/ask/x?q=1", "body"));
    assert_eq!(seen.header("x-user").as_deref(), Some("bob"));
    assert_eq!(seen.header("x-told"), None);
    {
        let asked = asked.lock();
        let check = &asked[0];
        let header = |name: &str| check.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(
            (check.method().as_str(), check.uri().path()),
            ("POST", "/check/ask/x")
        );
        assert_eq!(check.uri().query(), Some("q=1"));
        assert_eq!(
            (header("host"), header("authorization")),
            (Some("web"), Some("Basic abc"))
        );
        assert_eq!(
            (header("x-abc"), header("my-z"), header("x-from")),
            (Some("1"), Some("2"), Some("mesh"))
        );
        assert_eq!((header("x-hidden"), header("x-user")), (None, None));
        assert!(check.body().is_empty());
    }
    let denied = ask("bad").send();
    assert_eq!((denied.status, denied.body.as_str()), (418, "not you"));
    assert_eq!(
        (denied.header("x-other"), denied.header("x-told")),
        (Some("no"), None)
    );
    assert_eq!(denied.header("location"), Some("/login"));
    let log = mesh.log(3);
    assert!(
        log.iter()
            .any(|line| line.contains("ext_authz_denied") && line.contains("UAEX")),
        "{log:#?}"
    );
}

#[test]
fn without_an_answer_the_status_is_the_providers_or_everything_passes() {
    let (mesh, at) = stage(HTTP, "http");
    keeper_over_http(at);
    let headers = "includeRequestHeadersInCheck: [x-key]";
    for (fields, expected) in [
        (String::new(), 403),
        ("statusOnError: '503'".to_owned(), 503),
        ("failOpen: true".to_owned(), 200),
    ] {
        mesh.apply(&provider(HTTP, &format!("{headers}, {fields}")));
        let answer = mesh.get("/ask").header("x-key", "broken").send();
        assert_eq!(answer.status, expected, "{fields}");
    }
    // A provider that nobody defined, or that is gone: what the policy matches is refused.
    mesh.apply(
        "{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {name: mesh, namespace: istio-system}, spec: {}}",
    );
    assert_eq!(mesh.get("/ask").header("x-key", "good").send().status, 403);
    assert_eq!(mesh.get("/free").send().status, 200);
    // Nobody is there.
    mesh.apply(&provider(HTTP, &format!("{headers}, statusOnError: '502'")));
    mesh.deregister("keeper");
    assert_eq!(mesh.get("/ask").header("x-key", "good").send().status, 502);
}

#[test]
fn bodies_are_sent_along_as_far_as_they_may_be() {
    let (mesh, at) = stage(GRPC, "grpc");
    let asked: Arc<Mutex<Vec<Check>>> = Arc::default();
    let log = asked.clone();
    services::unary(at, move |_, message| {
        log.lock().push(Check::decode(&message).unwrap());
        Ok(Checked::Allowed(Allowed::default()).encode())
    });
    let body = |text: &str| CheckedBody::Text(text.to_owned());
    for (fields, sent, status, expected) in [
        ("", "hello", 200, Some(None)),
        (
            "includeRequestBodyInCheck: {maxRequestBytes: 5}",
            "hello",
            200,
            Some(Some(body("hello"))),
        ),
        (
            "includeRequestBodyInCheck: {maxRequestBytes: 4}",
            "hello",
            413,
            None,
        ),
        (
            "includeRequestBodyInCheck: {maxRequestBytes: 4, allowPartialMessage: true}",
            "hello",
            200,
            Some(Some(body("hell"))),
        ),
        (
            "includeRequestBodyInCheck: {maxRequestBytes: 9, packAsBytes: true}",
            "hello",
            200,
            Some(Some(CheckedBody::Bytes("hello".into()))),
        ),
    ] {
        mesh.apply(&provider(GRPC, fields));
        asked.lock().clear();
        let answer = mesh.post("/ask", sent).send();
        assert_eq!(answer.status, status, "{fields}");
        let got = asked
            .lock()
            .first()
            .map(|check| check.request.as_ref().unwrap().body.clone());
        assert_eq!(got, expected, "{fields}");
        if status == 200 {
            assert_eq!(answer.seen().body, sent, "the service gets all of it");
        }
    }
}

// row: MeshConfig extensionProviders.envoyExtAuthzGrpc
#[test]
fn a_provider_of_grpc_is_asked_on_envoys_wire() {
    let (mesh, at) = stage(GRPC, "grpc");
    let asked: Arc<Mutex<Vec<Check>>> = Arc::default();
    let log = asked.clone();
    let change = |name: &str, value: &str| HeaderChange {
        name: ChangedName::Header(name.parse().unwrap()),
        value: value.parse().unwrap(),
        action: HeaderAction::Overwrite,
    };
    let allowed = Allowed {
        headers: vec![change("x-user", "bob"), change("x-route", "two")],
        remove: vec!["x-secret".parse().unwrap()],
        response_headers: vec![change("x-told", "yes")],
        ..Allowed::default()
    };
    let denied = Denied {
        code: 7,
        status: Some(429),
        headers: vec![change("x-why", "because")],
        body: "slow down".to_owned(),
        metadata: serde_json::Map::new(),
    };
    services::unary(at, move |_, message| {
        let check = Check::decode(&message).unwrap();
        log.lock().push(check.clone());
        let headers = check.request.map(|request| request.headers).unwrap_or_default();
        match headers.get("x-key").map(String::as_str) {
            Some("good") => Ok(Checked::Allowed(allowed.clone()).encode()),
            Some("broken") => Err(14),
            _ => Ok(Checked::Denied(denied.clone()).encode()),
        }
    });
    mesh.apply(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: shop}, spec: \
         {parentRefs: [{group: '', kind: Service, name: web}], rules: [{matches: [{headers: [{name: x-route, value: two}]}], \
         backendRefs: [{name: web-v2, port: 80}]}, {backendRefs: [{name: web-v1, port: 80}]}]}}",
    );
    let good = mesh.get("/ask?q").header("x-key", "good").header("x-secret", "s");
    let answer = good.send();
    assert_eq!(
        (answer.brief(), answer.header("x-told")),
        ((200, "web-v1"), Some("yes"))
    );
    let seen = answer.seen();
    assert_eq!(
        (seen.header("x-user").as_deref(), seen.header("x-secret")),
        (Some("bob"), None)
    );
    // The route is chosen again only if that is wanted.
    mesh.apply(&provider(GRPC, "clearRouteCache: true"));
    assert_eq!(good.send().brief(), (200, "web-v2"));
    let check = asked.lock()[0].clone();
    assert_eq!(
        check.source.principal.as_deref(),
        Some("spiffe://cluster.local/ns/shop/sa/client")
    );
    let request = check.request.unwrap();
    assert_eq!(
        (
            request.method.as_str(),
            request.path.as_str(),
            request.host.as_str()
        ),
        ("GET", "/ask?q", "web")
    );
    let answer = mesh.get("/ask").send();
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.header("x-why")),
        (429, "slow down", Some("because"))
    );
    mesh.apply(&provider(GRPC, "statusOnError: '500'"));
    assert_eq!(mesh.get("/ask").header("x-key", "broken").send().status, 500);
    mesh.apply(&provider(GRPC, "failOpen: true"));
    assert_eq!(mesh.get("/ask").header("x-key", "broken").send().status, 200);
}

// row: AuthorizationPolicy rules.when
#[test]
fn what_it_says_beside_counts_in_policies_and_logs() {
    let (mesh, at) = stage(GRPC, "grpc");
    services::unary(at, move |_, message| {
        let check = Check::decode(&message).unwrap();
        let headers = check.request.map(|request| request.headers).unwrap_or_default();
        let said =
            serde_json::json!({"tier": headers.get("x-tier"), "groups": ["a", "b"], "who": {"age": 7}});
        let metadata = said.as_object().unwrap().clone();
        Ok(match headers.contains_key("x-no") {
            false => Checked::Allowed(Allowed {
                metadata,
                ..Allowed::default()
            }),
            true => Checked::Denied(Denied {
                code: 7,
                status: None,
                headers: Vec::new(),
                body: String::new(),
                metadata,
            }),
        }
        .encode())
    });
    mesh.apply(&provider(GRPC, "").replace(
        "spec: {",
        "spec: {accessLogFile: /dev/stdout, accessLogFormat: \"%RESPONSE_CODE% %DYNAMIC_METADATA(envoy.filters.http.ext_authz:tier)% \
         %DYNAMIC_METADATA(envoy.filters.http.ext_authz:who)%\\n\", ",
    ));
    let rule = |action: &str, when: &str| {
        mesh.apply(&format!(
            "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: tier, namespace: shop}}, spec: \
             {{targetRefs: [{{group: '', kind: Service, name: web}}], action: {action}, rules: [{{when: [{{key: \
             'experimental.envoy.filters.http.ext_authz{when}}}]}}]}}}}"
        ));
    };
    let status = |path: &str, tier: &str| mesh.get(path).header("x-tier", tier).send().status;
    for (action, when, expected) in [
        ("ALLOW", "[tier]', values: [gold]", [200, 403, 403]),
        ("ALLOW", "[groups]', values: ['[b]']", [200, 200, 403]),
        ("ALLOW", "[groups]', values: ['[c]']", [403, 403, 403]),
        ("DENY", "[tier]', values: ['g*']", [403, 200, 200]),
        ("DENY", "[tier]', notValues: [gold]", [200, 403, 403]),
    ] {
        rule(action, when);
        // Nobody is asked about the last one.
        let got = [
            status("/ask", "gold"),
            status("/ask", "tin"),
            status("/free", "gold"),
        ];
        assert_eq!(got, expected, "{action} {when}");
    }
    mesh.remove("AuthorizationPolicy", "tier");
    let before = mesh.log(15).len();
    assert_eq!(status("/ask", "gold"), 200);
    assert_eq!(
        mesh.get("/ask")
            .header("x-tier", "tin")
            .header("x-no", "1")
            .send()
            .status,
        403
    );
    assert_eq!(status("/free", "gold"), 200);
    let mut log = mesh.log(before + 3).split_off(before);
    // Each thread writes its own.
    log.sort();
    assert_eq!(log, ["200 - -", "200 gold {\"age\":7}", "403 tin {\"age\":7}"]);
}

#[test]
fn connections_can_be_asked_about_over_grpc_only() {
    let (mesh, at) = stage(GRPC, "grpc");
    services::unary(at, |_, message| {
        let check = Check::decode(&message).unwrap();
        let principal = check.source.principal.unwrap_or_default();
        Ok(match principal.ends_with("/sa/client") {
            true => Checked::Allowed(Allowed::default()).encode(),
            false => Checked::Denied(Denied {
                code: 7,
                status: None,
                headers: Vec::new(),
                body: String::new(),
                metadata: serde_json::Map::new(),
            })
            .encode(),
        })
    });
    let greeted = |account: &str| !mesh.connect_as(account, "web:9000").read_until("\n").is_empty();
    assert!(greeted("client"));
    assert!(!greeted("other"));
    mesh.apply(&provider(HTTP, ""));
    assert!(!greeted("client"));
}
