use super::*;
use crate::files::Source;
use crate::validate::validate;

fn analysis(text: &str) -> Analysis {
    let sources = [Source {
        name: "all.yaml".into(),
        text: text.into(),
    }];
    analyze(&validate(&sources), &MeshConfig::default())
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

#[test]
fn messages_can_be_asked_for_one_namespace() {
    let mut found = analysis(SHOP);
    found.add(vec![
        (Code::Conflict, "Service shop/cart".into(), "a".into()),
        (Code::HiddenNamespace, "Namespace shop".into(), "b".into()),
        (Code::Conflict, "Service other/cart".into(), "c".into()),
    ]);
    let about = found.about(Some("shop"));
    let texts: Vec<&str> = about
        .messages()
        .iter()
        .map(|message| message.text.as_str())
        .collect();
    assert_eq!(texts, ["b", "a"]);
}

#[test]
fn messages_about_other_namespaces_can_be_left_out() {
    let mut found = analysis(SHOP);
    found.add(vec![
        (Code::Conflict, "Service shop/cart".into(), "a".into()),
        (Code::HiddenNamespace, "Namespace other".into(), "b".into()),
        (Code::Conflict, "Service other/cart".into(), "c".into()),
        (Code::UnsupportedKubernetesVersion, "cluster".into(), "d".into()),
        (
            Code::InvalidWebhook,
            "MutatingWebhookConfiguration w".into(),
            "e".into(),
        ),
    ]);
    let within = found.within(|namespace| namespace == "shop");
    let mut texts: Vec<&str> = within
        .messages()
        .iter()
        .map(|message| message.text.as_str())
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, ["a", "d", "e"]);
}

pub(super) fn said(text: &str, code: Code) -> Vec<(String, String)> {
    let analysis = analysis(text);
    let about = analysis.messages().iter().filter(|message| message.code == code);
    about
        .map(|message| (message.object.clone(), message.text.clone()))
        .collect()
}

#[test]
fn a_selector_for_a_waypoints_pods_has_no_effect() {
    let policy = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: w, namespace: shop}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: shop}
spec: {selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: w}}, rules: [{}]}
";
    let found = said(&format!("{SHOP}{policy}"), Code::IneffectiveSelector);
    assert_eq!(found[0].0, "AuthorizationPolicy shop/a");
    assert!(found[0].1.contains("targetRefs"), "{found:?}");
    let elsewhere = policy.replace("istio-waypoint", "other");
    assert_eq!(said(&format!("{SHOP}{elsewhere}"), Code::IneffectiveSelector), []);
    // A class of somebody's own that our controller serves.
    let class = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: other}\n\
                 spec: {controllerName: istio.io/mesh-controller}\n";
    let own = format!("{SHOP}{elsewhere}{class}");
    assert_eq!(said(&own, Code::IneffectiveSelector).len(), 1);
}

#[test]
fn service_entries_that_disagree_about_a_port_are_told() {
    let entry = |name: &str, protocol: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{hosts: [api.example.com], resolution: DNS, ports: [{{number: 443, name: p, protocol: {protocol}}}]}}\n---\n"
        )
    };
    let both = |other: &str| {
        said(
            &format!("{SHOP}{}{}", entry("a", "HTTP"), entry("b", other)),
            Code::ConflictingServiceEntryProtocol,
        )
    };
    let found = both("TCP");
    assert_eq!(found[0].0, "ServiceEntry shop/b");
    assert!(
        found[0].1.contains("api.example.com:443") && found[0].1.contains("shop/a"),
        "{found:?}"
    );
    assert_eq!(both("HTTP"), []);
}

