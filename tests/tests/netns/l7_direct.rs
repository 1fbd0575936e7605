//! What a waypoint does not serve it refuses, whoever asks (Istio's own test of this is called TestDirect).

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use lab::Lab;
use mesh_tls::ExpectedPeers;
use mesh_types::ports;

use crate::client::connect;
use crate::harness::{Test, test};
use crate::hbone::{Hbone, certificate_by_token, converse};
use crate::l7_stage::{Stage, service};

pub(crate) const TESTS: &[Test] = &[test(
    "a_waypoint_refuses_what_it_does_not_serve_and_its_own_ports",
    refusals,
)];

fn refusals(lab: &mut Lab) -> Result<()> {
    let stage = Stage::set(lab)?;
    service(lab, "unbound", "10.96.3.50", "app: app", "")?;
    let waypoint = stage.waypoint.replicas[0].address();
    let app = stage.apps[0].pod.v4();
    let known = |dump: &serde_json::Value| {
        let services = dump["services"].as_array().into_iter().flatten();
        services.into_iter().any(|s| s["name"] == "app")
    };
    stage.waypoint.replicas[0].wait_for_config("the service", known)?;
    converse(async {
        let identity = "spiffe://cluster.local/ns/shop/sa/client";
        let certificate = certificate_by_token(lab, 0, identity)
            .await?
            .context("certificate")?;
        let expected = stage.waypoint.identity().parse().context("identity")?;
        let expected = ExpectedPeers::identity_or(&expected, [] as [&str; 0]);
        let stream = connect(stage.client.namespace(), (waypoint, ports::HBONE).into())??;
        let hbone = Hbone::establish(stream, certificate.client_config(&expected)).await?;
        for (target, what) in [
            ("10.96.3.1:81".to_owned(), "a port that the service has not"),
            ("10.96.3.50:80".to_owned(), "a service that is not bound"),
            (
                "10.96.3.2:80".to_owned(),
                "a service of one version, not bound either",
            ),
            ("10.96.3.99:80".to_owned(), "an address that nobody has"),
            (format!("{app}:8080"), "a workload that is not bound"),
            (format!("{waypoint}:{}", ports::ADMIN), "its own pages"),
            (
                format!("127.0.0.1:{}", ports::ADMIN),
                "its own pages, by loopback",
            ),
            (
                "app.shop.svc.cluster.local:80".to_owned(),
                "a host name, with one network",
            ),
        ] {
            let status = hbone.ask(Method::CONNECT, &target).await.context(what)?;
            ensure!(
                status.is_client_error() || status.is_server_error(),
                "{what}: {status}"
            );
        }
        let status = hbone.ask(Method::CONNECT, "10.96.3.1:80").await?;
        ensure!(status == StatusCode::OK, "what it does serve: {status}");
        Ok(())
    })
}
