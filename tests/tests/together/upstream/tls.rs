//! TLS towards endpoints.

use std::io::Write;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;

use super::{ok, raw, read_head_of, rule};
use crate::harness::Together;

/// The usual stage, where port 80 of Service `safe` is TLS of backend `web-v1`, and its authority is in ConfigMap
/// `bundle`; ConfigMap `other` has somebody else's.
fn shop() -> Together {
    let mesh = Together::shop("");
    for (map, backend) in [("bundle", "web-v1"), ("other", "web-v2")] {
        let pem = serde_json::Value::from(mesh.of(backend).certificate.clone());
        mesh.apply(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {map}, namespace: shop}}, data: {{ca.crt: {pem}}}}}"
        ));
    }
    mesh.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: safe, namespace: shop}, spec: {clusterIP: 10.96.1.3, selector: \
         {version: v1}, ports: [{name: http, port: 80, targetPort: 8443}, {name: http-plain, port: 81, targetPort: 8080}]}}",
    );
    mesh
}

fn status(mesh: &Together, to: &str) -> u16 {
    mesh.get("/").to(to).send().status
}

// row: DestinationRule trafficPolicy.tls
#[test]
fn a_rule_says_what_is_spoken_and_whom_to_trust() {
    let mesh = shop();
    let trusting = "credentialName: 'configmap://bundle'";
    for (tls, reached) in [
        (format!("mode: SIMPLE, sni: web-v1.example, {trusting}"), true),
        (format!("mode: SIMPLE, sni: web-v1, {trusting}"), true),
        (format!("mode: SIMPLE, sni: somebody.example, {trusting}"), false),
        // Without a name it is the service's, for which the certificate is not.
        (format!("mode: SIMPLE, {trusting}"), false),
        (
            format!("mode: SIMPLE, subjectAltNames: [web-v1.example], {trusting}"),
            true,
        ),
        (
            format!("mode: SIMPLE, sni: web-v1.example, subjectAltNames: [nobody, web-v1], {trusting}"),
            true,
        ),
        (
            format!("mode: SIMPLE, sni: web-v1.example, subjectAltNames: [nobody], {trusting}"),
            false,
        ),
        (
            "mode: SIMPLE, sni: web-v1.example, credentialName: 'configmap://other'".to_owned(),
            false,
        ),
        (
            "mode: SIMPLE, sni: web-v1.example, credentialName: 'configmap://none'".to_owned(),
            false,
        ),
        ("mode: SIMPLE, sni: web-v1.example".to_owned(), false),
        ("mode: SIMPLE, insecureSkipVerify: true".to_owned(), true),
        ("mode: DISABLE".to_owned(), false),
        ("mode: ISTIO_MUTUAL".to_owned(), false),
    ] {
        mesh.apply(&rule("safe", &format!("tls: {{{tls}}}")));
        let answer = mesh.get("/").to("safe:80").send();
        match reached {
            true => assert_eq!(answer.brief(), (200, "web-v1"), "{tls}"),
            false => assert_eq!(answer.status / 100, 5, "{tls}"),
        }
    }
    // Plain text is never instead of it, and it is nowhere instead of plain text.
    mesh.apply(&rule(
        "safe",
        "portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE, insecureSkipVerify: true}}]",
    ));
    assert_eq!((status(&mesh, "safe:80"), status(&mesh, "safe:81")), (200, 200));
    mesh.apply(&rule("safe", "tls: {mode: SIMPLE, insecureSkipVerify: true}"));
    assert_eq!((status(&mesh, "safe:80"), status(&mesh, "safe:81")), (200, 503));
}

/// An authority, a certificate of its for the server, and one for the client, whose Secret is `name`.
struct Pki {
    server: rustls::ServerConfig,
    secret: String,
}

