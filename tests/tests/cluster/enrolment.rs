//! Running pods that join the mesh and leave it by their labels.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::Test;
use crate::mesh::{AMBIENT, Mesh, Pod, SYSTEM};
use crate::traffic::{Captures, Held, Load};

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "running_pods_join_and_leave_by_their_namespaces_label_and_nothing_of_theirs_crosses_in_the_clear",
        run: join_and_leave,
    },
    Test {
        name: "pods_join_and_leave_under_load_and_neither_a_connection_nor_a_request_fails",
        run: under_load,
    },
    Test {
        name: "an_agent_that_is_killed_changes_nothing_for_pods_that_are_in_the_mesh",
        run: agent_killed,
    },
    Test {
        name: "who_opts_out_or_shares_the_nodes_network_is_not_touched",
        run: outsiders,
    },
];

pub(crate) fn label(mesh: &Mesh, namespace: &str, mode: &str) -> Result<()> {
    let label = match mode {
        "" => "istio.io/dataplane-mode-".to_owned(),
        mode => format!("istio.io/dataplane-mode={mode}"),
    };
    mesh.kubectl
        .run(&["label", "namespace", namespace, "--overwrite", &label])
        .map(drop)
}

pub(crate) fn is_captured(mesh: &Mesh, pod: &Pod) -> Result<bool> {
    let node = mesh.node_rules(pod.node)?;
    Ok(mesh.rules(pod)?.contains("redirect to :15001") && node.contains(&pod.ip.to_string()))
}

fn join_and_leave(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("joining", "")?;
    let pods = [
        mesh.server("joining", "web", 0, "")?,
        mesh.server("joining", "cart", 1, "")?,
    ];
    let [web, cart] = &pods;
    ensure!(
        mesh.send(web, cart, "before the mesh")?
            .contains("before the mesh"),
        "they reach each other"
    );
    for _ in 0..2 {
        label(mesh, "joining", "ambient")?;
        for pod in &pods {
            mesh.wait_redirection(pod, Some("enabled"))?;
            ensure!(is_captured(mesh, pod)?, "{}: {}", pod.name, mesh.rules(pod)?);
        }
        mesh.wait_tunnel(web, cart)?;
        let captures = Captures::start(mesh, &["canary-in-the-mesh"])?;
        let answer = mesh.send(web, cart, "canary-in-the-mesh")?;
        let seen = captures.stop();
        ensure!(answer == "canary-in-the-mesh", "{answer}");
        seen.nothing_in_the_clear()?;
        ensure!(seen.wire.tunnelled > 0, "{seen:?}");

        label(mesh, "joining", "")?;
        for pod in &pods {
            mesh.wait_redirection(pod, None)?;
            mesh.eventually("its rules are gone", || {
                Ok(!mesh.rules(pod)?.contains("redirect"))
            })?;
            mesh.eventually("the node's are too", || {
                Ok(!mesh.node_rules(pod.node)?.contains(&format!("{}", pod.ip)))
            })?;
        }
        let captures = Captures::start(mesh, &["after-the-mesh"])?;
        ensure!(
            mesh.send(web, cart, "after-the-mesh")?.contains("after-the-mesh"),
            "they reach each other again"
        );
        let seen = captures.stop();
        ensure!(
            !seen.wire.found.is_empty() && seen.nodes.iter().all(|node| !node.found.is_empty()),
            "captures that see nothing prove nothing: {seen:?}"
        );
    }
    mesh.forget("joining")
}

/// Connections that are made all the time, requests on connections that are kept, and one connection that lasts some seconds,
/// each between two nodes and both ways, while all of them come into the mesh and leave it, twice.
fn under_load(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("busy", "")?;
    for (name, node) in [("web", 0), ("cart", 1)] {
        mesh.start_server("busy", name, node, "")?;
    }
    let pods = [mesh.pod("busy", "web")?, mesh.pod("busy", "cart")?];
    let [web, cart] = &pods;
    let mut loads = Vec::new();
    for (from, to) in [(web, cart), (cart, web)] {
        let way = format!("{} to {}", from.name, to.name);
        let requests = SocketAddr::new(to.ip, 8080);
        loads.push((
            format!("connections, {way}"),
            Load::start(mesh, from, to.echo(), 20, "busy")?,
        ));
        loads.push((
            format!("requests, {way}"),
            Load::asking(mesh, from, requests, 20, "/")?,
        ));
    }
    let changed = (0..2).try_for_each(|_| in_and_out(mesh, &pods));
    let mut ledgers = Vec::new();
    for (what, load) in loads {
        ledgers.push((what, load.finish()?));
    }
    for (what, ledger) in &ledgers {
        println!(
            "  {what}: {} succeeded, {} failed {:?}, slowest {} ms",
            ledger.ok,
            ledger.failed,
            ledger.failures,
            ledger.max_us / 1000
        );
    }
    changed?;
    for (what, ledger) in ledgers {
        ledger.nobody_noticed().context(what)?;
    }
    mesh.forget("busy")
}

