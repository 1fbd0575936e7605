//! What a mesh only does when it is asked to (`features` of the chart): with objects of an API server that come, change and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use mesh_xds::{ApplyBatch, Batch, ClientConfig, NodeInfo, Rejected, TypeUrl};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::bench::{Bench, PATIENCE, Plane, WAYPOINT, ZTUNNEL, file_of, says};
use super::roots;

/// `features.allowFromWaypoints`: the policy of a waypoint comes with it, follows its account, and goes with it. It is sent to
/// proxies; nothing is written into the cluster, where a mesh that is not asked for it has none either.
pub(super) fn whom_waypoints_stand_before_lets_them_in_for_as_long_as_they_are_there(
    bench: &mut Bench,
) -> Result<()> {
    let kubectl = bench.api.kubectl();
    kinds(bench)?;
    kubectl.apply(ZTUNNEL)?;
    let plane = bench.plane_with(11, &["--allow-from-waypoints=true"])?;
    let other = bench.plane(12)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let held = Held::default();
    {
        let _on_runtime = runtime.enter();
        let config = ClientConfig {
            node: NodeInfo::ztunnel(None, "ztunnel-1", "istio-system", "node-a"),
            types: vec![TypeUrl::AUTHORIZATION, TypeUrl::ADDRESS],
        };
        let channel = bench.channel(&plane, &bench.token("istio-ca")?)?;
        let (_, driver) = mesh_xds::client(&config, channel, held.clone());
        runtime.spawn(driver);
    }
    // Its name is like no other test's.
    let gateway = WAYPOINT.replace("name: waypoint", "name: guard");
    let lets_in = |account: &str| {
        let body = held.0.lock().get(GUARD).cloned()?;
        let principal = format!("cluster.local/ns/shop/sa/{account}");
        let mut windows = body.windows(principal.len());
        windows.any(|part| part == principal.as_bytes()).then_some(())
    };
    ensure!(!held.0.lock().contains_key(GUARD), "it was there before");
    kubectl.apply(&gateway)?;
    bench.until(&plane, "its policy lets its own account in", || lets_in("guard"))?;
    ensure!(knows_of(bench, &plane, GUARD), "the page does not name it");
    let annotate = ["annotate", "gateway", "guard", "-n", "shop"];
    kubectl.run(&[&annotate[..], &["gateway.istio.io/service-account=warden"]].concat())?;
    bench.until(&plane, "its policy lets the other account in", || {
        lets_in("warden")
    })?;
    ensure!(lets_in("guard").is_none(), "the account before is let in still");
    // Who is not asked makes none, once it knows the Gateway.
    bench.until(&other, "the other one knows the Gateway", || {
        let status = bench.json(&other, "/status")?;
        let objects = status["objects"].as_array()?;
        let is_guard = |object: &Value| object["kind"] == "Gateway" && object["name"] == "guard";
        objects.iter().any(is_guard).then_some(())
    })?;
    ensure!(
        !knows_of(bench, &other, GUARD),
        "it was made without being asked for"
    );
    let written = kubectl.get(&["authorizationpolicies.security.istio.io", "--all-namespaces"])?;
    let names = written["items"].as_array().into_iter().flatten();
    let mut names = names.filter_map(|item| item["metadata"]["name"].as_str());
    ensure!(!names.any(|name| name.starts_with("istio_allow")), "{written}");
    kubectl.run(&["delete", "gateway", "guard", "-n", "shop"])?;
    bench.until(&plane, "its policy is gone with it", || {
        (!held.0.lock().contains_key(GUARD) && !knows_of(bench, &plane, GUARD)).then_some(())
    })
}

/// `features.secrets`: a listener's certificate counts from when its Secret is there until it goes; a mesh without that right
/// says that there is none.
pub(super) fn a_listener_follows_the_secret_of_its_certificate_where_secrets_are_read(
    bench: &mut Bench,
) -> Result<()> {
    let kubectl = bench.api.kubectl();
    kinds(bench)?;
    let mut plane = bench.plane_with(13, &["--read-secrets", "true"])?;
    kubectl.apply(TLS_GATEWAY)?;
    let resolved = |holds: &str, reason: &str| {
        let gateway = kubectl.get(&["gateway", "tls", "-n", "shop"]).ok()?;
        let listeners = gateway["status"]["listeners"].as_array()?.clone();
        let tls = listeners.into_iter().find(|listener| listener["name"] == "tls")?;
        says(&tls, "ResolvedRefs", holds, reason).then_some(())
    };
    bench.until(&plane, "a Secret that is not there is told of", || {
        resolved("False", "InvalidCertificateRef")
    })?;
    let (certificate, key) = roots::authority()?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"name": "edge-cert", "namespace": "shop"},
        "stringData": {"tls.crt": certificate, "tls.key": key},
    })
    .to_string();
    kubectl.apply(&secret)?;
    bench.until(&plane, "the certificate counts", || {
        resolved("True", "ResolvedRefs")
    })?;
    kubectl.run(&["delete", "secret", "edge-cert", "-n", "shop"])?;
    bench.until(&plane, "the certificate is gone", || {
        resolved("False", "InvalidCertificateRef")
    })?;
    kubectl.apply(&secret)?;
    bench.until(&plane, "the certificate is back", || {
        resolved("True", "ResolvedRefs")
    })?;
    plane.process.terminate(PATIENCE)?;
    let plane = bench.plane_with(14, &["--read-secrets", "false"])?;
    bench.until(&plane, "who may not read it says that there is none", || {
        resolved("False", "InvalidCertificateRef")
    })?;
    kubectl.run(&["delete", "gateway/tls", "secret/edge-cert", "-n", "shop"])?;
    Ok(())
}

/// What a proxy was sent of policies, by name.
#[derive(Clone, Default)]
struct Held(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl ApplyBatch for Held {
    fn apply(&mut self, batch: Batch) -> Result<(), Vec<Rejected>> {
        if batch.type_url == TypeUrl::AUTHORIZATION {
            let mut held = self.0.lock();
            let sent = batch.resources.into_iter();
            held.extend(sent.map(|resource| (resource.name.to_string(), resource.body.to_vec())));
            held.retain(|name, _| !batch.removed.contains(name));
        }
        Ok(())
    }
}

/// Whether proxies are told of a policy of this name.
fn knows_of(bench: &Bench, plane: &Plane, policy: &str) -> bool {
    let resources = bench.json(plane, "/debug/resources").unwrap_or_default();
    resources["authorizations"].get(policy).is_some()
}

/// The CRDs of Gateway API, and the mesh's own.
fn kinds(bench: &Bench) -> Result<()> {
    let kubectl = bench.api.kubectl();
    let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/base/files/crds");
    for path in [own.display().to_string(), file_of(bench, &bench.gateway_api)?] {
        let apply = ["apply", "--server-side", "-f", &path];
        kubectl.run(&apply).context("the CRDs")?;
    }
    kubectl.run(&[
        "wait",
        "--for=condition=Established",
        "crd",
        "--all",
        "--timeout=60s",
    ])?;
    Ok(())
}

const GUARD: &str = "shop/istio_allow_waypoint_shop_guard";
const TLS_GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: tls, namespace: shop}
spec:
  gatewayClassName: istio-waypoint
  listeners:
  - {name: mesh, port: 15008, protocol: HBONE}
  - {name: tls, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: edge-cert}]}}
";