fn pki(namespace: &str, name: &str) -> Pki {
    let key = || KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = key();
    let authority = params.self_signed(&own).expect("a certificate");
    let issuer = Issuer::from_params(&params, &own);
    let signed = |name: &str| {
        let key = key();
        let params = CertificateParams::new([name.to_owned()]).expect("parameters");
        (params.signed_by(&key, &issuer).expect("a certificate"), key)
    };
    let (server, server_key) = signed("raw.example");
    let (client, client_key) = signed("client.example");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.der().clone()).expect("an authority");
    let provider = mesh_tls::provider(&mesh_tls::TlsSettings::default());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(
            vec![server.der().clone()],
            PrivateKeyDer::try_from(server_key.serialize_der()).expect("a key"),
        )
        .expect("a configuration");
    let text = |pem: String| serde_json::Value::from(pem);
    let secret = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, namespace: {namespace}}}, stringData: {{tls.crt: {}, tls.key: {}, ca.crt: {}}}}}",
        text(client.pem()),
        text(client_key.serialize_pem()),
        text(authority.pem())
    );
    Pki { server, secret }
}

/// A server of TLS behind `raw:80`, which says whether it was shown a certificate.
fn serve_mutual(mesh: &Together, config: rustls::ServerConfig) {
    let config = Arc::new(config);
    raw(mesh, "http", move |mut stream, _| {
        let mut connection = rustls::ServerConnection::new(config.clone()).expect("a connection");
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        while !read_head_of(&mut tls).is_empty() {
            let shown = tls.conn.peer_certificates().is_some();
            drop(tls.write_all(ok(if shown { "shown" } else { "nothing" }).as_bytes()));
        }
    });
}

// row: DestinationRule trafficPolicy.tls.mode
// row: DestinationRule trafficPolicy.tls.credentialName
#[test]
fn a_certificate_is_shown_to_whom_it_is_for() {
    let mesh = Together::start("");
    let good = pki("shop", "client-cert");
    serve_mutual(&mesh, good.server);
    mesh.apply(&good.secret);
    mesh.apply(&pki("shop", "others-cert").secret);
    let says = |tls: &str| {
        mesh.apply(&rule("raw", &format!("tls: {{sni: raw.example, {tls}}}")));
        let answer = mesh.get("/").to("raw:80").send();
        (answer.status, answer.body)
    };
    let shown = (200, "shown".to_owned());
    assert_eq!(says("mode: MUTUAL, credentialName: client-cert"), shown);
    assert_eq!(
        says("mode: MUTUAL, credentialName: client-cert, subjectAltNames: [raw.example]"),
        shown
    );
    for wrong in [
        "mode: MUTUAL, credentialName: client-cert, subjectAltNames: [other.example]",
        "mode: MUTUAL, credentialName: others-cert",
        "mode: MUTUAL, credentialName: no-cert",
        "mode: SIMPLE, credentialName: client-cert",
        "mode: SIMPLE, insecureSkipVerify: true",
    ] {
        assert_eq!(says(wrong).0, 503, "{wrong}");
    }
    // A certificate that is renewed is shown from the next connection on.
    assert_eq!(says("mode: MUTUAL, credentialName: client-cert"), shown);
    mesh.remove("Secret", "client-cert");
    assert_eq!(mesh.get("/").to("raw:80").send().status, 503);
    assert_eq!(
        mesh.reason("DestinationRule", "raw", "WaypointAccepted"),
        "PartiallyInvalid"
    );
    let told = mesh.status("DestinationRule", "raw").to_string();
    assert!(
        told.contains("spec.trafficPolicy.tls.credentialName") && told.contains("client-cert"),
        "{told}"
    );
}

