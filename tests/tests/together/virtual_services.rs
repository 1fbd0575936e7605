//! VirtualService.

use crate::cases::{Via, check};
use crate::harness::Together;

fn virtual_service(spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: web, namespace: shop}}, \
         spec: {{hosts: [web.shop.svc.cluster.local], {spec}}}}}"
    )
}

fn to(version: &str) -> String {
    format!("route: [{{destination: {{host: web-{version}}}}}]")
}

// row: VirtualService http
#[test]
fn rules_count_in_their_order() {
    let rule = |matches: &str, version: &str| format!("{{match: [{matches}], {}}}", to(version));
    let mesh = Together::shop("");
    crate::cases::third(&mesh);
    mesh.apply(&virtual_service(&format!(
        "http: [{}, {{{}}}]",
        [
            rule("{headers: {end-user: {exact: jason}}}", "v2"),
            rule("{uri: {prefix: /api}, method: {exact: POST}}", "v3"),
            rule("{uri: {regex: '/[0-9]+'}}", "v2"),
            rule("{uri: {exact: /Case}, ignoreUriCase: true}", "v3"),
            rule(
                "{queryParams: {beta: {exact: 'yes'}}}, {headers: {x-beta: {}}}",
                "v2"
            ),
            rule("{withoutHeaders: {x-known: {}}, uri: {prefix: /unknown}}", "v3"),
            rule("{authority: {prefix: 'beta.'}}", "v3"),
            rule("{sourceNamespace: friends}", "v3"),
        ]
        .join(", "),
        to("v1")
    )));
    check(
        &mesh,
        Via::Mesh,
        &[
            ("GET /", "v1"),
            ("GET / end-user:jason", "v2"),
            ("POST /api/x end-user:jason", "v2"),
            ("POST /api/x", "v3"),
            ("GET /api/x", "v1"),
            ("GET /123", "v2"),
            ("GET /12a", "v1"),
            ("GET /cASE", "v3"),
            ("GET /?beta=yes", "v2"),
            ("GET /?beta=no", "v1"),
            ("GET / x-beta:anything", "v2"),
            ("GET /unknown", "v3"),
            ("GET /unknown x-known:1", "v1"),
            ("GET / host:beta.web", "v3"),
        ],
    );
    assert_eq!(mesh.get("/").from("friends/client").send().by(), "web-v3");
}

#[test]
fn what_is_done_to_requests() {
    let mesh = Together::shop(&virtual_service(&format!(
        "http: [{{match: [{{uri: {{prefix: /old}}}}], rewrite: {{uri: /new, authority: inner.example}}, \
         headers: {{request: {{set: {{x-set: a}}, add: {{x-add: b}}, remove: [x-remove]}}, response: {{set: {{x-answer: c}}}}}}, {}}}, \
         {{match: [{{uri: {{prefix: /moved}}}}], redirect: {{uri: /there, authority: elsewhere.example, redirectCode: 308}}}}, \
         {{match: [{{uri: {{prefix: /slow}}}}], timeout: 0.1s, {}}}, \
         {{match: [{{uri: {{prefix: /flaky}}}}], retries: {{attempts: 2, retryOn: 5xx, backoff: 1ms}}, {}}}, \
         {{match: [{{uri: {{prefix: /shares}}}}], route: [{{destination: {{host: web-v1}}, weight: 80}}, {{destination: {{host: web-v2}}, weight: 20, headers: {{request: {{set: {{x-share: second}}}}}}}}]}}, {{{}}}]",
        to("v1"),
        to("v1"),
        to("v2"),
        to("v1")
    )));
    let answer = mesh
        .get("/old/x")
        .header("x-remove", "1")
        .header("x-add", "0")
        .send();
    let seen = answer.seen();
    assert_eq!(
        (seen.path.as_str(), seen.host.as_str()),
        ("/new/x", "inner.example")
    );
    let headers = ["x-set", "x-add", "x-remove"].map(|name| seen.header(name));
    assert_eq!(headers, [Some("a".into()), Some("0,b".into()), None]);
    assert_eq!(answer.header("x-answer"), Some("c"));
    check(
        &mesh,
        Via::Mesh,
        &[("GET /moved/x", "308 http://elsewhere.example/there")],
    );
    mesh.of("web-v1").takes(std::time::Duration::from_secs(30));
    check(&mesh, Via::Mesh, &[("GET /slow", "504")]);
    mesh.of("web-v1").takes(std::time::Duration::ZERO);
    mesh.of("web-v2").fails(2, 500);
    check(&mesh, Via::Mesh, &[("GET /flaky", "v2")]);
    mesh.of("web-v2").fails(3, 500);
    assert_eq!(mesh.get("/flaky").send().status, 500);
    mesh.of("web-v2").fails(0, 500);
    let mut second = 0;
    let kept = mesh.keep(mesh.get("/shares"));
    for _ in 0..500 {
        let answer = kept.send(mesh.get("/shares"));
        let is_second = answer.by() == "web-v2";
        assert_eq!(answer.seen().header("x-share").is_some(), is_second);
        second += usize::from(is_second);
    }
    assert!((75..=125).contains(&second), "{second} of 500");
}

