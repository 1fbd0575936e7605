//! What Gateways and routes become, and what is said of them.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::bench::{Bench, Plane, SHOP, WAYPOINT, file_of, holds, says};
use super::others;

pub(super) fn a_gateway_becomes_what_runs_it_and_what_became_of_routes_is_written(
    bench: &mut Bench,
) -> Result<()> {
    let plane = bench.plane_with(6, &["--waypoint-image", "example.org/waypoint:1"])?;
    let kubectl = bench.api.kubectl();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/base/files/crds");
    kubectl.run(&["apply", "--server-side", "-f", &folder.display().to_string()])?;
    kubectl.run(&[
        "apply",
        "--server-side",
        "-f",
        &file_of(bench, &bench.gateway_api)?,
    ])?;
    let get = |kind: &str, name: &str| kubectl.get(&[kind, name, "-n", "shop"]).ok();
    bench.until(&plane, "the classes are there, and accepted", || {
        ["istio-waypoint", "lateen-waypoint"]
            .iter()
            .all(|class| {
                holds(
                    &get("gatewayclass", class).unwrap_or_default()["status"],
                    "Accepted",
                    "Accepted",
                )
            })
            .then_some(())
    })?;
    kubectl.apply(SHOP)?;
    kubectl.apply(WAYPOINT)?;
    bench.until(&plane, "the Gateway waits for its pods", || {
        let gateway = get("gateway", "waypoint")?;
        says(&gateway["status"], "Programmed", "False", "Pending").then_some(())
    })?;
    // As a Deployment's controller and a kubelet would.
    kubectl.apply(WAYPOINT_POD)?;
    let ready = r#"{"status": {"phase": "Running", "podIP": "10.9.0.8", "podIPs": [{"ip": "10.9.0.8"}],
        "conditions": [{"type": "Ready", "status": "True"}]}}"#;
    let arguments = [
        "patch",
        "pod",
        "waypoint-1",
        "-n",
        "shop",
        "--subresource=status",
        "-p",
        ready,
    ];
    kubectl.run(&arguments)?;
    let gateway = bench.until(&plane, "the Gateway is programmed", || {
        get("gateway", "waypoint").filter(|gateway| holds(&gateway["status"], "Programmed", "Programmed"))
    })?;
    let service = get("service", "waypoint").context("there is a Service")?;
    let addresses = &gateway["status"]["addresses"];
    let given = addresses.as_array().context("addresses")?.iter();
    let mut wanted = service["spec"]["clusterIPs"]
        .as_array()
        .context("addresses")?
        .clone();
    wanted.push("waypoint.shop.svc.cluster.local".into());
    ensure!(given.map(|address| &address["value"]).eq(&wanted), "{addresses}");
    let listener = &gateway["status"]["listeners"][0];
    ensure!(
        listener["name"] == "mesh"
            && holds(listener, "Conflicted", "NoConflicts")
            && listener["attachedRoutes"] == 0,
        "{listener}"
    );
    let uid = &gateway["metadata"]["uid"];
    let deployment = get("deployment", "waypoint").context("there is a Deployment")?;
    ensure!(
        deployment["metadata"]["ownerReferences"][0]["uid"] == *uid,
        "{deployment}"
    );
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    ensure!(container["image"] == "example.org/waypoint:1", "{container}");
    ensure!(get("serviceaccount", "waypoint").is_some(), "there is no account");

    settings_by_reference(bench, &plane)?;
    somebody_elses_entries(bench, &plane)?;

    // Made again when it is taken away; a Service that no Gateway became stays what it is.
    kubectl.run(&["delete", "deployment", "waypoint", "-n", "shop"])?;
    bench.until(&plane, "the Deployment is back", || get("deployment", "waypoint"))?;
    kubectl.apply(&WAYPOINT.replace("name: waypoint", "name: cart"))?;
    bench.until(&plane, "the rest of another Gateway is made", || {
        get("deployment", "cart")
    })?;
    let cart = get("service", "cart").context("there is a Service")?;
    ensure!(
        cart["spec"]["ports"].as_array().map(Vec::len) == Some(1),
        "{cart}"
    );
    let gateway = get("gateway", "cart").context("there is a Gateway")?;
    ensure!(
        !holds(&gateway["status"], "Programmed", "Programmed"),
        "{gateway}"
    );
    others::nobody_is_fought(bench, &plane)
}

