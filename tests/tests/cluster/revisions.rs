//! Control planes of two revisions beside each other: each does what names it, and neither undoes what the other does.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Test;
use crate::command_line::asked;
use crate::mesh::{AMBIENT, LIMIT, Mesh, SYSTEM, is_ready};
use crate::outages::DUTIES;
use crate::scope::knows;
use crate::waypoint::{GATEWAY_NAME, holds};

/// Behind what looks at rights: the second control plane is of another release, whose rights nobody counts there.
pub(crate) const LAST: &[Test] = &[Test {
    name: "what_names_another_revision_waits_for_its_control_plane_and_two_of_them_do_not_fight",
    run: canary,
}];

fn canary(mesh: &mut Mesh) -> Result<()> {
    mesh.with_gateway_api()?;
    // The label of a namespace moves nothing: who runs there is known all the same, and is in the mesh.
    mesh.namespace(NAMESPACE, &format!("{AMBIENT}, istio.io/rev: canary"))?;
    let client = mesh.server(NAMESPACE, "client", 0, "")?;
    let server = mesh.server(NAMESPACE, "web", 1, "")?;
    mesh.wait_tunnel(&client, &server)?;
    ensure!(knows(mesh, NAMESPACE)?, "proxies know who runs there");
    mesh.kubectl.apply(OBJECTS)?;
    is_carried_out(mesh, "plain")?;
    is_left_alone(mesh)?;

    let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts");
    let chart = charts.join("controlplane").display().to_string();
    let before_it = told(mesh, "shared")?;
    let install = [
        "install",
        RELEASE,
        &chart,
        "-n",
        SYSTEM,
        "--wait",
        "--timeout",
        "180s",
    ];
    let values = [
        "--set",
        "global.revision=canary,name=istiod-canary,replicaCount=1",
    ];
    mesh.lateen.helm(&[&install[..], &values].concat())?;
    let checked = beside_each_other(mesh).and_then(|()| {
        let after = told(mesh, "shared")?;
        ensure!(
            before_it == after,
            "{before_it} became {after}: who serves the nodes says who has it"
        );
        Ok(())
    });
    let deleted = mesh.kubectl.run(&["delete", "gateway", "bird", "-n", NAMESPACE]);
    let gone = deleted.and_then(|_| mesh.wait_pods(NAMESPACE, BIRDS, 0, |_| true));
    mesh.lateen
        .helm(&["uninstall", RELEASE, "-n", SYSTEM, "--wait"])?;
    checked?;
    gone.context("whoever made them takes them away")?;
    nothing_of_it_is_left(mesh)?;
    ensure!(mesh.reaches(&client, &server, "as ever"), "the mesh goes on");
    mesh.forget(NAMESPACE)
}

fn beside_each_other(mesh: &Mesh) -> Result<()> {
    is_carried_out(mesh, "bird")?;
    let deployment = mesh
        .kubectl
        .get(&["deployment", "bird", "-n", NAMESPACE, "--show-managed-fields"])?;
    let managers = deployment["metadata"]["managedFields"]
        .as_array()
        .context("managers")?;
    ensure!(
        managers.iter().any(|m| m["manager"] == "lateen-gateways-canary")
            && managers.iter().all(|m| m["manager"] != "lateen-gateways"),
        "{managers:?}"
    );
    mesh.eventually("the policy that names it is told of", || {
        Ok(has_conditions(&policy(mesh, "bird")?))
    })?;
    for duty in DUTIES {
        let holder = |name: &str| -> Result<String> {
            let lease = ["lease", name, "-n", SYSTEM];
            let held = |lease: &Value| lease["spec"]["holderIdentity"].as_str().map(str::to_owned);
            mesh.kubectl.wait("a holder", &lease, LIMIT, held)
        };
        let (ours, theirs) = (holder(duty)?, holder(&format!("{duty}-canary"))?);
        ensure!(
            theirs.starts_with("istiod-canary-") && !ours.starts_with("istiod-canary-"),
            "{duty}: {ours} and {theirs}"
        );
    }
    for name in ["istio", "istio-canary"] {
        mesh.kubectl.run(&["get", "configmap", name, "-n", SYSTEM])?;
    }
    // What is counted is counted.
    told(mesh, "bird")?;
    nobody_fights(mesh)
}

/// While each of them writes something new, which it does having looked at everything, nothing else is written again.
fn nobody_fights(mesh: &Mesh) -> Result<()> {
    let before = versions(mesh)?;
    for round in 0..3 {
        mesh.kubectl.apply(&LATE.replace("ROUND", &round.to_string()))?;
        for name in ["plain", "bird"] {
            mesh.eventually(&format!("the revision of {name} says something new"), || {
                Ok(has_conditions(&policy(mesh, &format!("{name}-{round}"))?))
            })?;
        }
    }
    let after = versions(mesh)?;
    ensure!(before == after, "written again: {before:#?} became {after:#?}");
    Ok(())
}

