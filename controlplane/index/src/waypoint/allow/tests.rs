use crate::MeshConfig;
use crate::fixture::{Mesh, pod, registered};
use crate::status::ConditionType;

const WAYPOINT: &str = "spiffe://cluster.local/ns/shop/sa/wp";
const SOMEBODY: &str = "spiffe://cluster.local/ns/shop/sa/client";
const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: wp, namespace: shop, labels: {istio.io/waypoint-for: all}}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: v1
kind: Service
metadata: {name: wp, namespace: shop}
spec: {clusterIP: 10.96.9.9, ports: [{name: mesh, port: 15008}]}
---
";
const POLICY: &str = "shop/istio_allow_waypoint_shop_wp";

/// A mesh of one Pod behind one Service, with further metadata of each.
fn mesh(asked: bool, service: &str, of_pod: &str) -> Mesh {
    let config = MeshConfig {
        allow_from_waypoints: asked,
        ..MeshConfig::default()
    };
    let service = format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: shop, {service}}}, \
         spec: {{clusterIP: 10.96.0.1, selector: {{app: web}}, ports: [{{port: 80}}]}}}}\n---\n"
    );
    let labels = format!("labels: {{app: web, {of_pod}}}");
    // Its own proxies run as it does.
    let account = match labels.contains("gateway-name") {
        true => "serviceAccountName: wp",
        false => "",
    };
    let yaml = [GATEWAY, &service, &pod("shop/web", &labels, account)].concat();
    let mut mesh = Mesh::with(config, &yaml);
    mesh.register("shop/web", registered("10.0.0.1"));
    mesh
}

fn admits(mesh: &Mesh, source: Option<&str>) -> bool {
    mesh.admits("shop/web", source, "10.0.0.2", 80)
}

fn message(mesh: &Mesh) -> String {
    let statuses = mesh.index.statuses();
    let of_service = statuses.iter().filter(|s| s.object.name == "web");
    let mut bound = of_service.filter_map(|s| s.condition(ConditionType::WaypointBound));
    bound.next().map(|c| c.message.clone()).unwrap_or_default()
}

const BOUND: &str = "labels: {istio.io/use-waypoint: wp}";

#[test]
fn who_stands_behind_a_waypoint_lets_it_in_and_nobody_else() {
    for (service, of_pod) in [(BOUND, ""), ("", "istio.io/use-waypoint: wp")] {
        let mesh = mesh(true, service, of_pod);
        assert!(mesh.policies.contains_key(POLICY));
        assert!(admits(&mesh, Some(WAYPOINT)), "{service} {of_pod}");
        assert!(
            !admits(&mesh, Some(SOMEBODY)) && !admits(&mesh, None),
            "{service} {of_pod}"
        );
    }
}

#[test]
fn nothing_changes_for_who_asks_for_no_waypoint_or_where_nobody_asked_for_this() {
    let unbound = mesh(true, "", "");
    assert!(admits(&unbound, Some(SOMEBODY)));
    let not_asked = mesh(false, BOUND, "");
    assert!(admits(&not_asked, Some(SOMEBODY)));
    assert!(!not_asked.policies.contains_key(POLICY));
    assert!(
        !message(&not_asked).contains("nobody else"),
        "{}",
        message(&not_asked)
    );
}

#[test]
fn authors_let_others_in_beside_it() {
    let mut mesh = mesh(true, BOUND, "");
    mesh.set(
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: client, namespace: shop}, \
         spec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]}]}}",
    );
    assert!(admits(&mesh, Some(SOMEBODY)) && admits(&mesh, Some(WAYPOINT)));
    assert!(!admits(&mesh, Some("spiffe://cluster.local/ns/shop/sa/other")));
}

#[test]
fn who_may_go_past_the_waypoint_is_let_in() {
    let fail_open =
        "labels: {istio.io/use-waypoint: wp}, annotations: {lateen.dev/waypoint-fail-open: 'true'}";
    let mesh = mesh(true, fail_open, "");
    assert!(admits(&mesh, Some(SOMEBODY)));
    assert!(!message(&mesh).contains("nobody else"), "{}", message(&mesh));
}

#[test]
fn the_policy_goes_with_its_waypoint_and_follows_its_account() {
    let mut mesh = mesh(true, BOUND, "");
    mesh.set(&GATEWAY.replace(
        "namespace: shop, labels",
        "namespace: shop, annotations: {gateway.istio.io/service-account: keeper}, labels",
    ));
    assert!(admits(&mesh, Some("spiffe://cluster.local/ns/shop/sa/keeper")));
    assert!(!admits(&mesh, Some(WAYPOINT)));
    mesh.remove(controlplane_k8s_api::Kind::Gateway, "shop/wp");
    assert!(mesh.policies.is_empty());
    assert!(
        mesh.pod("shop/web").authorization_policies.is_empty(),
        "none that nobody knows"
    );
}

/// The waypoint's own pods take connections from everybody.
#[test]
fn a_waypoint_is_behind_no_waypoint() {
    let own = "gateway.networking.k8s.io/gateway-name: wp, istio.io/use-waypoint: wp";
    let mesh = mesh(true, "", own);
    assert!(admits(&mesh, Some(SOMEBODY)));
}

#[test]
fn the_status_says_so() {
    let told = message(&mesh(true, BOUND, ""));
    assert!(told.contains("let in nobody else"), "{told}");
}