/// As in Istio: a Secret is looked for beside the proxy that uses it, whoever wrote the rule.
#[test]
fn a_secret_is_one_of_the_waypoints_namespace() {
    let mesh = Together::start(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: waypoint, namespace: shop, labels: {istio.io/waypoint-for: all}}, \
         spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {namespaces: {from: All}}}]}}",
    );
    let good = pki("shop", "client-cert");
    serve_mutual(&mesh, good.server);
    mesh.apply(&format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: team, labels: {{istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: shop}}}}}}\n---\n\
         {{apiVersion: v1, kind: Service, metadata: {{name: far, namespace: team}}, spec: {{clusterIP: 10.96.9.9, ports: [{{name: http, port: 80, targetPort: 7001}}]}}}}\n---\n\
         {{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: far, namespace: team, labels: {{kubernetes.io/service-name: far}}}}, \
         addressType: IPv4, endpoints: [{{addresses: [{}]}}], ports: [{{name: http, port: 7001}}]}}",
        mesh.of("raw").ip
    ));
    let asks = |credential: &str| {
        mesh.apply(&format!(
            "{{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {{name: far, namespace: team}}, spec: {{host: far, trafficPolicy: \
             {{tls: {{mode: MUTUAL, sni: raw.example, credentialName: {credential}}}}}}}}}"
        ));
        mesh.get("/").to("far.team.svc.cluster.local:80").send().status
    };
    // Beside the rule nobody looks.
    mesh.apply(&good.secret.replace("namespace: shop", "namespace: team"));
    assert_eq!(asks("client-cert"), 503);
    let told = mesh.status("DestinationRule", "team/far").to_string();
    assert!(
        told.contains("spec.trafficPolicy.tls.credentialName") && told.contains("gateway's namespace"),
        "{told}"
    );
    mesh.apply(&good.secret);
    assert_eq!(asks("client-cert"), 200);
    assert_eq!(asks("kubernetes://client-cert"), 200);
    assert_eq!(asks("kubernetes://shop/client-cert"), 200);
    assert_eq!(asks("kubernetes://team/client-cert"), 503);
}

#[test]
fn authorities_may_be_in_any_namespace() {
    let mesh = shop();
    let pem = serde_json::Value::from(mesh.of("web-v1").certificate.clone());
    mesh.apply(&format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: team}}}}\n---\n\
         {{apiVersion: v1, kind: ConfigMap, metadata: {{name: far, namespace: team}}, data: {{ca.crt: {pem}}}}}"
    ));
    for (name, expected) in [
        ("team/far", 200),
        ("far", 503),
        ("shop/far", 503),
        ("shop/bundle", 200),
    ] {
        mesh.apply(&rule(
            "safe",
            &format!("tls: {{mode: SIMPLE, sni: web-v1.example, credentialName: 'configmap://{name}'}}"),
        ));
        assert_eq!(status(&mesh, "safe:80"), expected, "{name}");
    }
}

// row: DestinationRule trafficPolicy.tls.clientCertificate
#[test]
fn files_are_nothing_that_a_waypoint_can_read_and_nothing_is_sent_instead() {
    let mesh = Together::start("");
    let pki = pki("shop", "client-cert");
    serve_mutual(&mesh, pki.server);
    mesh.apply(&pki.secret);
    for (files, field) in [
        (
            "mode: MUTUAL, clientCertificate: /etc/certs/cert.pem, privateKey: /etc/certs/key.pem, caCertificates: /etc/certs/ca.pem",
            "clientCertificate",
        ),
        (
            "mode: SIMPLE, caCertificates: /etc/certs/ca.pem",
            "caCertificates",
        ),
    ] {
        mesh.apply(&rule("raw", &format!("tls: {{sni: raw.example, {files}}}")));
        assert_eq!(mesh.get("/").to("raw:80").send().status, 503, "{files}");
        let told = mesh.status("DestinationRule", "raw").to_string();
        assert!(
            told.contains(&format!("spec.trafficPolicy.tls.{field}")) && told.contains("credentialName"),
            "{told}"
        );
    }
}

#[test]
fn within_the_mesh_mutual_tls_is_the_tunnel() {
    let mesh = Together::start("");
    mesh.service("api", "app: api");
    mesh.mesh_backend("api-0", "app: api");
    mesh.apply(&rule("api", "tls: {mode: ISTIO_MUTUAL}"));
    assert_eq!(mesh.get("/").to("api:80").send().brief(), (200, "api-0"));
}

fn policy(name: &str, target: &str, validation: &str) -> String {
    format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: {{name: {name}, namespace: shop}}, spec: {{targetRefs: \
         [{{group: '', kind: Service, name: safe{target}}}], validation: {{{validation}}}}}}}"
    )
}

