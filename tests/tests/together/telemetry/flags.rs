//! Response flags and their details: each by a request for which there is a reason.

use std::net::IpAddr;
use std::time::Duration;

use super::config;
use crate::harness::Together;

const FORMAT: &str = "accessLogFile: /dev/stdout, accessLogFormat: \"%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\\n\"";

/// A mesh that logs what is looked at here.
fn mesh(more: &str) -> Together {
    Together::shop(&format!("{}\n---\n{more}", config(FORMAT)))
}

/// The line of a path, once it is there.
fn line(mesh: &Together, path: &str) -> String {
    mesh.until("the line of a request", || {
        let log = mesh.log(0);
        let found = log.iter().find(|line| line.split(' ').next() == Some(path));
        found.map(|line| line[path.len()..].trim_start().to_owned())
    })
}

fn route(name: &str, rules: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: {name}, namespace: shop}}, spec: {{parentRefs: [{{kind: Service, group: '', name: web}}], rules: [{rules}]}}}}"
    )
}

fn service(name: &str, target: u16, more: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: shop}}, spec: {{clusterIP: 10.96.9.9, selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: {target}{more}}}]}}}}"
    )
}

#[test]
fn where_it_goes() {
    let mesh = mesh(&route(
        "r",
        "{matches: [{path: {type: Exact, value: /taken}}], backendRefs: [{name: web-v1, port: 80}]}, \
         {matches: [{path: {type: Exact, value: /gone}}], backendRefs: [{name: no-such, port: 80}]}",
    ));
    mesh.get("/taken").send();
    assert_eq!(line(&mesh, "/taken"), "200 - via_upstream");
    mesh.get("/nobody").send();
    assert_eq!(line(&mesh, "/nobody"), "404 NR route_not_found");
    mesh.get("/gone").send();
    assert_eq!(line(&mesh, "/gone"), "500 NC direct_response");
    mesh.service("empty", "app: nothing");
    mesh.get("/empty").to("empty:80").send();
    assert_eq!(line(&mesh, "/empty"), "503 UH no_healthy_upstream");
}

#[test]
fn what_endpoints_do() {
    let mesh = mesh(&service("closed", 7, ""));
    mesh.get("/closed").to("closed:80").send();
    assert_eq!(
        line(&mesh, "/closed"),
        "503 UF,URX upstream_reset_before_response_started{connection_failure}"
    );
    mesh.of("web-v1").hangs_up(true);
    mesh.post("/hangs-up", "x").to("web-v1:80").send();
    assert_eq!(
        line(&mesh, "/hangs-up"),
        "503 UC upstream_reset_before_response_started{connection_termination}"
    );
    mesh.get("/fails")
        .to("web-v2:80")
        .header("say-status", "503")
        .send();
    assert_eq!(line(&mesh, "/fails"), "503 - via_upstream");
}

#[test]
fn time_and_limits() {
    let rules = "{matches: [{path: {value: /whole}}], timeouts: {request: 50ms}, backendRefs: [{name: web-v1, port: 80}]}, \
        {matches: [{path: {value: /each}}], timeouts: {backendRequest: 50ms}, backendRefs: [{name: web-v1, port: 80}]}";
    let mesh = mesh(&route("r", rules));
    mesh.apply("{apiVersion: lateen.dev/v1alpha1, kind: RateLimitPolicy, metadata: {name: l, namespace: shop}, spec: {targetRefs: [{group: '', kind: Service, name: web-v2}], local: {limits: [{requests: 1, interval: 1h}]}}}");
    mesh.get("/first").to("web-v2:80").send();
    mesh.get("/second").to("web-v2:80").send();
    assert_eq!(line(&mesh, "/second"), "429 RL local_rate_limited");
    mesh.of("web-v1").takes(Duration::from_secs(60));
    mesh.get("/whole").send();
    assert_eq!(line(&mesh, "/whole"), "504 UT response_timeout");
    mesh.post("/each", "").send();
    assert_eq!(line(&mesh, "/each"), "504 UT upstream_per_try_timeout");
    // One is under way, and there may be no more.
    mesh.apply("{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d, namespace: shop}, spec: {host: web-v1.shop.svc.cluster.local, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}}");
    let mut waits = mesh.connect("web-v1:80");
    waits.write("GET /waits HTTP/1.1\r\nhost: web\r\n\r\n");
    let waiting = || {
        mesh.of("web-v1")
            .requests()
            .iter()
            .any(|seen| seen.path == "/waits")
    };
    mesh.until("the first one", || waiting().then_some(()));
    mesh.get("/more").to("web-v1:80").send();
    assert_eq!(
        line(&mesh, "/more"),
        "503 UO upstream_reset_before_response_started{overflow}"
    );
    // And whoever waits goes away.
    drop(waits);
    assert_eq!(line(&mesh, "/waits"), "0 DC downstream_remote_disconnect");
}

