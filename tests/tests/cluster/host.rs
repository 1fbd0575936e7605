//! The plugin on the hosts: installed, put right, waited for, taken away.

use std::cell::Cell;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::Test;
use crate::mesh::{AMBIENT, Mesh, SYSTEM, is_ready};

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "the_plugin_is_the_last_of_every_hosts_chain_and_a_strangers_rewrite_is_put_right",
        run: installed_and_repaired,
    },
    Test {
        name: "while_no_agent_is_there_pods_wait_and_once_it_is_back_they_start_in_the_mesh",
        run: pods_wait_for_the_agent,
    },
    Test {
        name: "an_agent_whose_pod_is_removed_by_force_leaves_its_plugin_where_it_is",
        run: removed_by_force,
    },
];

/// What leaves nothing for others to test.
pub(crate) const LAST: &[Test] = &[Test {
    name: "a_daemonset_that_is_deleted_leaves_no_rule_file_or_annotation",
    run: leaves_nothing,
}];

/// Somewhat longer than the API server keeps what it found out of a token (10 s).
const KNOWN_TOKENS: Duration = Duration::from_secs(13);
const NETWORK: &str = "/etc/cni/net.d/10-lab.conflist";
pub(crate) const PROGRAM: &str = "/opt/cni/bin/istio-cni";

pub(crate) fn plugins(mesh: &Mesh, node: usize) -> Result<Vec<String>> {
    let text = fs::read(mesh.host_file(node, NETWORK)?)?;
    let list: Value = serde_json::from_slice(&text)?;
    let plugins = list["plugins"].as_array().context("plugins")?;
    Ok(plugins
        .iter()
        .filter_map(|p| p["type"].as_str().map(str::to_owned))
        .collect())
}

fn is_installed(mesh: &Mesh, node: usize) -> Result<bool> {
    let last = plugins(mesh, node)?
        .last()
        .is_some_and(|plugin| plugin == "istio-cni");
    Ok(last && mesh.host_file(node, PROGRAM)?.is_file())
}

fn installed_and_repaired(mesh: &mut Mesh) -> Result<()> {
    for node in 0..2 {
        ensure!(
            is_installed(mesh, node)?,
            "node {node}: {:?}",
            plugins(mesh, node)
        );
    }
    ensure!(
        !is_dynamic(&fs::read(mesh.host_file(0, PROGRAM)?)?)?,
        "the plugin needs libraries that the host may not have"
    );
    let path = mesh.host_file(0, NETWORK)?;
    let mut list: Value = serde_json::from_slice(&fs::read(&path)?)?;
    let theirs = list["plugins"].as_array_mut().context("plugins")?;
    theirs.pop();
    theirs.push(json!({"type": "tuning"}));
    fs::write(&path, list.to_string())?;
    mesh.eventually("the plugin is back, behind the stranger's", || {
        is_installed(mesh, 0)
    })?;
    let now = plugins(mesh, 0)?;
    ensure!(
        now.contains(&"tuning".to_owned()),
        "what the stranger wants stays: {now:?}"
    );
    fs::remove_file(mesh.host_file(0, PROGRAM)?)?;
    mesh.eventually("the program is back", || is_installed(mesh, 0))
}

