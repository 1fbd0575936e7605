use controlplane_k8s_api::Kind;
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::tls::BackendTls;
use mesh_model::l7::traffic::{Balancer, TrafficRules};

use crate::l7::policy::fixture::{Sent, object};

fn rule(name: &str, host: &str, spec: &str) -> String {
    let spec = format!("{{host: '{host}', {spec}}}");
    object("networking.istio.io/v1", "DestinationRule", name, &spec)
}

fn traffic<'s>(sent: &'s Sent, name: &str) -> &'s TrafficRules {
    match sent.kind(&format!("DestinationRule/{name}/traffic")) {
        PolicyKind::Traffic(rules) => rules,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_host_is_written_out_or_short_or_a_wildcard() {
    for (host, expected) in [
        ("web", vec!["service shop/web.shop.svc.cluster.local"]),
        (
            "WEB.shop.svc.cluster.local.",
            vec!["service shop/web.shop.svc.cluster.local"],
        ),
        (
            "*.shop.svc.cluster.local",
            vec![
                "service shop/api.shop.svc.cluster.local",
                "service shop/web.shop.svc.cluster.local",
            ],
        ),
    ] {
        let sent = Sent::of(&rule("shop/d", host, ""));
        assert_eq!(sent.targets("DestinationRule/shop/d/traffic"), expected, "{host}");
        assert_eq!(sent.gateways("DestinationRule/shop/d/traffic"), ["shop/wp"]);
        assert_eq!(
            sent.status(Kind::DestinationRule, "shop/d"),
            ["WaypointAccepted=true Accepted"]
        );
    }
    let sent = Sent::of(&rule("bank/d", "pay.example.com", ""));
    assert_eq!(
        sent.targets("DestinationRule/bank/d/traffic"),
        ["service bank/pay.example.com"]
    );
    let sent = Sent::of(&(rule("shop/none", "none", "") + &rule("lone/alone", "alone", "")));
    assert_eq!(sent.keys(), Vec::<&str>::new());
    assert_eq!(
        sent.status(Kind::DestinationRule, "shop/none"),
        ["WaypointAccepted=false TargetNotFound"]
    );
    assert_eq!(
        sent.status(Kind::DestinationRule, "lone/alone"),
        ["WaypointAccepted=false AncestorNotBound"]
    );
}

/// In the gateway's own namespace, in the service's, in the root namespace; nowhere else.
#[test]
fn a_rule_counts_from_three_namespaces() {
    let host = "ledger.bank.svc.cluster.local";
    let sent = Sent::of(
        &(rule("shop/d", host, "") + &rule("bank/d", "ledger", "") + &rule("istio-system/d", host, "")),
    );
    assert_eq!(
        sent.keys(),
        [
            "DestinationRule/bank/d/traffic",
            "DestinationRule/istio-system/d/traffic"
        ]
    );
    // A waypoint whose routes lead to the service is a client of it.
    let route = object(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        "shop/r",
        "{parentRefs: [{group: '', kind: Service, name: web}], rules: [{backendRefs: [{name: ledger, namespace: bank, port: 80}]}]}",
    );
    let sent = Sent::of(&(route + &rule("shop/d", host, "") + &rule("bank/d", "ledger", "")));
    assert_eq!(sent.gateways("DestinationRule/shop/d/traffic"), ["shop/wp"]);
    assert_eq!(
        sent.gateways("DestinationRule/bank/d/traffic"),
        ["bank/wp", "shop/wp"]
    );
}

#[test]
fn export_to_hides_a_rule_from_other_namespaces_gateways() {
    let route = object(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        "shop/r",
        "{parentRefs: [{group: '', kind: Service, name: web}], rules: [{backendRefs: [{name: ledger, namespace: bank, port: 80}]}]}",
    );
    for (export_to, gateways) in [
        ("['.']", vec!["bank/wp"]),
        ("[bank]", vec!["bank/wp"]),
        ("['*']", vec!["bank/wp", "shop/wp"]),
        ("['.', shop]", vec!["bank/wp", "shop/wp"]),
    ] {
        let sent = Sent::of(&(route.clone() + &rule("bank/d", "ledger", &format!("exportTo: {export_to}"))));
        assert_eq!(
            sent.gateways("DestinationRule/bank/d/traffic"),
            gateways,
            "{export_to}"
        );
    }
}

#[test]
fn the_most_specific_host_of_a_namespace_counts() {
    let sent = Sent::of(
        &(rule("shop/wide", "*.shop.svc.cluster.local", "")
            + &rule("shop/web", "web", "")
            + &rule("istio-system/all", "*.local", "")),
    );
    assert_eq!(
        sent.targets("DestinationRule/shop/wide/traffic"),
        ["service shop/api.shop.svc.cluster.local"]
    );
    assert_eq!(
        sent.targets("DestinationRule/shop/web/traffic"),
        ["service shop/web.shop.svc.cluster.local"]
    );
    assert_eq!(sent.targets("DestinationRule/istio-system/all/traffic").len(), 3);
    let mut sent = sent;
    sent.remove(Kind::DestinationRule, "shop/web");
    assert_eq!(sent.targets("DestinationRule/shop/wide/traffic").len(), 2);
}

#[test]
fn rules_with_one_host_are_one() {
    let subset =
        |name: &str, version: &str| format!("subsets: [{{name: {name}, labels: {{version: {version}}}}}]");
    let mut sent = Sent::of(
        &(rule("shop/a", "web", &subset("v1", "'1'"))
            + &rule(
                "shop/b",
                "web.shop.svc.cluster.local",
                &(subset("v2", "'2'") + ", trafficPolicy: {loadBalancer: {simple: RANDOM}}"),
            )
            + &rule("shop/c", "web", &subset("v1", "other"))),
    );
    assert_eq!(sent.keys(), ["DestinationRule/shop/a/traffic"]);
    let rules = traffic(&sent, "shop/a");
    let subsets: Vec<_> = rules
        .subsets
        .iter()
        .map(|s| (s.name.as_str(), s.labels[0].1.as_str()))
        .collect();
    assert_eq!(subsets, [("v1", "1"), ("v2", "2")]);
    assert_eq!(rules.settings.balancer, Some(Balancer::Random));
    for name in ["shop/b", "shop/c"] {
        assert_eq!(
            sent.status(Kind::DestinationRule, name),
            ["WaypointAccepted=false Conflicted"]
        );
    }
    sent.remove(Kind::DestinationRule, "shop/a");
    assert_eq!(sent.keys(), ["DestinationRule/shop/b/traffic"]);
    assert_eq!(traffic(&sent, "shop/b").subsets.len(), 2);
}

#[test]
fn the_mesh_fills_in_what_a_rule_leaves_out() {
    let mesh = |timeout: &str| {
        format!(
            "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh, namespace: istio-system}}, spec: {{connectTimeout: {timeout}, defaultTrafficPolicy: {{outlierDetection: {{consecutive5xxErrors: 7}}}}}}}}\n---\n"
        )
    };
    let mut sent = Sent::of(
        &(mesh("3s")
            + &rule(
                "shop/d",
                "web",
                "trafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}, portLevelSettings: [{port: {number: 90}, connectionPool: {tcp: {connectTimeout: 1s}}}]}",
            )),
    );
    let rules = traffic(&sent, "shop/d");
    let limits = rules.settings.limits.as_ref().unwrap();
    assert_eq!(
        (limits.max_connections, limits.connect_timeout.unwrap().as_secs()),
        (Some(5), 3)
    );
    assert_eq!(rules.settings.outliers.as_ref().unwrap().consecutive_5xx, 7);
    assert_eq!(
        rules.ports[&90]
            .limits
            .as_ref()
            .unwrap()
            .connect_timeout
            .unwrap()
            .as_secs(),
        1
    );
    sent.set(&mesh("4s"));
    assert_eq!(sent.told.len(), 2, "the mesh's own, and the rule's");
}

/// One rule, two gateways in two namespaces: each shows the certificate that is a Secret of its own namespace.
#[test]
fn a_secret_is_looked_for_in_each_gateways_namespace() {
    let route = object(
        "gateway.networking.k8s.io/v1",
        "HTTPRoute",
        "shop/r",
        "{parentRefs: [{group: '', kind: Service, name: web}], rules: [{backendRefs: [{name: ledger, namespace: bank, port: 80}]}]}",
    );
    let secret = |namespace: &str| {
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: mine, namespace: {namespace}}}, stringData: {{tls.crt: of-{namespace}, tls.key: k}}}}\n---\n"
        )
    };
    let mutual = "trafficPolicy: {tls: {mode: MUTUAL, credentialName: mine}}";
    let shown = |sent: &Sent| -> Vec<(Vec<String>, String)> {
        let keys = sent
            .keys()
            .into_iter()
            .filter(|key| key.starts_with("DestinationRule/bank/d/traffic"));
        let shown = keys.map(|key| {
            let PolicyKind::Traffic(rules) = sent.kind(key) else {
                panic!("{key}")
            };
            let what = match rules.settings.tls.as_ref().expect("TLS") {
                BackendTls::On(on) => {
                    let chain = &on.certificate.as_ref().expect("a certificate").chain;
                    String::from_utf8_lossy(chain).into_owned()
                }
                _ => "nothing".to_owned(),
            };
            (sent.gateways(key), what)
        });
        let mut shown: Vec<_> = shown.collect();
        shown.sort();
        shown
    };
    let of = |gateway: &str, what: &str| (vec![gateway.to_owned()], what.to_owned());
    let mut sent = Sent::of(&(route + &rule("bank/d", "ledger", mutual) + &secret("bank") + &secret("shop")));
    assert_eq!(shown(&sent), [of("bank/wp", "of-bank"), of("shop/wp", "of-shop")]);
    sent.remove(Kind::Secret, "shop/mine");
    assert_eq!(shown(&sent), [of("bank/wp", "of-bank"), of("shop/wp", "nothing")]);
}