// row: VirtualService http.directResponse
#[test]
fn fixed_answers() {
    let mesh = Together::shop(&virtual_service(&format!(
        "http: [{{match: [{{uri: {{prefix: /teapot}}}}], directResponse: {{status: 418, body: {{string: short and stout}}}}}}, \
         {{match: [{{uri: {{prefix: /empty}}}}], directResponse: {{status: 204}}}}, {{{}}}]",
        to("v1")
    )));
    let answer = mesh.get("/teapot").send();
    assert_eq!(
        (answer.brief(), answer.body.as_str()),
        ((418, ""), "short and stout")
    );
    assert_eq!(mesh.get("/empty").send().brief(), (204, ""));
    assert_eq!(mesh.get("/").send().brief(), (200, "web-v1"));
    assert!(mesh.of("web-v1").requests().len() == 1);
}

/// What a rule says beside its answer is done to that, too.
// row: VirtualService http.headers
// row: VirtualService http.corsPolicy
#[test]
fn fixed_answers_have_what_their_rule_says() {
    let mesh = Together::shop(&virtual_service(&format!(
        "http: [{{match: [{{uri: {{prefix: /json}}}}], headers: {{response: {{set: {{content-type: application/json}}, add: {{x-by: rule}}}}}}, \
         corsPolicy: {{allowOrigins: [{{exact: 'https://a.example'}}]}}, directResponse: {{status: 200, body: {{string: '{{}}'}}}}}}, \
         {{match: [{{uri: {{prefix: /moved}}}}], headers: {{response: {{set: {{x-by: rule}}}}}}, redirect: {{uri: /there}}}}, \
         {{match: [{{uri: {{prefix: /broken}}}}], fault: {{abort: {{httpStatus: 418, percentage: {{value: 100}}}}}}, redirect: {{uri: /there}}}}, {{{}}}]",
        to("v1")
    )));
    let answer = mesh.get("/json").header("origin", "https://a.example").send();
    assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
    let said = ["content-type", "x-by", "access-control-allow-origin"].map(|name| answer.header(name));
    assert_eq!(
        said,
        [Some("application/json"), Some("rule"), Some("https://a.example")]
    );
    let answer = mesh.get("/moved").send();
    assert_eq!((answer.status, answer.header("x-by")), (301, Some("rule")));
    assert_eq!(mesh.get("/broken").send().status, 418);
}

// row: VirtualService http.redirect
#[test]
fn redirects_stay_where_the_client_is() {
    let mesh = Together::shop(&virtual_service(&format!(
        "http: [{{match: [{{uri: {{exact: /old}}}}], redirect: {{uri: /new}}}}, \
         {{match: [{{uri: {{exact: /port}}}}], redirect: {{uri: /new, derivePort: FROM_REQUEST_PORT}}}}, \
         {{match: [{{scheme: {{exact: https}}}}], {}}}, {{{}}}]",
        to("v2"),
        to("v1")
    )));
    let location = |path: &str, host: &str, proto: &str| {
        let mut ask = mesh.get(path).to("web:81").host(host);
        if !proto.is_empty() {
            ask = ask.header("x-forwarded-proto", proto);
        }
        ask.send().header("location").unwrap_or_default().to_owned()
    };
    // The service's port is not the client's.
    assert_eq!(location("/old", "shop.example", ""), "http://shop.example/new");
    assert_eq!(
        location("/old", "shop.example:8080", ""),
        "http://shop.example:8080/new"
    );
    assert_eq!(
        location("/port", "shop.example", ""),
        "http://shop.example:81/new"
    );
    // Nor is the tunnel the client's connection.
    assert_eq!(
        location("/old", "shop.example", "https"),
        "https://shop.example/new"
    );
    assert_eq!(
        mesh.get("/").header("x-forwarded-proto", "https").send().by(),
        "web-v2"
    );
    assert_eq!(
        mesh.get("/").header("x-forwarded-proto", "gopher").send().by(),
        "web-v1"
    );
    assert_eq!(mesh.get("/").send().by(), "web-v1");
}

