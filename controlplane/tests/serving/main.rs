//! The control plane as its clients see it: real ports, real TLS, real files; proxies and agents are the real clients.

#![expect(clippy::unwrap_used, reason = "whatever fails here fails its test")]

mod bad_input;
mod debug;
mod fixture;
mod gateways;

use std::time::Duration;

use fixture::{AGENT, Agent, Plane, Proxy, ZTUNNEL, pod};
use mesh_certs::{FetchCertificate, FetchError};
use mesh_register::{Membership, ReportError, Withdrawal};
use mesh_types::Identity;

const CART: &str = "spiffe://cluster.local/ns/shop/sa/cart";
const POLICY: &str = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
    metadata: {name: only-web, namespace: shop}\n\
    spec:\n  selector: {matchLabels: {app: cart}}\n  action: ALLOW\n  rules:\n  - from:\n    - source:\n        principals: [PRINCIPAL]\n";

fn shop(plane: &Plane) {
    plane.write(
        "nodes.yaml",
        "apiVersion: v1\nkind: Node\nmetadata: {name: node-a}\n",
    );
    plane.write(
        "namespace.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n",
    );
    plane.write("cart.yaml", &pod("cart", "node-a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_workload_appears_and_goes() {
    let mut plane = Plane::new();
    shop(&plane);
    plane.start().await;
    let proxy = Proxy::connect(&plane, "node-a");
    let mut agent = Agent::connect(&plane, "node-a");

    let assignment = agent.assigned("shop/cart").await;
    assert_eq!(assignment.membership, Membership::Member);
    assert_eq!(assignment.service_account.as_str(), "cart");
    assert!(proxy.workload("shop/cart").is_none(), "it has no address yet");

    agent.report("shop/cart", "uid-1", "10.0.0.1").await.unwrap();
    // The acknowledgement means that it is on its way to every proxy.
    let workload = proxy.until("the workload", |p| p.workload("shop/cart")).await;
    assert_eq!(workload.addresses, [vec![10, 0, 0, 1]]);
    assert_eq!(workload.node, "node-a");
    assert_eq!(workload.service_account, "cart");
    assert_eq!(
        workload.tunnel_protocol(),
        mesh_proto::istio::workload::TunnelProtocol::Hbone
    );

    let withdrawal = Withdrawal {
        workload: "shop/cart".parse().unwrap(),
        uid: "uid-1".to_owned(),
    };
    agent.handle.withdraw(withdrawal).await.unwrap();
    proxy
        .until("the workload's end", |p| {
            p.workload("shop/cart").is_none().then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_assigned_cannot_be_reported() {
    let mut plane = Plane::new();
    shop(&plane);
    plane.start().await;
    let mut agent = Agent::connect(&plane, "node-b");
    agent.snapshot().await;
    let refused = agent.report("shop/cart", "uid-1", "10.0.0.1").await;
    assert_eq!(refused, Err(ReportError::NotAssigned));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_changes_the_policy_and_a_broken_one_does_not() {
    let mut plane = Plane::new();
    shop(&plane);
    plane.write(
        "policy.yaml",
        &POLICY.replace("PRINCIPAL", "cluster.local/ns/shop/sa/web"),
    );
    plane.start().await;
    let proxy = Proxy::connect(&plane, "node-a");
    let first = proxy.until("the policy", |p| p.policy("shop/only-web")).await;

    plane.write(
        "policy.yaml",
        &POLICY.replace("PRINCIPAL", "cluster.local/ns/shop/sa/admin"),
    );
    let second = proxy
        .until("the change", |p| {
            p.policy("shop/only-web").filter(|policy| *policy != first)
        })
        .await;

    // Misspelt: the rule would match everybody.
    let broken = POLICY.replace("principals: [PRINCIPAL]", "principal: [a]");
    plane.write("policy.yaml", &broken);
    plane.until_says("/debug/config", 200, "policy.yaml:10:").await;
    assert_eq!(proxy.policy("shop/only-web"), Some(second.clone()));

    plane.stop().await;
    plane.start().await;
    plane.until_says("/debug/config", 200, "last-good").await;
    let restarted = Proxy::connect(&plane, "node-a");
    let held = restarted.until("the policy", |p| p.policy("shop/only-web")).await;
    assert_eq!(held, second);

    plane.remove("policy.yaml");
    restarted
        .until("the policy's end", |p| {
            p.policy("shop/only-web").is_none().then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_configuration_it_serves_nothing_and_says_why() {
    let mut plane = Plane::new();
    shop(&plane);
    plane.write("policy.yaml", "kind: AuthorizationPolicy\nmetadata: {name: [}\n");
    plane.start_unready().await;
    plane.until_says("/readyz", 503, "policy.yaml:2:").await;
    let proxy = Proxy::connect(&plane, "node-a");
    proxy
        .until("the refusal", |p| {
            let error = p.handle.status().last_error?;
            error.contains("not loaded everything").then_some(())
        })
        .await;

    plane.write(
        "policy.yaml",
        &POLICY.replace("PRINCIPAL", "cluster.local/ns/shop/sa/web"),
    );
    proxy.until("the policy", |p| p.policy("shop/only-web")).await;
    plane.until_says("/readyz", 200, "ready").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_outlive_a_restart() {
    let mut plane = Plane::new();
    shop(&plane);
    plane.start().await;
    {
        let mut agent = Agent::connect(&plane, "node-a");
        agent.assigned("shop/cart").await;
        agent.report("shop/cart", "uid-1", "10.0.0.1").await.unwrap();
    }
    plane.stop().await;
    plane.start().await;
    let proxy = Proxy::connect(&plane, "node-a");
    let workload = proxy.until("the workload", |p| p.workload("shop/cart")).await;
    assert_eq!(
        workload.status(),
        mesh_proto::istio::workload::WorkloadStatus::Healthy
    );

    // Its manifest is deleted while nobody looks.
    plane.stop().await;
    plane.remove("cart.yaml");
    plane.start().await;
    let proxy = Proxy::connect(&plane, "node-a");
    proxy
        .until("readiness", |p| (*p.handle.ready().borrow()).then_some(()))
        .await;
    assert!(proxy.workload("shop/cart").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn given_addresses_outlive_a_restart_and_the_status_shows_them() {
    let mut plane = Plane::new();
    plane.write(
        "ext.yaml",
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\n\
         metadata: {name: ext, namespace: shop, labels: {istio.io/use-waypoint: wp}}\n\
         spec: {hosts: [www.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}\n",
    );
    plane.start().await;
    plane.until_says("/status", 200, "WaypointIsNotReady").await;
    let (_, status) = plane.get("/status").await;
    assert!(status.contains("240.240."), "{status}");
    plane.stop().await;
    // As if the host had had to give way to another one, which is gone.
    let kept = std::fs::read_to_string(plane.state_file("addresses.json")).unwrap();
    assert!(kept.contains("shop/www.example.com"), "{kept}");
    let other = r#"[{"host":"shop/www.example.com","addresses":["240.240.7.7"]}]"#;
    std::fs::write(plane.state_file("addresses.json"), other).unwrap();
    plane.start().await;
    plane.until_says("/status", 200, "240.240.7.7").await;
    plane.stop().await;
    // What cannot be read costs nothing but that.
    std::fs::write(plane.state_file("addresses.json"), "[").unwrap();
    plane.start().await;
    plane.until_says("/status", 200, "240.240.").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_makes_its_workloads_unhealthy() {
    let mut plane = Plane::with_lease(Duration::from_secs(1));
    shop(&plane);
    plane.start().await;
    let proxy = Proxy::connect(&plane, "node-a");
    {
        let mut agent = Agent::connect(&plane, "node-a");
        agent.assigned("shop/cart").await;
        agent.report("shop/cart", "uid-1", "10.0.0.1").await.unwrap();
    }
    let unhealthy = mesh_proto::istio::workload::WorkloadStatus::Unhealthy;
    proxy
        .until("the end of the lease", |p| {
            p.workload("shop/cart").filter(|w| w.status() == unhealthy)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_for_what_runs_on_the_node() {
    let mut plane = Plane::new();
    shop(&plane);
    plane.start().await;
    let cart = CART.parse().unwrap();
    let token = plane.token(ZTUNNEL, "node-a");
    let certificate = plane.ca(token).fetch(&cart).await.unwrap();
    assert_eq!(*certificate.identity(), cart);

    let elsewhere = plane.ca(plane.token(ZTUNNEL, "node-b"));
    assert!(matches!(
        elsewhere.fetch(&cart).await,
        Err(FetchError::Refused(_))
    ));
    let unknown = "spiffe://cluster.local/ns/shop/sa/nobody".parse().unwrap();
    let here = plane.ca(plane.token(ZTUNNEL, "node-a"));
    assert!(matches!(here.fetch(&unknown).await, Err(FetchError::Refused(_))));
    let agent = plane.ca(plane.token(AGENT, "node-a"));
    assert!(matches!(agent.fetch(&cart).await, Err(FetchError::Refused(_))));

    let (_, metrics) = plane.get("/metrics").await;
    assert!(
        metrics.contains("citadel_server_success_cert_issuance_count 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("lateen_ca_refused_total{reason=\"forbidden\"} 3"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_renews_itself_and_nothing_else() {
    let mut plane = Plane::new();
    shop(&plane);
    plane.start().await;
    let cart: Identity = CART.parse().unwrap();
    let (key, csr) = mesh_tls::csr::encode(&cart).unwrap();
    let by_token = plane.channel(&plane.token(ZTUNNEL, "node-a"));
    let chain = fixture::sign(by_token, csr, Some(&cart)).await.unwrap();

    let by_certificate = plane.channel_with_certificate(&chain[0], &key);
    let (_, again) = mesh_tls::csr::encode(&cart).unwrap();
    assert!(fixture::sign(by_certificate.clone(), again, None).await.is_ok());
    let ztunnel = "spiffe://cluster.local/ns/istio-system/sa/ztunnel"
        .parse()
        .unwrap();
    let (_, other) = mesh_tls::csr::encode(&ztunnel).unwrap();
    let refused = fixture::sign(by_certificate, other, Some(&ztunnel))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);

    // A certificate that the root did not sign is refused in the handshake.
    let stranger = rcgen::generate_simple_self_signed(vec!["cart".to_owned()]).unwrap();
    let pem = stranger.signing_key.serialize_pem();
    let stranger_key = mesh_tls::PrivateKey::from_pem(&pem).unwrap();
    let by_stranger = plane.channel_with_certificate(&stranger.cert.pem(), &stranger_key);
    let (_, csr) = mesh_tls::csr::encode(&cart).unwrap();
    // How the client hears of it depends on what it was sending just then.
    assert!(fixture::sign(by_stranger, csr, None).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_opens_nothing() {
    let mut plane = Plane::new();
    shop(&plane);
    plane.start().await;
    let expired = plane.expired_token(ZTUNNEL, "node-a");
    let cart = CART.parse().unwrap();
    let refused = plane.ca(expired.clone()).fetch(&cart).await;
    assert!(matches!(refused, Err(FetchError::Unavailable(_))), "{refused:?}");
    let proxy = Proxy::with_token(&plane, "node-a", &expired);
    proxy
        .until("the refusal", |p| {
            let error = p.handle.status().last_error?;
            error.contains("not authenticated").then_some(())
        })
        .await;
    // The wrong account registers nothing, either.
    let agent = Agent::with_token(&plane, &plane.token(ZTUNNEL, "node-a"));
    agent
        .until("the refusal", |a| {
            let error = a.handle.status().last_error?;
            error.contains("may not").then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_do_not_share_a_state_directory() {
    let mut plane = Plane::new();
    plane.start().await;
    let error = plane.second().await.unwrap_err();
    assert!(
        format!("{error:#}").contains("another control plane is using it"),
        "{error:#}"
    );
}
