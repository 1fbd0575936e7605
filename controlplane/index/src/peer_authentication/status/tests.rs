use controlplane_k8s_api::Kind;

use crate::fixture::Mesh;

fn peer(namespace: &str, name: &str, metadata: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: {name}, namespace: {namespace}, {metadata}}}, spec: {{{spec}}}}}\n---\n"
    )
}

/// `<status> <reason>: <message>` of each PeerAuthentication, by name.
fn said(mesh: &Mesh) -> Vec<(String, String)> {
    let statuses = mesh.index.statuses().into_iter();
    let statuses = statuses.filter(|s| s.object.kind == Kind::PeerAuthentication);
    let say = |s: crate::ObjectStatus| {
        let [condition] = s.conditions.as_slice() else {
            panic!("{s:?}");
        };
        let said = format!(
            "{}={} {}: {}",
            condition.kind, condition.holds, condition.reason, condition.message
        );
        (s.object.name.to_string(), said)
    };
    statuses.map(say).collect()
}

fn one(spec: &str) -> String {
    let mesh = Mesh::of(&peer("shop", "p", "", spec));
    said(&mesh).remove(0).1
}

#[test]
fn it_is_said_what_node_proxies_do() {
    assert_eq!(
        one("mtls: {mode: STRICT}"),
        "ZtunnelAccepted=true Accepted: node proxies require mutual TLS: each workload that it is for names the policy that all such \
         workloads share"
    );
    assert_eq!(
        one("mtls: {mode: PERMISSIVE}"),
        "ZtunnelAccepted=true Accepted: node proxies take mutual TLS and plaintext: there is nothing to send for it"
    );
    assert_eq!(
        one(
            "selector: {matchLabels: {a: b}}, mtls: {mode: STRICT}, portLevelMtls: {80: {mode: PERMISSIVE}, 81: {mode: STRICT}, 82: {mode: UNSET}}"
        ),
        "ZtunnelAccepted=true Accepted: node proxies require mutual TLS; plaintext too on ports 80"
    );
    assert_eq!(
        one("selector: {matchLabels: {a: b}}, portLevelMtls: {80: {mode: STRICT}}"),
        "ZtunnelAccepted=true Accepted: node proxies take mutual TLS and plaintext; no plaintext on ports 80"
    );
}

#[test]
fn what_cannot_be_forbidden_is_told() {
    assert_eq!(
        one("selector: {matchLabels: {a: b}}, mtls: {mode: DISABLE}, portLevelMtls: {80: {mode: DISABLE}}"),
        "ZtunnelAccepted=false UnsupportedValue: spec.mtls.mode, spec.portLevelMtls[80].mode: \
         DISABLE is taken as PERMISSIVE: mutual TLS is taken from whoever offers it"
    );
}

#[test]
fn an_unset_mode_is_what_it_is_around_and_follows_it() {
    let mut mesh = Mesh::of(&peer("shop", "p", "", ""));
    assert!(
        said(&mesh)[0].1.contains("plaintext: there is nothing"),
        "{:?}",
        said(&mesh)
    );
    mesh.set(&peer("istio-system", "mesh", "", "mtls: {mode: STRICT}"));
    let of_shop = said(&mesh).into_iter().find(|(name, _)| name == "p");
    assert_eq!(
        of_shop.map(|(_, said)| said).as_deref(),
        Some(
            "ZtunnelAccepted=true Accepted: node proxies require mutual TLS: each workload that it is for names the policy that all \
             such workloads share"
        )
    );
}

#[test]
fn the_younger_of_two_hears_which_counts_until_that_is_gone() {
    let old = "creationTimestamp: 2026-01-01T00:00:00Z";
    let new = "creationTimestamp: 2026-01-02T00:00:00Z";
    for scope in ["", "selector: {matchLabels: {a: b}}, "] {
        let spec = format!("{scope}mtls: {{mode: STRICT}}");
        let objects = peer("shop", "new", new, &spec) + &peer("shop", "old", old, &spec);
        let mut mesh = Mesh::of(&objects);
        let conflicted =
            "ZtunnelAccepted=false Conflicted: PeerAuthentication shop/old is older and counts instead";
        assert_eq!(
            said(&mesh)[0],
            ("new".to_owned(), conflicted.to_owned()),
            "{scope}"
        );
        assert!(said(&mesh)[1].1.contains("=true Accepted"), "{scope}");
        mesh.remove(Kind::PeerAuthentication, "shop/old");
        assert!(said(&mesh)[0].1.contains("=true Accepted"), "{scope}");
    }
    // Others of the namespace are meant for others.
    let objects = peer(
        "shop",
        "new",
        new,
        "selector: {matchLabels: {a: c}}, mtls: {mode: STRICT}",
    ) + &peer("shop", "old", old, "mtls: {mode: PERMISSIVE}");
    assert!(
        said(&Mesh::of(&objects))
            .iter()
            .all(|(_, said)| said.contains("=true"))
    );
}

#[test]
fn a_selector_of_the_root_namespace_selects_nobody() {
    let mesh = Mesh::of(&peer("istio-system", "p", "", "selector: {matchLabels: {a: b}}"));
    let said = said(&mesh).remove(0).1;
    assert!(
        said.starts_with("ZtunnelAccepted=false UnsupportedValue: spec.selector: is without effect"),
        "{said}"
    );
}

#[test]
fn a_status_is_of_the_generation_that_it_was_made_of() {
    let mesh = Mesh::of(&peer("shop", "p", "generation: 7", ""));
    let statuses = mesh.index.statuses();
    let status = statuses
        .iter()
        .find(|s| s.object.kind == Kind::PeerAuthentication);
    assert_eq!(status.and_then(|s| s.observed_generation), Some(7));
}