// row: VirtualService http.fault
#[test]
fn faults() {
    let mesh = Together::shop(&virtual_service(&format!(
        "http: [{{match: [{{headers: {{x-chaos: {{exact: fail}}}}}}], fault: {{abort: {{httpStatus: 418, percentage: {{value: 100}}}}}}, {}}}, \
         {{match: [{{headers: {{x-chaos: {{exact: some}}}}}}], fault: {{abort: {{httpStatus: 503, percentage: {{value: 50}}}}}}, {}}}, \
         {{match: [{{headers: {{x-chaos: {{exact: dawdle}}}}}}], fault: {{delay: {{fixedDelay: 0.2s, percentage: {{value: 100}}}}}}, {}}}, {{{}}}]",
        to("v1"),
        to("v1"),
        to("v1"),
        to("v2")
    )));
    let chaos = |value: &str| mesh.get("/").header("x-chaos", value).send();
    assert_eq!(chaos("fail").brief(), (418, ""));
    let failed = (0..300).filter(|_| chaos("some").status == 503).count();
    assert!((110..=190).contains(&failed), "{failed} of 300");
    let begin = tokio::time::Instant::now();
    assert_eq!(chaos("dawdle").by(), "web-v1");
    assert!(begin.elapsed() >= std::time::Duration::from_millis(200));
    assert_eq!(chaos("none").by(), "web-v2");
}

// row: VirtualService http.mirrors
#[test]
fn copies() {
    let mesh = Together::shop("");
    crate::cases::third(&mesh);
    mesh.apply(&virtual_service(&format!(
        "http: [{{mirrors: [{{destination: {{host: web-v2}}}}, {{destination: {{host: web-v3}}, percentage: {{value: 50}}}}], {}}}]",
        to("v1")
    )));
    let kept = mesh.keep(mesh.get("/"));
    for n in 0..200 {
        assert_eq!(kept.send(mesh.post(&format!("/{n}"), "body")).by(), "web-v1");
    }
    let copies = |name: &str| mesh.of(name).requests().len();
    mesh.until("all copies", || (copies("web-v2") == 200).then_some(()));
    mesh.until("half of the copies", || (copies("web-v3") >= 60).then_some(()));
    assert!(copies("web-v3") <= 140, "{}", copies("web-v3"));
    let copied = mesh.of("web-v2").requests();
    assert!(
        copied
            .iter()
            .all(|seen| seen.body == "body" && seen.host == "web")
    );
}

// row: VirtualService tls
#[test]
fn tls_goes_by_its_server_name() {
    let hosts = |text: String| text.replace("hosts: [", "hosts: ['*.example.com', ");
    let mesh = Together::shop(&hosts(virtual_service(
        "tls: [{match: [{sniHosts: [one.example.com]}], route: [{destination: {host: web-v1, port: {number: 443}}}]}, \
         {match: [{sniHosts: ['*.example.com']}], route: [{destination: {host: web-v2, port: {number: 443}}}]}]",
    )));
    for (name, expected) in [("one.example.com", "web-v1"), ("two.example.com", "web-v2")] {
        let (mut conn, _) = mesh
            .connect("web:443")
            .tls(name, &["http/1.1"])
            .expect("a handshake");
        conn.write(format!(
            "GET / HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n"
        ));
        let answer = conn.rest();
        assert!(
            answer.contains(&format!("x-served-by: {expected}")),
            "{name}: {answer}"
        );
    }
}

// row: VirtualService tcp
#[test]
fn bytes_go_by_port_and_shares() {
    let mesh = Together::shop(&virtual_service(
        "tcp: [{match: [{port: 9000}], route: [{destination: {host: web-v1, port: {number: 9000}}, weight: 80}, {destination: {host: web-v2, port: {number: 9000}}, weight: 20}]}]",
    ));
    let mut second = 0;
    for _ in 0..300 {
        let mut conn = mesh.connect("web:9000");
        let by = conn.read_until("\n");
        second += usize::from(by == "web-v2\n");
        assert!(by == "web-v1\n" || by == "web-v2\n", "{by}");
    }
    assert!((30..=95).contains(&second), "{second} of 300");
}

#[test]
fn rules_are_delegated() {
    let mesh = Together::shop(&virtual_service(&format!(
        "http: [{{match: [{{uri: {{prefix: /team}}}}], delegate: {{name: team, namespace: shop}}}}, {{{}}}]",
        to("v1")
    )));
    mesh.apply(&format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: team, namespace: shop}}, spec: {{http: [{{match: [{{uri: {{prefix: /team/a}}}}], {}}}]}}}}",
        to("v2")
    ));
    check(&mesh, Via::Mesh, &[("GET /team/a", "v2"), ("GET /", "v1")]);
}

/// Nobody knows what clients are labelled with: such a match takes no request, and whoever wrote it is told.
#[test]
fn labels_of_clients_take_nobody_and_that_is_told() {
    let mesh = Together::shop(&virtual_service(&format!(
        "http: [{{match: [{{sourceLabels: {{app: client}}}}], {}}}, {{{}}}]",
        to("v2"),
        to("v1")
    )));
    assert_eq!(mesh.get("/").send().brief(), (200, "web-v1"));
    let told = mesh.conditions("VirtualService", "web", "PartiallyInvalid");
    assert!(
        told.iter().any(|c| c["status"] == "True"
            && c["message"]
                .as_str()
                .is_some_and(|m| m.contains("sourceLabels") && m.contains("takes no request"))),
        "{}",
        mesh.status("VirtualService", "web")
    );
}
