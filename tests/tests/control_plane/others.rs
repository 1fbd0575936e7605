//! What a Gateway becomes beside others who write into the same cluster.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::bench::{Bench, Plane, WAYPOINT, holds, says};

/// Needs the classes, the Gateway `waypoint` and a ready pod of it.
pub(super) fn nobody_is_fought(bench: &Bench, plane: &Plane) -> Result<()> {
    a_field_of_somebody_elses(bench, plane)?;
    objects_of_somebody_elses(bench, plane)?;
    a_load_balancer(bench, plane)
}

fn get(bench: &Bench, kind: &str, name: &str) -> Option<Value> {
    let whole = [kind, name, "-n", "shop", "--show-managed-fields"];
    bench.api.kubectl().get(&whole).ok()
}

/// A field that another manager set stays his, while the rest follows the Gateway.
fn a_field_of_somebody_elses(bench: &Bench, plane: &Plane) -> Result<()> {
    let kubectl = bench.api.kubectl();
    let image = r#"{"spec": {"template": {"spec": {"containers": [{"name": "istio-proxy", "image": "example.org/other:1"}]}}}}"#;
    let deployment = [
        "patch",
        "deployment",
        "waypoint",
        "-n",
        "shop",
        "--field-manager=other",
        "-p",
        image,
    ];
    kubectl.run(&deployment)?;
    let labels = r#"{"spec": {"infrastructure": {"labels": {"team": "edge"}}}}"#;
    kubectl.run(&[
        "patch",
        "gateway",
        "waypoint",
        "-n",
        "shop",
        "--type=merge",
        "-p",
        labels,
    ])?;
    let deployment = bench.until(plane, "the rest follows the Gateway", || {
        get(bench, "deployment", "waypoint").filter(|d| d["metadata"]["labels"]["team"] == "edge")
    })?;
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    ensure!(container["image"] == "example.org/other:1", "{container}");
    // Nobody answers it afterwards: versions stay as they are.
    let version = || get(bench, "deployment", "waypoint").map(|d| d["metadata"]["resourceVersion"].clone());
    let before = version();
    thread::sleep(QUIET);
    ensure!(version() == before, "it is written again and again");
    Ok(())
}

/// A Deployment of the same name that no Gateway became, and a Gateway of another class, are never written to.
fn objects_of_somebody_elses(bench: &Bench, plane: &Plane) -> Result<()> {
    let kubectl = bench.api.kubectl();
    kubectl.apply(THEIRS)?;
    let before = [get(bench, "deployment", "ledger"), get(bench, "gateway", "edge")];
    kubectl.apply(&WAYPOINT.replace("name: waypoint", "name: ledger"))?;
    bench.until(plane, "the rest of another Gateway is made", || {
        get(bench, "service", "ledger")
    })?;
    bench.until(plane, "what is missing is told of", || {
        let gateway = get(bench, "gateway", "ledger")?;
        says(&gateway["status"], "Programmed", "False", "Pending").then_some(())
    })?;
    let after = [get(bench, "deployment", "ledger"), get(bench, "gateway", "edge")];
    ensure!(before == after, "{before:?}\n{after:?}");
    for object in after.iter().flatten() {
        let managers = object["metadata"]["managedFields"]
            .as_array()
            .context("managers")?;
        let ours = |entry: &Value| entry["manager"].as_str().is_some_and(|m| m.starts_with("lateen"));
        ensure!(!managers.iter().any(ours), "{managers:?}");
    }
    ensure!(
        get(bench, "service", "edge").is_none(),
        "a Gateway of another class became something"
    );
    Ok(())
}

/// A Gateway that is to be found from outside is programmed once a load balancer says where.
fn a_load_balancer(bench: &Bench, plane: &Plane) -> Result<()> {
    let kubectl = bench.api.kubectl();
    let ask = "networking.istio.io/service-type=LoadBalancer";
    kubectl.run(&["annotate", "gateway", "waypoint", "-n", "shop", ask])?;
    let gateway = bench.until(plane, "an address is waited for", || {
        let gateway = get(bench, "gateway", "waypoint")?;
        says(&gateway["status"], "Programmed", "False", "AddressNotAssigned").then_some(gateway)
    })?;
    ensure!(gateway["status"]["addresses"].is_null(), "{}", gateway["status"]);
    let service = get(bench, "service", "waypoint").context("there is a Service")?;
    ensure!(service["spec"]["type"] == "LoadBalancer", "{service}");
    // As a cloud's controller would.
    let given = r#"{"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}, {"hostname": "edge.example.org"}]}}}"#;
    let patch = [
        "patch",
        "service",
        "waypoint",
        "-n",
        "shop",
        "--subresource=status",
        "--type=merge",
        "-p",
        given,
    ];
    kubectl.run(&patch)?;
    let gateway = bench.until(plane, "it is programmed", || {
        get(bench, "gateway", "waypoint")
            .filter(|gateway| holds(&gateway["status"], "Programmed", "Programmed"))
    })?;
    let addresses = gateway["status"]["addresses"].as_array().context("addresses")?;
    let shown: Vec<_> = addresses.iter().map(|a| (&a["type"], &a["value"])).collect();
    let expected = [("IPAddress", "192.0.2.7"), ("Hostname", "edge.example.org")];
    ensure!(
        shown
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .eq(expected.map(|(k, v)| (Some(k), Some(v)))),
        "{addresses:?}"
    );
    Ok(())
}

const THEIRS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: ledger, namespace: shop, labels: {app: mine}}
spec:
  selector: {matchLabels: {app: mine}}
  template: {metadata: {labels: {app: mine}}, spec: {containers: [{name: main, image: none}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: nginx, listeners: [{name: http, port: 80, protocol: HTTP}]}
";

/// In which whoever answers to every change would have done so.
const QUIET: Duration = Duration::from_secs(5);