/// What both see, and what is one's, as it was written last.
fn versions(mesh: &Mesh) -> Result<Vec<Value>> {
    let objects = [
        "service/orphan",
        "authorizationpolicy/shared",
        "authorizationpolicy/bird",
        "gateway/plain",
        "gateway/bird",
        "configmap/istio-ca-root-cert",
    ];
    let version = |object: &&str| {
        let object = mesh.kubectl.get(&[object, "-n", NAMESPACE])?;
        Ok(json!([
            object["metadata"]["name"],
            object["metadata"]["resourceVersion"],
            object["status"],
        ]))
    };
    objects.iter().map(version).collect()
}

/// A Gateway of this control plane's revision is programmed, and its proxies run.
fn is_carried_out(mesh: &Mesh, name: &str) -> Result<()> {
    let gateway = ["gateway", name, "-n", NAMESPACE];
    let what = format!("Gateway {name} is programmed");
    mesh.kubectl.wait(&what, &gateway, LIMIT, |gateway| {
        holds(&gateway["status"], "Programmed").then_some(())
    })?;
    mesh.wait_pods(NAMESPACE, &format!("{GATEWAY_NAME}={name}"), 1, is_ready)
}

/// What names another revision: nothing is made of it, nothing said of it, and no proxy has it.
fn is_left_alone(mesh: &Mesh) -> Result<()> {
    // What was written at the same time and names nobody is carried out already, or is waited for.
    mesh.eventually("the policy that names nobody is told of", || {
        Ok(has_conditions(&policy(mesh, "shared")?))
    })?;
    ensure!(
        !has_conditions(&policy(mesh, "bird")?),
        "{}",
        policy(mesh, "bird")?
    );
    let (policies, _) = asked(mesh, &["node", "policies", "-n", NAMESPACE])?;
    let policies = policies.as_array().context("policies")?;
    let has = |name: &str| policies.iter().any(|policy| policy["name"] == name);
    ensure!(has("shared") && !has("bird"), "{policies:?}");
    let gateway = mesh.kubectl.get(&["gateway", "bird", "-n", NAMESPACE])?;
    ensure!(
        !holds(&gateway["status"], "Accepted") && !holds(&gateway["status"], "Programmed"),
        "{gateway}"
    );
    let deployments = mesh.kubectl.get(&["deployments", "-n", NAMESPACE])?;
    let deployments = deployments["items"].as_array().context("Deployments")?;
    ensure!(deployments.len() == 1, "{deployments:?}");
    Ok(())
}

fn nothing_of_it_is_left(mesh: &Mesh) -> Result<()> {
    mesh.wait_pods(SYSTEM, "app=istiod,istio.io/rev=canary", 0, |_| true)?;
    let kinds = "clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,services,configmaps";
    let release = format!("app.kubernetes.io/instance={RELEASE}");
    let left = mesh.kubectl.get(&[kinds, "-A", "-l", &release])?;
    ensure!(left["items"].as_array().is_some_and(Vec::is_empty), "{left}");
    // The first one's is all there.
    mesh.kubectl.run(&["get", "configmap", "istio", "-n", SYSTEM])?;
    is_carried_out(mesh, "plain")
}

fn policy(mesh: &Mesh, name: &str) -> Result<Value> {
    mesh.kubectl.get(&["authorizationpolicy", name, "-n", NAMESPACE])
}

/// To how many proxies a policy was delivered.
fn told(mesh: &Mesh, name: &str) -> Result<Value> {
    let what = format!("policy {name} is delivered");
    let object = ["authorizationpolicy", name, "-n", NAMESPACE];
    mesh.kubectl.wait(&what, &object, LIMIT, |policy| {
        let conditions = policy["status"]["conditions"].as_array()?;
        let told = conditions.iter().find(|c| c["type"] == "lateen.dev/Delivered")?;
        (told["status"] == "True").then(|| told["message"].clone())
    })
}

fn has_conditions(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| !all.is_empty())
}

const NAMESPACE: &str = "aviary";
const RELEASE: &str = "istiod-canary";
const BIRDS: &str = "gateway.networking.k8s.io/gateway-name=bird";
/// Of nobody's revision, and of the other.
const OBJECTS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: plain, namespace: aviary}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: bird, namespace: aviary, labels: {istio.io/rev: canary}}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: shared, namespace: aviary}
spec: {action: DENY, rules: [{from: [{source: {principals: [cluster.local/ns/nobody/sa/nobody]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: bird, namespace: aviary, labels: {istio.io/rev: canary}}
spec: {action: DENY, rules: [{from: [{source: {principals: [cluster.local/ns/nobody/sa/nobody]}}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: orphan, namespace: aviary, labels: {istio.io/use-waypoint: nobody}}
spec: {selector: {app: web}, ports: [{port: 9000}]}
";
const LATE: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: plain-ROUND, namespace: aviary, labels: {istio.io/rev: default}}
spec: {action: DENY, rules: [{from: [{source: {principals: [cluster.local/ns/nobody/sa/nobody]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: bird-ROUND, namespace: aviary, labels: {istio.io/rev: canary}}
spec: {action: DENY, rules: [{from: [{source: {principals: [cluster.local/ns/nobody/sa/nobody]}}]}]}
";