fn in_and_out(mesh: &Mesh, pods: &[Pod; 2]) -> Result<()> {
    let [web, cart] = pods;
    let lasts = |from: &Pod, to: &Pod| Held::open(mesh, from, &[to.echo()], Duration::from_secs(4));
    // One of before the enrolment goes on as it is; one of the mesh ends by itself while it leaves.
    let older = [lasts(web, cart)?, lasts(cart, web)?];
    label(mesh, "busy", "ambient")?;
    for pod in pods {
        mesh.wait_redirection(pod, Some("enabled"))?;
        ensure!(is_captured(mesh, pod)?, "{}", pod.name);
    }
    mesh.wait_tunnel(web, cart)?;
    older
        .into_iter()
        .try_for_each(Held::ends_by_itself)
        .context("older than the enrolment")?;
    // Time for whatever is in the mesh to be used.
    thread::sleep(Duration::from_secs(1));
    let inside = [lasts(web, cart)?, lasts(cart, web)?];
    label(mesh, "busy", "")?;
    for pod in pods {
        mesh.wait_redirection(pod, None)?;
        mesh.eventually("its rules are gone", || {
            Ok(!mesh.rules(pod)?.contains("redirect"))
        })?;
    }
    inside
        .into_iter()
        .try_for_each(Held::ends_by_itself)
        .context("opened in the mesh")
}

fn agent_killed(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("steady", AMBIENT)?;
    let web = mesh.server("steady", "web", 0, "")?;
    mesh.wait_redirection(&web, Some("enabled"))?;
    let version = |mesh: &Mesh| -> Result<String> {
        mesh.kubectl.run(&[
            "get",
            "pod",
            "web",
            "-n",
            "steady",
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ])
    };
    let (before, rules) = (version(mesh)?, mesh.rules(&web)?);
    let agents = [
        "-n",
        SYSTEM,
        "delete",
        "pods",
        "-l",
        "k8s-app=istio-cni-node",
        "--force",
        "--grace-period=0",
    ];
    mesh.kubectl.run(&agents)?;
    ensure!(is_captured(mesh, &web)?, "while it is away");
    mesh.wait_agents()?;
    ensure!(is_captured(mesh, &web)?, "when it is back");
    ensure!(mesh.rules(&web)? == rules, "{}", mesh.rules(&web)?);
    ensure!(
        version(mesh)? == before,
        "the pod's object was written without need"
    );
    label(mesh, "steady", "")?;
    mesh.wait_redirection(&web, None)?;
    mesh.eventually("what the agent before did is undone", || {
        Ok(!mesh.rules(&web)?.contains("redirect"))
    })?;
    mesh.forget("steady")
}

fn outsiders(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("mixed", AMBIENT)?;
    let inside = mesh.server("mixed", "inside", 0, "")?;
    mesh.wait_redirection(&inside, Some("enabled"))?;
    mesh.kubectl.run(&[
        "label",
        "pod",
        "inside",
        "-n",
        "mixed",
        "istio.io/dataplane-mode=none",
    ])?;
    mesh.wait_redirection(&inside, None)?;
    mesh.eventually("its rules are gone", || {
        Ok(!mesh.rules(&inside)?.contains("redirect"))
    })?;
    let host = mesh.server("mixed", "host", 0, "  hostNetwork: true\n")?;
    let object = mesh.kubectl.get(&["pod", "host", "-n", "mixed"])?;
    ensure!(
        object["metadata"]["annotations"]["ambient.istio.io/redirection"].is_null(),
        "{host:?}"
    );
    ensure!(
        !mesh.node_rules(0)?.contains("redirect to :15001"),
        "the node itself is not captured"
    );
    mesh.forget("mixed")
}