#[test]
fn on_purpose() {
    let rules = "{match: [{uri: {exact: /late}}], fault: {delay: {percentage: {value: 100}, fixedDelay: 1ms}}, route: [{destination: {host: web-v1}}]}, \
        {match: [{uri: {exact: /never}}], fault: {abort: {percentage: {value: 100}, httpStatus: 418}}, route: [{destination: {host: web-v1}}]}, \
        {match: [{uri: {exact: /both}}], fault: {delay: {percentage: {value: 100}, fixedDelay: 1ms}, abort: {percentage: {value: 100}, httpStatus: 418}}, route: [{destination: {host: web-v1}}]}";
    let mesh = mesh(&format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: v, namespace: shop}}, spec: {{hosts: [web], http: [{rules}]}}}}"
    ));
    for (path, expected) in [
        ("/late", "200 DI via_upstream"),
        ("/never", "418 FI fault_filter_abort"),
        ("/both", "418 DI,FI fault_filter_abort"),
    ] {
        mesh.get(path).send();
        assert_eq!(line(&mesh, path), expected);
    }
}

#[test]
fn who_may_not() {
    let provider = "extensionProviders: [{name: who, envoyExtAuthzHttp: {service: web-v2.shop.svc.cluster.local, port: 80}}]";
    let mesh = mesh("");
    mesh.apply(&config(&format!("{FORMAT}, {provider}")));
    let policy = |name: &str, spec: &str| {
        format!(
            "{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: {name}, namespace: shop}}, spec: {{targetRefs: [{{kind: Service, group: '', name: web-v1}}], {spec}}}}}"
        )
    };
    mesh.apply(&policy(
        "no",
        "action: DENY, rules: [{to: [{operation: {paths: [/denied]}}]}]",
    ));
    mesh.apply(&policy(
        "ask",
        "action: CUSTOM, provider: {name: who}, rules: [{to: [{operation: {paths: [/asked]}}]}]",
    ));
    mesh.get("/denied").to("web-v1:80").send();
    assert_eq!(
        line(&mesh, "/denied"),
        "403 - rbac_access_denied_matched_policy[ns[shop]-policy[no]-rule[0]]"
    );
    mesh.of("web-v2").answers(403);
    mesh.get("/asked").to("web-v1:80").send();
    assert_eq!(line(&mesh, "/asked"), "403 UAEX ext_authz_denied");
    let mut broken = mesh.connect("web-v1:80");
    broken.write("GET /broken HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    assert!(broken.read_until("\r\n").contains("400"));
    let broken = line(&mesh, "/broken");
    assert!(broken.starts_with("400 DPE "), "{broken}");
}

#[test]
fn what_is_reset() {
    let mesh = mesh("");
    let ip = mesh.of("web-v1").ip;
    resets(ip);
    let grpc =
        service("resets", RESETS, ", appProtocol: kubernetes.io/h2c").replace("app: web", "version: v1");
    mesh.apply(&grpc);
    mesh.post("/reset", "x").to("resets:80").send();
    assert_eq!(
        line(&mesh, "/reset"),
        "503 UR upstream_reset_before_response_started{remote_reset}"
    );
    // A connection that was allowed and is not any more.
    let mut open = mesh.connect("web-v2:9000");
    assert_eq!(open.read_until("\n"), "web-v2\n");
    mesh.apply("{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: no, namespace: shop}, spec: {targetRefs: [{kind: Service, group: '', name: web-v2}], action: DENY, rules: [{}]}}");
    assert_eq!(open.rest(), "");
    assert_eq!(line(&mesh, "-"), "0 LR -");
}

/// A server of HTTP/2 that resets every stream, as long as the process lasts.
fn resets(ip: IpAddr) {
    let listener = std::net::TcpListener::bind((ip, RESETS)).expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let serve = async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime");
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await?;
                while let Some(asked) = connection.accept().await {
                    asked?.1.send_reset(h2::Reason::INTERNAL_ERROR);
                }
                Ok::<_, h2::Error>(())
            });
        }
    };
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(serve);
    });
}

const RESETS: u16 = 8099;

#[test]
fn tries_are_used_up_where_one_more_was_wanted() {
    let retry = |on: &str| {
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: r, namespace: shop}}, spec: \
             {{hosts: [web-v1], http: [{{retries: {{attempts: 1, retryOn: '{on}', backoff: 1ms}}, route: [{{destination: {{host: web-v1}}}}]}}]}}}}"
        )
    };
    let mesh = mesh(&retry("503,retriable-4xx"));
    for (status, flag) in [(503, "URX"), (409, "URX"), (500, "-"), (404, "-")] {
        let path = format!("/{status}");
        let ask = mesh.post(&path, "").to("web-v1:80");
        ask.header("say-status", &status.to_string()).send();
        assert_eq!(line(&mesh, &path), format!("{status} {flag} via_upstream"));
    }
    // One that was wanted again is followed by one that is not.
    mesh.of("web-v1").answers(500);
    mesh.of("web-v1").fails(1, 503);
    mesh.post("/better", "").to("web-v1:80").send();
    assert_eq!(line(&mesh, "/better"), "500 - via_upstream");
}