const BUNDLE: &str = "caCertificateRefs: [{group: '', kind: ConfigMap, name: bundle}]";

// row: BackendTLSPolicy validation.hostname
// row: BackendTLSPolicy validation.subjectAltNames
// row: BackendTLSPolicy validation.caCertificateRefs
// row: BackendTLSPolicy validation.wellKnownCACertificates
// row: BackendTLSPolicy targetRefs.sectionName
#[test]
fn a_policy_says_who_must_be_at_the_other_end() {
    let mesh = shop();
    let of = |type_and_name: &str| {
        format!("hostname: web-v1.example, subjectAltNames: [{{{type_and_name}}}], {BUNDLE}")
    };
    for (validation, reached) in [
        (format!("hostname: web-v1.example, {BUNDLE}"), true),
        (format!("hostname: somebody.example, {BUNDLE}"), false),
        (of("type: Hostname, hostname: web-v1"), true),
        (of("type: Hostname, hostname: nobody.example"), false),
        (
            of("type: URI, uri: 'spiffe://cluster.local/ns/shop/sa/web'"),
            false,
        ),
        (
            "hostname: web-v1.example, wellKnownCACertificates: System".to_owned(),
            false,
        ),
        (
            "hostname: web-v1.example, caCertificateRefs: [{group: '', kind: ConfigMap, name: other}]"
                .to_owned(),
            false,
        ),
    ] {
        mesh.apply(&policy("p", ", sectionName: http", &validation));
        let answer = mesh.get("/").to("safe:80").send();
        match reached {
            true => assert_eq!(answer.brief(), (200, "web-v1"), "{validation}"),
            false => assert_eq!(answer.status, 503, "{validation}"),
        }
        assert!(mesh.holds("BackendTLSPolicy", "p", "Accepted"), "{validation}");
        assert_eq!(status(&mesh, "safe:81"), 200, "the other port is as it was");
    }
    mesh.remove("BackendTLSPolicy", "p");
    assert_ne!(status(&mesh, "safe:80"), 200);
}

#[test]
fn without_a_bundle_nothing_is_sent() {
    let mesh = shop();
    for reference in ["kind: ConfigMap, name: none", "kind: Secret, name: bundle"] {
        let validation = format!("hostname: web-v1.example, caCertificateRefs: [{{group: '', {reference}}}]");
        mesh.apply(&policy("p", ", sectionName: http-plain", &validation));
        assert!(!mesh.holds("BackendTLSPolicy", "p", "Accepted"));
        assert!(!mesh.holds("BackendTLSPolicy", "p", "ResolvedRefs"));
        assert_eq!(
            mesh.reason("BackendTLSPolicy", "p", "Accepted"),
            "NoValidCACertificate"
        );
        assert_eq!(status(&mesh, "safe:81") / 100, 5, "{reference}");
        assert_eq!(mesh.of("web-v1").requests(), [], "not even in plain");
    }
}

#[test]
fn the_oldest_of_several_counts_and_a_policy_is_above_a_rule() {
    let mesh = shop();
    let aged = |name: &str, year: u32, host: &str| {
        policy(name, "", &format!("hostname: {host}, {BUNDLE}")).replace(
            "namespace: shop",
            &format!("namespace: shop, creationTimestamp: '{year}-01-01T00:00:00Z'"),
        )
    };
    mesh.apply(&aged("new", 2026, "somebody.example"));
    assert_eq!(status(&mesh, "safe:80"), 503);
    mesh.apply(&aged("old", 2025, "web-v1.example"));
    assert_eq!(status(&mesh, "safe:80"), 200);
    assert_eq!(mesh.reason("BackendTLSPolicy", "new", "Accepted"), "Conflicted");
    mesh.apply(&rule(
        "safe",
        "tls: {mode: SIMPLE, sni: somebody.example, credentialName: 'configmap://bundle'}",
    ));
    assert_eq!(status(&mesh, "safe:80"), 200);
    mesh.remove("BackendTLSPolicy", "old");
    assert_eq!(status(&mesh, "safe:80"), 503);
}
