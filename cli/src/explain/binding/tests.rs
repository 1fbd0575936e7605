use serde_json::json;

use super::*;
use crate::files::Source;
use crate::validate::validate;

fn labelled(text: &str) -> Vec<Labelled> {
    let found = validate(&[Source {
        name: "all.yaml".into(),
        text: text.into(),
    }]);
    let objects = found.objects.iter();
    objects
        .filter_map(|(_, object)| Labelled::of(&object.value))
        .collect()
}

fn through(part: &Value) -> Connection {
    let mut page = json!({
        "client": "Kubernetes//Pod/shop/web-1", "identity": "spiffe://cluster.local/ns/shop/sa/web", "to": "10.0.0.1:80",
        "goes": "tunnel", "address": "10.1.0.9:15008", "workload": "Kubernetes//Pod/shop/gate-7f-x2", "waypoint": true,
        "authority": "10.0.0.1:80", "behind": {"goes": "tunnel", "workload": "Kubernetes//Pod/shop/cart-1"},
    });
    for (key, value) in part.as_object().expect("fields") {
        page[key] = value.clone();
    }
    Connection::read(&page).expect("the page")
}

/// The proxies run as an account of another name, and the namespace is bound to another waypoint.
const SHOP: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: gate-7f-x2, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: gate}}
spec: {serviceAccountName: other, nodeName: n, containers: [{name: c}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop, labels: {istio.io/use-waypoint: gate}}
spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: cart-1, namespace: shop, labels: {app: cart}}
spec: {nodeName: n, containers: [{name: c}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/use-waypoint: wide, istio.io/use-waypoint-namespace: infra}}
";

#[test]
fn the_gateway_is_that_of_the_proxy_and_the_services_own_label_comes_before_its_namespaces() {
    let service = json!({"service": "shop/cart.shop.svc.cluster.local"});
    let binding = Binding::among(&labelled(SHOP), &through(&service));
    assert_eq!(binding.gateway(), Some("shop/gate"));
    assert_eq!(
        binding.by(),
        Some("Service shop/cart has the label istio.io/use-waypoint=gate")
    );
}

#[test]
fn a_pod_without_a_label_is_bound_by_its_namespace() {
    let binding = Binding::among(&labelled(SHOP), &through(&json!({})));
    assert_eq!(
        binding.by(),
        Some(
            "Namespace shop has the label istio.io/use-waypoint=wide and istio.io/use-waypoint-namespace=infra"
        )
    );
    let bare = SHOP.replace(", labels: {app: cart}", ", labels: {istio.io/use-waypoint: gate}");
    let binding = Binding::among(&labelled(&bare), &through(&json!({})));
    assert_eq!(
        binding.by(),
        Some("Pod shop/cart-1 has the label istio.io/use-waypoint=gate")
    );
}

#[test]
fn a_host_of_a_service_entry_is_bound_by_that_entry() {
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
                 metadata: {name: api, namespace: shop, labels: {istio.io/use-waypoint: gate}}\n\
                 spec: {hosts: [api.example.com], resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}\n";
    let binding = Binding::among(
        &labelled(entry),
        &through(&json!({"service": "shop/api.example.com"})),
    );
    assert_eq!(
        binding.by(),
        Some("ServiceEntry shop/api has the label istio.io/use-waypoint=gate")
    );
}

#[test]
fn without_objects_the_service_of_the_waypoint_names_it() {
    let found = through(&json!({"gateway": "shop/gate.shop.svc.cluster.local"}));
    let binding = Binding::among(&[], &found);
    assert_eq!((binding.gateway(), binding.by()), (Some("shop/gate"), None));
    assert_eq!(Binding::among(&[], &through(&json!({}))).waypoint(), "waypoint");
    let direct = through(&json!({"waypoint": false}));
    assert_eq!(Binding::among(&labelled(SHOP), &direct), Binding::default());
}
