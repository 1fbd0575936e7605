//! A node that dies and comes back; the mesh that goes, by `lateen uninstall` and by Helm alone.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::host::{PROGRAM, has_tables, plugins};
use crate::mesh::{AMBIENT, LIMIT, Mesh, Pod, SYSTEM, is_ready, printed};
use crate::rights;

pub(crate) const TESTS: &[Test] = &[Test {
    name: "a_node_that_is_killed_and_comes_back_takes_its_pods_into_the_mesh_again",
    run: node_killed,
}];

/// What leaves nothing for others to test.
pub(crate) const BY_LATEEN: &[Test] = &[Test {
    name: "lateen_uninstall_leaves_no_rule_file_or_annotation",
    run: by_lateen,
}];
pub(crate) const BY_HELM: &[Test] = &[Test {
    name: "helm_uninstall_leaves_no_rule_file_or_annotation",
    run: by_helm,
}];

fn node_killed(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("phoenix", AMBIENT)?;
    mesh.strict("phoenix")?;
    let client = mesh.server("phoenix", "client", 0, "")?;
    let server = mesh.server("phoenix", "server", 1, "")?;
    mesh.wait_tunnel(&client, &server)?;
    mesh.cluster.node(1).kill();
    ensure!(
        !mesh.reaches(&client, &server, "is anybody there"),
        "the node is gone"
    );
    mesh.cluster.node(1).start()?;
    mesh.cluster.wait_node_ready(1)?;
    for (selector, pods) in [
        ("k8s-app=istio-cni-node", 2),
        ("app=ztunnel", 2),
        ("app=istiod", 2),
    ] {
        mesh.wait_pods(SYSTEM, selector, pods, is_ready)?;
    }
    // The kubelet makes the pod's sandbox anew: another network, and another address.
    mesh.eventually("the pod is in the mesh again", || {
        let server = mesh.pod("phoenix", "server")?;
        Ok(
            mesh.rules(&server)?.contains("redirect to :15001")
                && mesh.reaches(&client, &server, "I am back"),
        )
    })?;
    let server = mesh.pod("phoenix", "server")?;
    mesh.wait_tunnel(&client, &server)?;
    mesh.forget("phoenix")
}

fn by_lateen(mesh: &mut Mesh) -> Result<()> {
    put_back(mesh)?;
    let pods = enrolled(mesh, "farewell")?;
    let hook = rights::granted(mesh, "hooks")?;
    mesh.lateen.run(&["uninstall"])?;
    nothing_is_left(mesh, &pods)?;
    // What takes everybody out of the mesh has an account of its own, and used all that it may.
    let judgement = rights::judged(mesh, &hook)?;
    ensure!(
        !hook.is_empty() && judgement.unused.is_empty(),
        "never used: {:?}",
        judgement.unused
    );
    // What cannot be made again stays: kinds, objects, the root.
    mesh.kubectl
        .run(&["get", "secret", "istio-ca-secret", "-n", SYSTEM])?;
    mesh.kubectl
        .run(&["get", "crd", "authorizationpolicies.security.istio.io"])?;
    mesh.forget("farewell")
}

/// By Helm from end to end, as somebody does it who has nothing of ours but the charts.
fn by_helm(mesh: &mut Mesh) -> Result<()> {
    mesh.take_release_away()?;
    let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts");
    mesh.install_by_helm(&charts)?;
    mesh.namespace("welcome", AMBIENT)?;
    mesh.strict("welcome")?;
    let client = mesh.server("welcome", "client", 0, "")?;
    let server = mesh.server("welcome", "server", 1, "")?;
    mesh.wait_tunnel(&client, &server)?;
    mesh.lateen
        .helm(&["test", "lateen", "-n", SYSTEM, "--timeout", "180s"])?;
    mesh.forget("welcome")?;
    let pods = enrolled(mesh, "goodbye")?;
    mesh.lateen
        .helm(&["uninstall", "lateen", "-n", SYSTEM, "--wait", "--timeout", "180s"])?;
    nothing_is_left(mesh, &pods)?;
    mesh.forget("goodbye")
}

/// The mesh, whatever the test before left of it.
fn put_back(mesh: &Mesh) -> Result<()> {
    let there = mesh.lateen.helm(&["list", "-n", SYSTEM, "-q"])?;
    match there.contains("lateen") {
        true => mesh.upgrade()?,
        false => mesh.install()?,
    }
    mesh.wait_agents()
}

