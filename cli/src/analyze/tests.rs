use super::*;

fn analysis(text: &str) -> Analysis {
    let sources = [Source {
        name: "all.yaml".into(),
        text: text.into(),
    }];
    analyze(&sources, &MeshConfig::default())
}

fn codes(text: &str) -> Vec<(Code, String)> {
    let analysis = analysis(text);
    let messages = analysis.messages().iter();
    messages
        .map(|message| (message.code, message.object.clone()))
        .collect()
}

const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {clusterIP: 10.0.0.1, selector: {app: cart}, ports: [{name: http, port: 80}]}
---
";

#[test]
fn a_shop_that_is_in_order_gives_no_message() {
    assert_eq!(codes(SHOP), []);
    assert!(!analysis(SHOP).reaches(Level::Info));
}

#[test]
fn a_backend_that_is_not_there_is_an_error_at_the_route() {
    let route = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: cart}]
  rules: [{backendRefs: [{name: gone, port: 80}]}]
";
    let found = analysis(&format!("{SHOP}{route}"));
    let message = &found.messages()[0];
    assert_eq!(message.code, Code::ReferencedResourceNotFound);
    assert_eq!(message.object, "HTTPRoute shop/cart");
    assert_eq!(message.place, "all.yaml:10:1");
    assert!(message.text.contains("gone"), "{}", message.text);
    assert!(found.reaches(Level::Error));
    assert!(
        !found
            .without(&[Code::ReferencedResourceNotFound])
            .reaches(Level::Error)
    );
}

#[test]
fn a_waypoint_that_is_not_there_is_an_error_at_whoever_asks_for_it() {
    let service = SHOP.replace(
        "name: cart, namespace: shop",
        "name: cart, namespace: shop, labels: {istio.io/use-waypoint: w}",
    );
    let found = codes(&service);
    assert!(
        found.contains(&(Code::WaypointUnusable, "Service shop/cart".into())),
        "{found:?}"
    );
}

#[test]
fn a_selector_that_selects_nobody_is_a_warning_where_there_are_pods() {
    let pod = "\
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, labels: {app: other}}
spec: {nodeName: n, containers: [{name: c}]}
---
";
    let found = codes(&format!("{SHOP}{pod}"));
    assert_eq!(
        found,
        [(Code::NoMatchingWorkloadsFound, "Service shop/cart".into())]
    );
}

#[test]
fn an_object_that_is_refused_is_an_error() {
    let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: x, namespace: shop}\nspec: {ports: [{port: many}]}\n";
    assert_eq!(
        codes(bad),
        [(Code::SchemaValidationError, "Service shop/x".into())]
    );
}

#[test]
fn codes_are_read_by_number_and_by_name_and_are_all_different() {
    for code in Code::ALL {
        assert_eq!(code.id().to_lowercase().parse(), Ok(code));
        assert_eq!(code.name().parse(), Ok(code));
        assert_eq!(
            Code::ALL.iter().filter(|other| other.id() == code.id()).count(),
            1
        );
    }
    assert_eq!("IST9999".parse::<Code>(), Err(UnknownCode));
}
