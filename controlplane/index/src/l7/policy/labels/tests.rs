use controlplane_k8s_api::Kind;

use crate::l7::policy::fixture::{Sent, object};

fn pod(name: &str, app: &str, labels: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: shop, labels: {{app: {app}, {labels}}}}}, spec: {{nodeName: n}}, status: {{podIP: 10.0.0.1, podIPs: [{{ip: 10.0.0.1}}]}}}}\n---\n"
    )
}

fn service(app: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {app}, namespace: shop}}, spec: {{clusterIP: 10.96.0.9, selector: {{app: {app}}}, ports: [{{port: 80}}]}}}}\n---\n"
    )
}

fn rule(spec: &str) -> String {
    object(
        "networking.istio.io/v1",
        "DestinationRule",
        "shop/d",
        &format!("{{host: web, {spec}}}"),
    )
}

fn labels(sent: &Sent) -> Vec<String> {
    let told = |(name, scoped): (&String, &crate::l7::Scoped<mesh_model::l7::EndpointLabels>)| {
        let labels = scoped
            .value
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let labels: Vec<String> = labels.collect();
        let gateways: Vec<String> = scoped.gateways.iter().map(ToString::to_string).collect();
        format!("{name}: {} for {}", labels.join(","), gateways.join(","))
    };
    sent.labels.iter().map(told).collect()
}

const SUBSETS: &str =
    "subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2, zone: z}}]";

#[test]
fn only_labels_that_subsets_name_of_endpoints_that_they_divide() {
    let pods = pod("a", "web", "version: v1, zone: z, secret: s")
        + &pod("b", "web", "zone: y")
        + &pod("c", "api", "version: v1");
    let mut sent = Sent::of(&(service("web") + &service("api") + &pods + &rule(SUBSETS)));
    assert_eq!(
        labels(&sent),
        [
            "Kubernetes//Pod/shop/a: version=v1,zone=z for shop/wp",
            "Kubernetes//Pod/shop/b: zone=y for shop/wp"
        ]
    );
    // Another label, another service's endpoint: nobody is told.
    sent.set(&pod("a", "web", "version: v1, zone: z, secret: t"));
    sent.set(&pod("c", "api", "version: v2"));
    assert_eq!(sent.told_labels.len(), 0);
    sent.set(&pod("a", "web", "version: v2, zone: z"));
    assert_eq!(sent.told_labels.len(), 1);
    // Without subsets no label counts.
    sent.set(&rule("trafficPolicy: {}"));
    assert_eq!(labels(&sent), Vec::<String>::new());
    sent.set(&rule(
        "trafficPolicy: {loadBalancer: {localityLbSetting: {failoverPriority: ['zone=q', version]}}}",
    ));
    assert_eq!(sent.labels.len(), 2, "preferences name labels too");
    sent.remove(Kind::DestinationRule, "shop/d");
    assert_eq!(labels(&sent), Vec::<String>::new());
}

#[test]
fn entries_have_labels_too() {
    let entry = "{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: pay, namespace: bank}, spec: {hosts: [pay.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: STATIC, endpoints: [{address: 192.0.2.1, labels: {version: v1}}, {address: 192.0.2.1, ports: {tls: 1443}, labels: {version: v2}}]}}\n---\n";
    let rule = object(
        "networking.istio.io/v1",
        "DestinationRule",
        "bank/d",
        "{host: pay.example.com, subsets: [{name: v1, labels: {version: v1}}]}",
    );
    let sent = Sent::of(&(entry.to_owned() + &rule));
    let uid = "Kubernetes/networking.istio.io/ServiceEntry/bank/pay/192.0.2.1";
    assert_eq!(
        labels(&sent),
        [
            format!("{uid}: version=v1 for bank/wp"),
            format!("{uid}/1: version=v2 for bank/wp")
        ]
    );
}
