//! Waypoints and gateways: who is sent what they serve, and that files decide it.

use mesh_xds::TypeUrl;

use crate::fixture::{Plane, Proxy};

const MESH: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio.io/use-waypoint: waypoint}}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: waypoint, namespace: shop}, spec: {gatewayClassName: lateen-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: shop}, spec: {gatewayClassName: lateen, listeners: [{name: web, port: 80, protocol: HTTP}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}}
";

fn route(parent: &str, rule: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: web, namespace: shop}}, \
         spec: {{parentRefs: [{parent}], rules: [{{name: {rule}, backendRefs: [{{name: web, port: 80}}]}}]}}}}"
    )
}

const TO_SERVICE: &str = "{group: '', kind: Service, name: web}";

async fn plane() -> Plane {
    let mut plane = Plane::new();
    plane.write("mesh.yaml", MESH);
    plane.write("route.yaml", &route(TO_SERVICE, "first"));
    plane.start().await;
    plane
}

fn rule(proxy: &Proxy) -> Option<String> {
    let route = proxy.route("HTTPRoute/shop/web")?;
    let text = format!("{:?}", route.rules);
    ["first", "second"]
        .into_iter()
        .find(|name| text.contains(name))
        .map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_decides_what_a_waypoint_serves() {
    let plane = plane().await;
    let waypoint = Proxy::of_gateway(&plane, "waypoint", "shop/waypoint");
    let edge = Proxy::of_gateway(&plane, "edge", "shop/edge");
    waypoint
        .until("the route", |p| (rule(p)? == "first").then_some(()))
        .await;
    assert_eq!(waypoint.names(TypeUrl::BIND), ["shop/waypoint/mesh"]);
    edge.until("its bind", |p| {
        (p.names(TypeUrl::BIND) == ["shop/edge/web"]).then_some(())
    })
    .await;
    assert!(edge.route("HTTPRoute/shop/web").is_none(), "another gateway's");

    plane.write("route.yaml", &route(TO_SERVICE, "second"));
    waypoint
        .until("the change", |p| (rule(p)? == "second").then_some(()))
        .await;
    // What does not parse leaves what was there.
    plane.write("route.yaml", "spec: [");
    plane.until_says("/status", 200, "HTTPRoute").await;
    assert_eq!(rule(&waypoint).as_deref(), Some("second"));
    // Attached elsewhere, it goes from the one and comes to the other.
    plane.write("route.yaml", &route("{name: edge}", "first"));
    edge.until("the route", |p| (rule(p)? == "first").then_some(()))
        .await;
    waypoint
        .until("its end", |p| {
            p.route("HTTPRoute/shop/web").is_none().then_some(())
        })
        .await;
    plane.until_says("/status", 200, "\"attachedRoutes\": 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_follows_a_gateway_in_another_ones_name() {
    let plane = plane().await;
    let waypoint = Proxy::of_gateway(&plane, "waypoint", "shop/waypoint");
    let stranger = Proxy::of_gateway(&plane, "waypoint", "shop/web");
    let of_none = Proxy::of_gateway(&plane, "nobody", "shop/nobody");
    waypoint.until("the route", rule).await;
    let refused = |p: &Proxy, why: &str| {
        let error = p.handle.status().last_error.unwrap_or_default();
        error.contains(why).then_some(())
    };
    stranger
        .until("the refusal", |p| {
            refused(p, "whose proxies run as service account waypoint")
        })
        .await;
    of_none
        .until("the refusal", |p| refused(p, "there is no such Gateway"))
        .await;
    for proxy in [&stranger, &of_none] {
        assert!(proxy.names(TypeUrl::BIND).is_empty() && proxy.names(TypeUrl::ADDRESS).is_empty());
    }
}

fn gateway(account: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: late, namespace: shop, annotations: \
         {{gateway.istio.io/service-account: {account}}}}}, spec: {{gatewayClassName: lateen, \
         listeners: [{{name: web, port: 81, protocol: HTTP}}]}}}}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_gateway_runs_as_somebody_else() {
    let plane = plane().await;
    plane.write("late.yaml", &gateway("first"));
    let served = |p: &Proxy| (p.names(TypeUrl::BIND) == ["shop/late/web"]).then_some(());
    let first = Proxy::of_gateway(&plane, "late", "shop/first");
    let bystander = Proxy::of_gateway(&plane, "waypoint", "shop/waypoint");
    first.until("its bind", served).await;
    bystander.until("the route", rule).await;

    plane.write("late.yaml", &gateway("second"));
    let refused = |p: &Proxy, why: &str| {
        let error = p.handle.status().last_error.unwrap_or_default();
        error.contains(why).then_some(())
    };
    first
        .until("the end", |p| {
            refused(p, "whose proxies run as service account second")
        })
        .await;
    let second = Proxy::of_gateway(&plane, "late", "shop/second");
    second.until("its bind", served).await;

    plane.remove("late.yaml");
    second
        .until("the end", |p| refused(p, "there is no such Gateway"))
        .await;
    // Others' streams go on: none of theirs was opened anew.
    assert_eq!(bystander.handle.status().last_error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn waypoints_are_shown_as_an_api_server_would_with_how_they_stand() {
    let plane = plane().await;
    let (status, page) = plane.get("/debug/waypoints").await;
    assert_eq!(status, 200, "{page}");
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    // The other Gateway is no waypoint.
    assert_eq!(page.as_array().map(Vec::len), Some(1), "{page}");
    let waypoint = &page[0];
    assert_eq!(
        waypoint["metadata"],
        serde_json::json!({"namespace": "shop", "name": "waypoint", "labels": {}})
    );
    assert_eq!(waypoint["spec"]["gatewayClassName"], "lateen-waypoint");
    let conditions = waypoint["status"]["conditions"].as_array().unwrap();
    let programmed = conditions.iter().find(|c| c["type"] == "Programmed").unwrap();
    assert_eq!(programmed["status"], "False");
    assert_eq!(programmed["reason"], "AddressNotAssigned");
}