#[test]
fn principals_of_another_trust_domain_match_nobody() {
    let policy = |principal: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: a, namespace: shop}}\n\
             spec: {{rules: [{{from: [{{source: {{principals: [\"{principal}\"]}}}}]}}]}}\n"
        )
    };
    let of = |principal: &str| said(&format!("{SHOP}{}", policy(principal)), Code::TrustDomainMismatch);
    let found = of("old.example.com/ns/shop/sa/web");
    assert_eq!(found[0].0, "AuthorizationPolicy shop/a");
    assert!(
        found[0].1.contains("old.example.com") && found[0].1.contains("cluster.local"),
        "{found:?}"
    );
    for fine in ["cluster.local/ns/shop/sa/web", "*/ns/shop/sa/web", "*"] {
        assert_eq!(of(fine), [], "{fine}");
    }
    let aliased = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\n\
        data: {mesh: \"trustDomainAliases: [old.example.com]\"}\n---\n";
    assert_eq!(
        said(
            &format!("{SHOP}{aliased}{}", policy("old.example.com/ns/shop/sa/web")),
            Code::TrustDomainMismatch
        ),
        []
    );
}

#[test]
fn a_namespace_that_is_enrolled_and_hidden_is_an_error() {
    let mesh = |team: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\n\
             data: {{mesh: \"discoverySelectors: [{{matchLabels: {{team: {team}}}}}]\"}}\n---\n"
        )
    };
    let found = said(&format!("{SHOP}{}", mesh("a")), Code::HiddenNamespace);
    assert_eq!(found[0].0, "Namespace shop");
    let labelled = SHOP.replace("labels: {", "labels: {team: a, ");
    assert_eq!(
        said(&format!("{labelled}{}", mesh("a")), Code::HiddenNamespace),
        []
    );
}

#[test]
fn a_word_that_a_label_does_not_know_is_told() {
    let found = said(&SHOP.replace("ambient}", "ambiet}"), Code::InvalidAnnotation);
    assert_eq!(found[0].0, "Namespace shop");
    assert!(
        found[0].1.contains("ambiet") && found[0].1.contains("none of ambient, none"),
        "{found:?}"
    );
}

#[test]
fn a_host_without_an_address_takes_whatever_comes_to_its_tcp_port() {
    let entry = |spec: &str| {
        let entry = format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: db, namespace: shop}}\nspec: {{{spec}}}\n"
        );
        said(&entry, Code::ServiceEntryAddressesRequired)
    };
    let tcp = "ports: [{number: 5432, name: db, protocol: TCP}]";
    let found = entry(&format!("hosts: [db.example.com], {tcp}, resolution: NONE"));
    assert_eq!(found[0].0, "ServiceEntry shop/db");
    assert!(
        found[0].1.contains("spec.ports[0]")
            && found[0].1.contains("db.example.com")
            && found[0].1.contains("spec.addresses"),
        "{found:?}"
    );
    for fine in [
        format!("hosts: [db.example.com], {tcp}, resolution: DNS"),
        format!("hosts: [db.example.com], addresses: [10.9.9.9], {tcp}, resolution: NONE"),
        "hosts: [db.example.com], ports: [{number: 443, name: tls, protocol: TLS}], resolution: NONE"
            .to_owned(),
    ] {
        assert_eq!(entry(&fine), [], "{fine}");
    }
}

/// Whoever meets a code looks it up there.
#[test]
fn every_code_is_in_the_page_of_codes() {
    let page = include_str!("../../../docs/analysis.md");
    for code in Code::ALL {
        let row = format!("| {} | {} | {} |", code.id(), code.name(), code.level());
        assert!(
            page.contains(&row),
            "docs/analysis.md has no row that begins with {row:?}"
        );
    }
}

/// Each once, by one code, wherever it stands and whether or not a pod has a node.
#[test]
fn what_steers_the_mesh_and_is_not_known_is_told_once() {
    let metadata = "metadata: {name: a, namespace: shop";
    for (object, text) in [
        (
            format!(
                "apiVersion: v1\nkind: Service\n{metadata}, annotations: {{networking.istio.io/traffic-distribution: near}}}}\n\
                     spec: {{clusterIP: 10.0.0.9, ports: [{{port: 80}}]}}\n"
            ),
            "metadata.annotations[networking.istio.io/traffic-distribution]: \"near\" is none of",
        ),
        (
            format!(
                "apiVersion: v1\nkind: Pod\n{metadata}, labels: {{istio.io/dataplane-mode: sidecar}}}}\nspec: {{containers: [{{name: c}}]}}\n"
            ),
            "metadata.labels[istio.io/dataplane-mode]: \"sidecar\" is none of",
        ),
        (
            format!(
                "apiVersion: v1\nkind: Pod\n{metadata}, annotations: {{ambient.istio.io/bypass-inbound-capture: on}}}}\n\
                     spec: {{nodeName: n, containers: [{{name: c}}]}}\n"
            ),
            "metadata.annotations[ambient.istio.io/bypass-inbound-capture]: \"on\" is neither",
        ),
        (
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n{metadata}, labels: {{istio.io/waypoint-for: pods}}}}\n\
                     spec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]}}\n"
            ),
            "metadata.labels[istio.io/waypoint-for]: \"pods\" is none of",
        ),
    ] {
        let found = said(&object, Code::InvalidAnnotation);
        assert_eq!(found.len(), 1, "{object}{found:?}");
        assert!(found[0].1.starts_with(text), "{found:?}");
    }
}
