use super::super::tests::said;
use super::*;

const SHOP: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
---
";

fn service(name: &str, port: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec: {{clusterIP: 10.0.0.1, selector: {{app: web}}, ports: [{{{port}}}]}}\n---\n"
    )
}

#[test]
fn one_port_with_two_protocols_is_told_of_the_deployment() {
    let with = |protocol: &str| {
        let both = service("a", "name: dns, port: 53")
            + &service("b", &format!("name: dns, port: 53, protocol: {protocol}"));
        said(
            &format!("{SHOP}{both}"),
            Code::DeploymentAssociatedToMultipleServices,
        )
    };
    let found = with("UDP");
    assert_eq!(found[0].0, "Deployment shop/web");
    assert!(
        found[0].1.contains("Services a, b") && found[0].1.contains("port 53 is TCP and UDP"),
        "{found:?}"
    );
    assert_eq!(with("TCP"), []);
}

#[test]
fn one_target_port_by_two_ports_is_told_of_the_deployment() {
    let with = |port: u16| {
        let both = service("a", "name: http, port: 80, targetPort: 8080")
            + &service("b", &format!("name: http, port: {port}, targetPort: 8080"));
        said(&format!("{SHOP}{both}"), Code::DeploymentConflictingPorts)
    };
    let found = with(81);
    assert_eq!(found[0].0, "Deployment shop/web");
    assert!(
        found[0].1.contains("their port 8080 by the ports 80 and 81"),
        "{found:?}"
    );
    assert_eq!(with(80), []);
}

#[test]
fn deployments_outside_of_the_mesh_and_waypoints_are_nobodys_business() {
    let both = service("a", "name: http, port: 80, targetPort: 8080")
        + &service("b", "name: http, port: 81, targetPort: 8080");
    for shop in [
        SHOP.replace("istio.io/dataplane-mode: ambient", "a: b"),
        SHOP.replace(
            "metadata: {name: web, namespace: shop}",
            "metadata: {name: web, namespace: shop, labels: {gateway.istio.io/managed: istio.io-mesh-controller}}",
        ),
        SHOP.replace("labels: {app: web}}, spec", "labels: {app: web, istio.io/dataplane-mode: none}}, spec"),
    ] {
        assert_eq!(said(&format!("{shop}{both}"), Code::DeploymentConflictingPorts), []);
    }
}

#[test]
fn ports_of_external_names_say_what_they_carry() {
    let with = |port: &str| {
        let service = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: out, namespace: shop}}\n\
             spec: {{type: ExternalName, externalName: example.com, ports: [{{port: 443, {port}}}]}}\n"
        );
        said(&service, Code::ExternalNameServiceTypeInvalidPortName)
    };
    for bad in ["name: web", "name: tcp", "protocol: TCP"] {
        let found = with(bad);
        assert_eq!(found[0].0, "Service shop/out", "{bad}");
        assert!(
            found[0].1.contains("spec.ports[0].name") && found[0].1.contains("http-443"),
            "{found:?}"
        );
    }
    for good in [
        "name: https",
        "name: tcp-web",
        "name: web, appProtocol: kubernetes.io/h2c",
        "name: web, protocol: UDP",
    ] {
        assert_eq!(with(good), [], "{good}");
    }
    let inside = service("a", "name: web, port: 80");
    assert_eq!(
        said(
            &format!("{SHOP}{inside}"),
            Code::ExternalNameServiceTypeInvalidPortName
        ),
        []
    );
}
