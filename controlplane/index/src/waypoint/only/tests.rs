use crate::fixture::{Mesh, pod, registered};

const WAYPOINT: &str = "spiffe://cluster.local/ns/shop/sa/wp";
const CANARY: &str = "spiffe://cluster.local/ns/gates/sa/next";
const SOMEBODY: &str = "spiffe://cluster.local/ns/shop/sa/client";

fn mesh(labels: &str, annotations: &str) -> Mesh {
    let namespace = format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {{{labels}}}, annotations: {{{annotations}}}}}}}\n---\n"
    );
    let mut mesh = Mesh::of(&(namespace + &pod("shop/web", "labels: {app: web}", "")));
    mesh.register("shop/web", registered("10.0.0.1"));
    mesh
}

fn admits(mesh: &Mesh, source: Option<&str>) -> bool {
    mesh.admits("shop/web", source, "10.0.0.2", 80)
}

const ONLY: &str = "lateen.dev/waypoint-only: 'true'";

#[test]
fn only_the_waypoint_is_let_in_whether_it_exists_or_not() {
    let gateway = "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: wp, namespace: shop}, spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}";
    let mut mesh = mesh("istio.io/use-waypoint: wp", ONLY);
    for _ in 0..2 {
        assert!(admits(&mesh, Some(WAYPOINT)));
        assert!(
            !admits(&mesh, Some(SOMEBODY)),
            "another pod, to the pod's own address"
        );
        assert!(!admits(&mesh, Some(CANARY)) && !admits(&mesh, None));
        mesh.set(gateway);
    }
}

#[test]
fn a_canary_and_an_account_of_its_own_are_let_in_too() {
    let labels = "istio.io/use-waypoint: wp, istio.io/use-waypoint-canary: next, istio.io/use-waypoint-canary-namespace: gates";
    let mut mesh = mesh(labels, ONLY);
    assert!(admits(&mesh, Some(WAYPOINT)) && admits(&mesh, Some(CANARY)));
    mesh.set("{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: wp, namespace: shop, annotations: {gateway.istio.io/service-account: keeper}}, spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}");
    assert!(admits(&mesh, Some("spiffe://cluster.local/ns/shop/sa/keeper")));
    assert!(!admits(&mesh, Some(WAYPOINT)) && admits(&mesh, Some(CANARY)));
}

#[test]
fn nobody_is_let_in_where_no_waypoint_is_named() {
    let mesh = mesh("", ONLY);
    assert!(!admits(&mesh, Some(WAYPOINT)) && !admits(&mesh, None));
}

#[test]
fn everybody_else_is_as_before() {
    for (labels, annotations) in [
        ("istio.io/use-waypoint: wp", ""),
        ("istio.io/use-waypoint: wp", "lateen.dev/waypoint-only: 'false'"),
        ("", ""),
    ] {
        let mesh = mesh(labels, annotations);
        assert!(
            admits(&mesh, Some(SOMEBODY)) && admits(&mesh, None),
            "{labels} {annotations}"
        );
    }
}