/// Two pods of the mesh that run, beside one of a Job that has ended.
pub(crate) fn enrolled(mesh: &Mesh, namespace: &str) -> Result<[Pod; 2]> {
    mesh.namespace(namespace, AMBIENT)?;
    mesh.kubectl.apply(&ENDED.replace("NAMESPACE", namespace))?;
    let pods = [
        mesh.server(namespace, "web", 0, "")?,
        mesh.server(namespace, "cart", 1, "")?,
    ];
    // One of them by a label of its own, too: who leaves for good leaves by both.
    let label = ["label", "pod", "web", "-n", namespace, AMBIENT_PAIR];
    mesh.kubectl.run(&label)?;
    for pod in &pods {
        mesh.wait_redirection(pod, Some("enabled"))?;
        ensure!(mesh.rules(pod)?.contains("redirect to :15001"), "{}", pod.name);
    }
    let ended = ["pod", "ended", "-n", namespace];
    mesh.kubectl
        .wait("a pod of the mesh has ended", &ended, LIMIT, |pod| {
            (pod["status"]["phase"] == "Succeeded").then_some(())
        })?;
    Ok(pods)
}

/// A pod that was in the mesh, as Jobs leave them.
const ENDED: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: ended, namespace: NAMESPACE}
spec:
  nodeName: node2
  restartPolicy: Never
  containers:
  - {name: app, image: lab/app:1, imagePullPolicy: Never, args: [--version]}
"#;

const AMBIENT_PAIR: &str = "istio.io/dataplane-mode=ambient";

/// No rule of routing and no table of routes but the kernel's own is in a pod's network.
fn nothing_is_routed(mesh: &Mesh, pod: &Pod) -> Result<()> {
    for family in ["-4", "-6"] {
        let rules = printed(mesh.inside(pod, "ip")?.args([family, "rule", "list"]))?;
        let own = ["lookup local", "lookup main", "lookup default"];
        let foreign: Vec<_> = rules
            .lines()
            .filter(|line| !own.iter().any(|own| line.contains(own)))
            .collect();
        ensure!(foreign.is_empty(), "{}: {foreign:?}", pod.name);
        let routes = printed(
            mesh.inside(pod, "ip")?
                .args([family, "route", "list", "table", "all"]),
        )?;
        let foreign: Vec<_> = routes
            .lines()
            .filter(|line| line.contains(" table ") && !line.contains(" table local "))
            .collect();
        ensure!(foreign.is_empty(), "{}: {foreign:?}", pod.name);
    }
    Ok(())
}

fn nothing_is_left(mesh: &Mesh, pods: &[Pod; 2]) -> Result<()> {
    let namespaces = mesh
        .kubectl
        .get(&["namespaces", "-l", "istio.io/dataplane-mode"])?;
    let labelled = namespaces["items"].as_array().context("namespaces")?;
    ensure!(labelled.is_empty(), "{labelled:?}");
    nothing_is_left_of_the_mesh(mesh, pods)?;
    let all = mesh.kubectl.get(&["pods", "-A"])?;
    let mut marked = all["items"]
        .as_array()
        .context("pods")?
        .iter()
        .filter(|pod| is_marked(pod));
    ensure!(marked.next().is_none(), "{all}");
    Ok(())
}

fn is_marked(pod: &Value) -> bool {
    !pod["metadata"]["annotations"]["ambient.istio.io/redirection"].is_null()
}

/// The same but for what the release's hook alone sees to: labels of namespaces, and annotations of pods that have ended, whom no
/// agent has any more.
pub(crate) fn nothing_is_left_of_the_mesh(mesh: &Mesh, pods: &[Pod; 2]) -> Result<()> {
    mesh.eventually("no part of the mesh runs", || {
        let pods = mesh.kubectl.get(&["pods", "-n", SYSTEM])?;
        Ok(pods["items"].as_array().is_some_and(Vec::is_empty))
    })?;
    for pod in pods {
        mesh.wait_redirection(pod, None)?;
        let rules = mesh.rules(pod)?;
        ensure!(
            !rules.contains("istio") && !rules.contains("1500"),
            "{}: {rules}",
            pod.name
        );
        nothing_is_routed(mesh, pod)?;
        let node = pod.node;
        let rules = mesh.node_rules(node)?;
        ensure!(!has_tables(&rules), "node {node}: {rules}");
        ensure!(
            !mesh.host_file(node, PROGRAM)?.exists(),
            "the program is still there"
        );
        let left = plugins(mesh, node)?;
        ensure!(!left.contains(&"istio-cni".to_owned()), "{left:?}");
        for folder in ["/var/run/istio-cni", "/var/run/ztunnel"] {
            let left = fs::read_dir(mesh.host_file(node, folder)?)?;
            let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
            ensure!(left.is_empty(), "node {node}: {folder} has {left:?}");
        }
    }
    let all = mesh.kubectl.get(&["pods", "-A"])?;
    for pod in all["items"].as_array().context("pods")? {
        let has_ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        ensure!(has_ended || !is_marked(pod), "{}", pod["metadata"]);
    }
    let roles = mesh
        .kubectl
        .get(&["clusterroles", "-l", "app.kubernetes.io/part-of=lateen"])?;
    ensure!(roles["items"].as_array().is_some_and(Vec::is_empty), "{roles}");
    ensure!(
        mesh.reaches(&pods[0], &pods[1], "without a mesh"),
        "they reach each other"
    );
    Ok(())
}