/// Whether a program asks for an interpreter, the dynamic loader: elf(5), `PT_INTERP`.
fn is_dynamic(program: &[u8]) -> Result<bool> {
    let bytes = |at: usize, length: usize| program.get(at..at + length).context("not an ELF file");
    let number = |at, length| -> Result<usize> {
        let bytes = bytes(at, length)?.iter().rev();
        Ok(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    };
    ensure!(bytes(0, 5)? == b"\x7fELF\x02", "not an ELF file of 64 bits");
    let (table, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    let kinds = (0..count).map(|header| number(table + header * size, 4));
    Ok(kinds.collect::<Result<Vec<_>>>()?.contains(&3))
}

fn pods_wait_for_the_agent(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("waiting", AMBIENT)?;
    let daemonset = ["-n", SYSTEM, "patch", "daemonset", "istio-cni-node", "-p"];
    let nowhere = r#"{"spec":{"template":{"spec":{"nodeSelector":{"nowhere":"true"}}}}}"#;
    mesh.kubectl.run(&[&daemonset[..], &[nowhere]].concat())?;
    mesh.wait_pods(SYSTEM, "k8s-app=istio-cni-node", 0, |_| true)?;
    ensure!(
        is_installed(mesh, 0)?,
        "an agent that comes back leaves the plugin in place"
    );
    mesh.start_server("waiting", "web", 0, "")?;
    let events = [
        "events",
        "-n",
        "waiting",
        "--field-selector",
        "involvedObject.name=web",
    ];
    mesh.kubectl.wait(
        "the pod's sandbox is refused",
        &events,
        crate::mesh::LIMIT,
        |list| {
            let said = list["items"]
                .as_array()?
                .iter()
                .find_map(|event| event["message"].as_str().filter(|m| m.contains("istio-cni")))?;
            said.contains("agent").then_some(())
        },
    )?;
    let anywhere = r#"{"spec":{"template":{"spec":{"nodeSelector":{"nowhere":null}}}}}"#;
    mesh.kubectl.run(&[&daemonset[..], &[anywhere]].concat())?;
    mesh.wait_agents()?;
    let web = mesh.pod("waiting", "web")?;
    mesh.wait_redirection(&web, Some("enabled"))?;
    ensure!(mesh.rules(&web)?.contains("redirect to :15001"), "it is captured");
    mesh.forget("waiting")
}

fn removed_by_force(mesh: &mut Mesh) -> Result<()> {
    mesh.wait_agents()?;
    // For so long the API server takes a token for good whose pod is gone already, and answers the agent.
    thread::sleep(KNOWN_TOKENS);
    let pods = mesh.pods(SYSTEM, "k8s-app=istio-cni-node", 2)?;
    for pod in &pods {
        let delete = [
            "-n",
            SYSTEM,
            "delete",
            "pod",
            &pod.name,
            "--force",
            "--grace-period=0",
        ];
        mesh.kubectl.run(&delete)?;
    }
    // Until others are there the old ones have ended, and were asked what becomes of the plugin.
    let ended = || {
        let list = mesh
            .kubectl
            .get(&["pods", "-n", SYSTEM, "-l", "k8s-app=istio-cni-node"])?;
        let items = list["items"].as_array().context("pods")?;
        let is_new = |item: &&Value| {
            pods.iter()
                .all(|old| item["metadata"]["name"] != old.name.as_str())
        };
        Ok(items.iter().filter(is_new).filter(|item| is_ready(item)).count() == pods.len())
    };
    let left_out = Cell::new(None);
    mesh.eventually("other agents are there", || {
        for pod in &pods {
            let node = pod.node;
            let there = is_installed(mesh, node)?;
            if !there {
                left_out.set(Some(node));
            }
        }
        ended()
    })?;
    ensure!(
        left_out.get().is_none(),
        "the plugin was gone from node {:?}",
        left_out.get()
    );
    Ok(())
}

/// Whether rules have a table of the mesh; kube-proxy's have its Services' names.
pub(crate) fn has_tables(rules: &str) -> bool {
    let mut tables = rules.lines().filter(|line| line.starts_with("table "));
    tables.any(|table| table.contains("istio"))
}

fn leaves_nothing(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("leaving", AMBIENT)?;
    let pods = [
        mesh.server("leaving", "web", 0, "")?,
        mesh.server("leaving", "cart", 1, "")?,
    ];
    for pod in &pods {
        mesh.wait_redirection(pod, Some("enabled"))?;
        ensure!(
            mesh.node_rules(pod.node)?.contains(&pod.ip.to_string()),
            "probes of {}",
            pod.name
        );
    }
    mesh.kubectl
        .run(&["-n", SYSTEM, "delete", "daemonset", "istio-cni-node"])?;
    mesh.wait_pods(SYSTEM, "k8s-app=istio-cni-node", 0, |_| true)?;
    for pod in &pods {
        mesh.wait_redirection(pod, None)?;
        let rules = mesh.rules(pod)?;
        ensure!(!rules.contains("15001"), "{}: {rules}", pod.name);
        let rules = mesh.node_rules(pod.node)?;
        ensure!(!has_tables(&rules), "node {}: {rules}", pod.node);
        ensure!(
            !mesh.host_file(pod.node, PROGRAM)?.exists(),
            "the program is still there"
        );
        let left = plugins(mesh, pod.node)?;
        ensure!(!left.contains(&"istio-cni".to_owned()), "{left:?}");
    }
    let sent = mesh.send(&pods[0], &pods[1], "without a mesh")?;
    ensure!(sent.contains("without a mesh"), "{sent}");
    mesh.forget("leaving")
}
