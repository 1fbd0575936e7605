use super::{ObjectName, Resource};

static PODS: Resource = Resource::namespaced("", "v1", "pods", "Pod");
static CLASSES: Resource = Resource::cluster_wide(
    "gateway.networking.k8s.io",
    "v1",
    "gatewayclasses",
    "GatewayClass",
);

#[test]
fn paths_are_those_of_the_api() {
    assert_eq!(PODS.path(None), "/api/v1/pods");
    assert_eq!(PODS.path(Some("shop")), "/api/v1/namespaces/shop/pods");
    let cart = ObjectName::new("shop", "cart-1");
    assert_eq!(
        PODS.object_path(&cart, None),
        "/api/v1/namespaces/shop/pods/cart-1"
    );
    let class = ObjectName::cluster("lateen-waypoint");
    assert_eq!(
        CLASSES.object_path(&class, Some("status")),
        "/apis/gateway.networking.k8s.io/v1/gatewayclasses/lateen-waypoint/status"
    );
}

#[test]
fn a_name_is_one_segment_whatever_it_holds() {
    let odd = ObjectName::new("shop?x", "a/b?c#d é");
    assert_eq!(
        PODS.object_path(&odd, None),
        "/api/v1/namespaces/shop%3Fx/pods/a%2Fb%3Fc%23d%20%C3%A9"
    );
}
