use controlplane_k8s_api::Kind;
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::tls::{BackendTls, TlsOrigination, Trust};

use crate::l7::policy::fixture::{Sent, object};

fn policy(name: &str, validation: &str) -> String {
    let spec = format!(
        "{{targetRefs: [{{group: '', kind: Service, name: web}}], validation: {{hostname: web.example.com, {validation}}}}}"
    );
    object("gateway.networking.k8s.io/v1", "BackendTLSPolicy", name, &spec)
}

fn config_map(name: &str, pem: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: shop}}, data: {{ca.crt: '{pem}'}}}}\n---\n"
    )
}

fn tls<'s>(sent: &'s Sent, name: &str) -> &'s BackendTls {
    match sent.kind(&format!("BackendTLSPolicy/{name}/backend-tls")) {
        PolicyKind::BackendTls(tls) => tls,
        other => panic!("{other:?}"),
    }
}

const PEM: &str = "-----BEGIN CERTIFICATE-----";

#[test]
fn authorities_are_the_systems_or_those_of_config_maps() {
    let sent = Sent::of(&policy(
        "shop/p",
        "wellKnownCACertificates: System, subjectAltNames: [{type: Hostname, hostname: a.example.com}, {type: URI, uri: 'spiffe://x/y'}]",
    ));
    assert_eq!(
        *tls(&sent, "shop/p"),
        BackendTls::On(TlsOrigination {
            server_name: Some("web.example.com".into()),
            trust: Trust::System,
            subject_alt_names: vec!["a.example.com".into(), "spiffe://x/y".into()],
            ..TlsOrigination::default()
        })
    );
    assert_eq!(
        sent.status(Kind::BackendTlsPolicy, "shop/p"),
        [
            "Service web: Accepted=true Accepted",
            "Service web: ResolvedRefs=true ResolvedRefs"
        ]
    );
    let sent = Sent::of(
        &(config_map("a", PEM)
            + &policy(
                "shop/p",
                "caCertificateRefs: [{group: '', kind: ConfigMap, name: a}]",
            )),
    );
    assert!(
        matches!(tls(&sent, "shop/p"), BackendTls::On(on) if on.trust == Trust::Authorities(format!("{PEM}\n").into()))
    );
}

/// Nothing is sent where nobody can be trusted as the policy says.
#[test]
fn without_a_bundle_nothing_is_sent() {
    for (reference, reason) in [
        (
            "{group: '', kind: ConfigMap, name: none}",
            "InvalidCACertificateRef",
        ),
        (
            "{group: '', kind: ConfigMap, name: empty}",
            "InvalidCACertificateRef",
        ),
        ("{group: '', kind: Secret, name: a}", "InvalidKind"),
    ] {
        let sent = Sent::of(
            &(config_map("empty", "x") + &policy("shop/p", &format!("caCertificateRefs: [{reference}]"))),
        );
        assert!(matches!(tls(&sent, "shop/p"), BackendTls::Invalid(_)));
        assert_eq!(
            sent.status(Kind::BackendTlsPolicy, "shop/p"),
            [
                "Service web: Accepted=false NoValidCACertificate".to_owned(),
                format!("Service web: ResolvedRefs=false {reason}")
            ]
        );
        let told = sent.conditions(Kind::BackendTlsPolicy, "shop/p");
        assert!(
            told[0].starts_with("spec.validation.caCertificateRefs[0]: "),
            "{told:?}"
        );
    }
    // Of several one is enough.
    let refs = "caCertificateRefs: [{group: '', kind: ConfigMap, name: none}, {group: '', kind: ConfigMap, name: a}]";
    let sent = Sent::of(&(config_map("a", PEM) + &policy("shop/p", refs)));
    assert!(matches!(tls(&sent, "shop/p"), BackendTls::On(_)));
    assert_eq!(
        sent.status(Kind::BackendTlsPolicy, "shop/p"),
        [
            "Service web: Accepted=true PartiallyInvalid",
            "Service web: ResolvedRefs=false InvalidCACertificateRef"
        ]
    );
}

#[test]
fn the_oldest_has_the_target() {
    let aged = |name: &str, time: &str| {
        policy(name, "wellKnownCACertificates: System").replace(
            "namespace: shop",
            &format!("namespace: shop, creationTimestamp: '{time}'"),
        )
    };
    let mut sent =
        Sent::of(&(aged("shop/a", "2026-02-01T00:00:00Z") + &aged("shop/b", "2026-01-01T00:00:00Z")));
    assert_eq!(sent.keys(), ["BackendTLSPolicy/shop/b/backend-tls"]);
    assert_eq!(
        sent.status(Kind::BackendTlsPolicy, "shop/a")[0],
        "Service web: Accepted=false Conflicted"
    );
    sent.remove(Kind::BackendTlsPolicy, "shop/b");
    assert_eq!(sent.keys(), ["BackendTLSPolicy/shop/a/backend-tls"]);
}
