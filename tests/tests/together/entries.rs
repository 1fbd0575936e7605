//! ServiceEntry and WorkloadEntry: hosts outside, and what a waypoint does for them.

use crate::cases::{Via, check};
use crate::harness::Together;

fn entry(name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {{name: {name}, namespace: shop}}, spec: {{{spec}}}}}"
    )
}

const HTTP: &str =
    "ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], location: MESH_EXTERNAL";

#[test]
fn hosts_outside_pass_the_waypoint() {
    let mesh = Together::shop("");
    let ip = mesh.of("web-v1").ip;
    mesh.apply(&entry(
        "api",
        &format!("hosts: [api.example.com], {HTTP}, resolution: STATIC, endpoints: [{{address: {ip}}}]"),
    ));
    let get = |path: &str| mesh.get(path).to("api.example.com:80").send();
    assert_eq!(get("/").brief(), (200, "web-v1"));
    assert_eq!(get("/").seen().host, "api.example.com");
    // Routes and policies are the host's.
    mesh.apply(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: api, namespace: shop}, spec: {\
         parentRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api}], rules: [{matches: [{path: {type: PathPrefix, value: /v1}}], \
         filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-egress, value: 'yes'}]}}], \
         backendRefs: [{group: networking.istio.io, kind: Hostname, name: api.example.com, port: 80}]}]}}",
    );
    assert_eq!(get("/v1").seen().header("x-egress").as_deref(), Some("yes"));
    assert_eq!(get("/").status, 404);
    mesh.remove("HTTPRoute", "api");
    mesh.apply(
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: api, namespace: shop}, spec: {\
         targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: api}], action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]}}",
    );
    assert_eq!((get("/admin").status, get("/").status), (403, 200));
}

#[test]
fn workloads_are_selected() {
    let mesh = Together::shop("");
    mesh.apply(&entry(
        "legacy",
        &format!("hosts: [legacy.example.com], {HTTP}, resolution: STATIC, workloadSelector: {{labels: {{app: legacy}}}}"),
    ));
    let at = |name: &str, backend: &str| {
        let ip = mesh.of(backend).ip;
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {{name: {name}, namespace: shop}}, spec: {{address: {ip}, labels: {{app: legacy}}}}}}"
        )
    };
    let get = || mesh.get("/").to("legacy.example.com:80").send();
    assert_eq!(get().status, 503);
    mesh.apply(&at("one", "web-v2"));
    for _ in 0..4 {
        assert_eq!(get().brief(), (200, "web-v2"));
    }
    mesh.apply(&at("one", "web-v1"));
    assert_eq!(get().by(), "web-v1");
    mesh.remove("WorkloadEntry", "one");
    assert_eq!(get().status, 503);
}

// row: MeshConfig serviceEntryVisibility
#[test]
fn whose_entries_are_seen() {
    let mesh = Together::shop("");
    let ip = mesh.of("web-v1").ip;
    mesh.apply(&entry(
        "api",
        &format!("hosts: [api.example.com], {HTTP}, resolution: STATIC, endpoints: [{{address: {ip}}}]"),
    ));
    let config = |visibility: &str| {
        format!(
            "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh, namespace: istio-system}}, spec: {{serviceEntryVisibility: {{defaultVisibility: {visibility}}}}}}}"
        )
    };
    mesh.apply(&config("PUBLIC"));
    assert_eq!(mesh.get("/").to("api.example.com:80").send().by(), "web-v1");
    mesh.apply(&config("NONE"));
    assert!(
        !mesh.knows("api.example.com"),
        "{}",
        mesh.status("ServiceEntry", "api")
    );
    mesh.apply(&config("NAMESPACE"));
    assert_eq!(mesh.get("/").to("api.example.com:80").send().by(), "web-v1");
}

/// There is no way to other networks: such endpoints are left out, and everybody is told.
#[test]
fn endpoints_in_other_networks_are_left_out_and_told_of() {
    let mesh = Together::shop(
        "{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {name: mesh, namespace: istio-system}, spec: \
         {accessLogFile: /dev/stdout, accessLogFormat: \"%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\\n\"}}",
    );
    let ip = mesh.of("web-v2").ip;
    mesh.apply(&entry(
        "far",
        &format!(
            "hosts: [far.example.com], {HTTP}, resolution: STATIC, workloadSelector: {{labels: {{app: far}}}}"
        ),
    ));
    let at = |name: &str, network: &str| {
        mesh.apply(&format!(
            "{{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {{name: {name}, namespace: shop}}, spec: \
             {{address: {ip}, labels: {{app: far}}{network}}}}}"
        ));
    };
    let get = || mesh.get("/").to("far.example.com:80").send();
    let told = || mesh.metrics().contains("lateen_waypoint_other_network_total 1");
    let reachable = || mesh.conditions("ServiceEntry", "far", "lateen.dev/EndpointsReachable");
    at("one", ", network: east");
    assert_eq!((get().status, told()), (503, true));
    let log = mesh.log(1);
    assert!(
        log[0].starts_with("UH in_other_networks,_to_which_there_is_no_way:_all_1"),
        "{log:?}"
    );
    let said = reachable();
    assert_eq!(
        (said[0]["status"].as_str(), said[0]["reason"].as_str()),
        (Some("False"), Some("OtherNetwork"))
    );
    assert!(
        said[0]["message"]
            .as_str()
            .is_some_and(|m| m.contains("1 of its endpoints") && m.contains("(east)"))
    );
    // One that is here takes everything, and the other one is still told of.
    at("two", "");
    assert_eq!((get().brief(), reachable().len()), ((200, "web-v2"), 1));
    at("one", "");
    assert_eq!((get().status, reachable().len(), told()), (200, 0, true));
}

#[test]
fn an_egress_waypoint_serves_wildcards_by_host_and_server_name() {
    // `*.localhost` is resolved by nobody outside; that it leads to this machine is refused, and the host decides before.
    let mesh = Together::shop(&entry(
        "wide",
        "hosts: ['*.wild.example'], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], location: MESH_EXTERNAL, resolution: DYNAMIC_DNS",
    ));
    if !mesh.knows("*.wild.example") {
        panic!("{}", mesh.status("ServiceEntry", "wide"));
    }
    let at = |host: &str| mesh.get("/").to("*.wild.example:80").host(host).send();
    let other = at("other.example");
    assert!(other.by().is_empty() && other.status >= 400, "{other:?}");
    check(&mesh, Via::Mesh, &[("GET / host:web", "v1")][..0]);
}