/// Settings by reference count from when they are there, and not any more when nobody names them.
fn settings_by_reference(bench: &Bench, plane: &Plane) -> Result<()> {
    let kubectl = bench.api.kubectl();
    let get = |kind: &str, name: &str| kubectl.get(&[kind, name, "-n", "shop"]).ok();
    let refer = |reference: &str| {
        let patch = format!(r#"{{"spec": {{"infrastructure": {{"parametersRef": {reference}}}}}}}"#);
        kubectl.run(&[
            "patch",
            "gateway",
            "waypoint",
            "-n",
            "shop",
            "--type=merge",
            "-p",
            &patch,
        ])
    };
    refer(r#"{"group": "", "kind": "ConfigMap", "name": "options"}"#)?;
    let refused = || {
        let gateway = get("gateway", "waypoint")?;
        let conditions = gateway["status"]["conditions"].as_array()?.clone();
        let accepted = conditions.into_iter().find(|c| c["type"] == "Accepted")?;
        (accepted["reason"] == "InvalidParameters").then_some(accepted)
    };
    let accepted = bench.until(plane, "what is not there is said", refused)?;
    let generation = &get("gateway", "waypoint").context("there is a Gateway")?["metadata"]["generation"];
    ensure!(
        accepted["status"] == "False" && accepted["observedGeneration"] == *generation,
        "{accepted}"
    );
    kubectl.apply(OPTIONS)?;
    bench.until(plane, "settings count", || {
        let deployment = get("deployment", "waypoint")?;
        let budget = get("poddisruptionbudget", "waypoint")?;
        (deployment["spec"]["replicas"] == 3 && budget["spec"]["minAvailable"] == 1).then_some(())
    })?;
    refer("null")?;
    bench.until(plane, "settings do not count", || {
        let deployment = get("deployment", "waypoint")?;
        let gone = get("poddisruptionbudget", "waypoint").is_none();
        (gone && deployment["spec"]["replicas"] == 1).then_some(())
    })
}

/// Of a route's parents the Service is ours to speak of; what another controller says stays.
fn somebody_elses_entries(bench: &Bench, plane: &Plane) -> Result<()> {
    let kubectl = bench.api.kubectl();
    let parents = || {
        let route = kubectl.get(&["httproute", "cart", "-n", "shop"]).ok()?;
        Some(route["status"]["parents"].as_array()?.clone())
    };
    kubectl.apply(ROUTE)?;
    let ours = bench.until(plane, "the route's parents are told of", parents)?;
    ensure!(ours.len() == 1, "{ours:?}");
    ensure!(
        ours[0]["controllerName"] == "istio.io/gateway-controller"
            && ours[0]["parentRef"]["kind"] == "Service"
            && holds(&ours[0], "Accepted", "Accepted")
            && holds(&ours[0], "ResolvedRefs", "ResolvedRefs")
            && says(&ours[0], "ResolvedWaypoints", "False", "MissingUseWaypointLabel"),
        "{ours:?}"
    );
    let theirs = r#"{"controllerName": "example.org/gateways", "parentRef": {"name": "edge"}, "conditions": [
        {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}"#;
    let patch = format!(r#"[{{"op": "add", "path": "/status/parents/0", "value": {theirs}}}]"#);
    let arguments = [
        "patch",
        "httproute",
        "cart",
        "-n",
        "shop",
        "--subresource=status",
        "--type=json",
        "-p",
        &patch,
    ];
    kubectl.run(&arguments)?;
    kubectl.apply(&ROUTE.replace("name: cart, port: 80", "name: none, port: 80"))?;
    let parents = bench.until(plane, "a backend that is not there is told of", || {
        parents().filter(|parents| {
            let ours = parents.iter().find(|p| p["parentRef"]["kind"] == "Service");
            ours.is_some_and(|ours| says(ours, "ResolvedRefs", "False", "BackendNotFound"))
        })
    })?;
    ensure!(
        parents.len() == 2 && parents[0]["controllerName"] == "example.org/gateways",
        "{parents:?}"
    );
    kubectl.apply(POLICY)?;
    bench.until(plane, "what became of a policy at its target is told of", || {
        let policy = kubectl.get(&["authorizationpolicy", "cart", "-n", "shop"]).ok()?;
        says(&policy["status"], "WaypointAccepted", "False", "AncestorNotBound").then_some(())
    })
}

const WAYPOINT_POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: waypoint-1, namespace: shop, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}
spec:
  nodeName: node-a
  serviceAccountName: waypoint
  automountServiceAccountToken: false
  containers: [{name: main, image: none}]
";
const OPTIONS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: options, namespace: shop}
data:
  deployment: |
    spec: {replicas: 3}
  podDisruptionBudget: |
    spec: {minAvailable: 1}
";
/// Its second parent is a Gateway of somebody else's class, which is not there.
const ROUTE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: cart, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: cart}, {name: edge}]
  rules: [{backendRefs: [{name: cart, port: 80}]}]
";
const POLICY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: cart, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: cart}]
  rules: [{to: [{operation: {paths: [/a]}}]}]
";
