//! What the parts of the mesh may do on their nodes, as the kernel sees their processes.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::mesh::{Mesh, SYSTEM};

pub(crate) const TESTS: &[Test] = &[Test {
    name: "processes_of_the_mesh_have_the_capabilities_of_their_charts_a_seccomp_filter_and_a_root_that_nobody_writes",
    run: confined,
}];

/// A part, the kernel's name of its process, and whether it may be root.
const PARTS: &[(&str, &str, bool)] = &[
    ("daemonset/istio-cni-node", "lateen-node", true),
    ("daemonset/ztunnel", "ztunnel", true),
    ("deployment/istiod", "lateen-controlp", false),
];

fn confined(mesh: &mut Mesh) -> Result<()> {
    for (part, process, is_root) in PARTS {
        let allowed = capabilities(mesh, part).context(*part)?;
        let mut seen = 0;
        for node in mesh.cluster.nodes() {
            let Ok(found) = node.output("pgrep", &["-x", process]) else {
                continue;
            };
            for pid in found.split_whitespace() {
                let status = node.output("cat", &[&format!("/proc/{pid}/status")])?;
                let mounts = node.output("cat", &[&format!("/proc/{pid}/mounts")])?;
                judge(&status, &mounts, allowed, *is_root).with_context(|| format!("{part}: {status}"))?;
                seen += 1;
            }
        }
        ensure!(seen > 0, "no process {process} of {part}");
    }
    Ok(())
}

/// What a chart gives, as the kernel writes it.
fn capabilities(mesh: &Mesh, part: &str) -> Result<u64> {
    let object = mesh.kubectl.get(&[part, "-n", SYSTEM])?;
    let containers = object["spec"]["template"]["spec"]["containers"].as_array();
    let context = &containers.context("containers")?[0]["securityContext"]["capabilities"];
    let dropped = context["drop"].as_array().context("drops none")?;
    ensure!(dropped.iter().any(|name| name == "ALL"), "{context}");
    let added = context["add"].as_array().into_iter().flatten();
    added
        .map(|name| bit(name).with_context(|| format!("which bit is {name}?")))
        .try_fold(0, |all, bit| Ok(all | 1 << bit?))
}

/// capabilities(7), linux/capability.h
fn bit(name: &Value) -> Option<u32> {
    let bit = match name.as_str()? {
        "DAC_OVERRIDE" => 1,
        "NET_ADMIN" => 12,
        "NET_RAW" => 13,
        "SYS_PTRACE" => 19,
        "SYS_ADMIN" => 21,
        _ => return None,
    };
    Some(bit)
}

/// proc_pid_status(5)
fn judge(status: &str, mounts: &str, allowed: u64, is_root: bool) -> Result<()> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|values| values.split_whitespace().next())
    };
    for set in ["CapEff:", "CapPrm:", "CapBnd:"] {
        let has = u64::from_str_radix(field(set).context(set)?, 16)?;
        ensure!(
            has & !allowed == 0,
            "{set} {has:x}, of which its chart gives {allowed:x}"
        );
    }
    ensure!(field("Seccomp:") == Some("2"), "no seccomp filter");
    // Kubernetes takes no `allowPrivilegeEscalation: false` beside SYS_ADMIN, which whoever enters networks needs.
    if !is_root {
        ensure!(field("NoNewPrivs:") == Some("1"), "it may gain privileges");
        ensure!(field("Uid:") != Some("0"), "it is root");
    }
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/"));
    let options = root.and_then(|line| line.split(' ').nth(3)).context("no root")?;
    ensure!(
        options.split(',').any(|option| option == "ro"),
        "its root is {options}"
    );
    Ok(())
}
