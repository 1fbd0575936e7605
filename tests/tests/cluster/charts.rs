//! The single charts, each by itself, as somebody installs them who wants no umbrella; and an installation that fails.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::Test;
use crate::mesh::{AMBIENT, Mesh, SYSTEM};
use crate::removal::{enrolled, nothing_is_left_of_the_mesh};
use crate::traffic::Captures;

/// They begin where the mesh is gone, and leave it so.
pub(crate) const LAST: &[Test] = &[
    Test {
        name: "the_single_charts_make_a_mesh_one_by_one_and_leave_nothing_in_the_reverse_order",
        run: one_by_one,
    },
    Test {
        name: "an_installation_that_fails_says_what_is_not_ready_and_both_ways_out_of_it_are_as_it_says",
        run: failed,
    },
];

/// In upstream's order: release, chart, values.
const CHARTS: &[(&str, &str, &str)] = &[
    ("lateen-base", "base", ""),
    ("istiod", "controlplane", ""),
    (
        "istio-cni",
        "cni",
        "addDeadlineSeconds: 5\nenv: {UNENROLL_SETTLE_SECONDS: \"1\"}\n",
    ),
    (
        "ztunnel",
        "ztunnel",
        "terminationGracePeriodSeconds: 10\nenv: {SECRET_TTL: 60s}\n",
    ),
];

fn one_by_one(mesh: &mut Mesh) -> Result<()> {
    mesh.take_release_away()?;
    let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts");
    for (release, chart, values) in CHARTS {
        let file = tempfile::NamedTempFile::new().context("a file of values")?;
        fs::write(file.path(), format!("global: {{logFormat: json}}\n{values}")).context("values")?;
        let (chart, file) = (
            charts.join(chart).display().to_string(),
            file.path().display().to_string(),
        );
        let install = ["install", release, &chart, "-n", SYSTEM, "--create-namespace"];
        let how = ["--values", &file, "--wait", "--timeout", "300s"];
        mesh.lateen
            .helm(&[&install[..], &how].concat())
            .with_context(|| (*release).to_owned())?;
    }
    mesh.wait_agents()?;
    mesh.namespace("pieces", AMBIENT)?;
    mesh.strict("pieces")?;
    let client = mesh.server("pieces", "client", 0, "")?;
    let server = mesh.server("pieces", "server", 1, "")?;
    mesh.wait_tunnel(&client, &server)?;
    let captures = Captures::start(mesh, &["canary-of-pieces"])?;
    let answer = mesh.send(&client, &server, "canary-of-pieces")?;
    let seen = captures.stop();
    ensure!(answer == "canary-of-pieces", "{answer}");
    seen.nothing_in_the_clear()?;
    ensure!(seen.wire.tunnelled > 0, "{seen:?}");
    mesh.forget("pieces")?;

    // Single charts have no hook that takes pods out, and rights go together with the agent: whoever removes them does it before.
    let pods = enrolled(mesh, "shards")?;
    mesh.kubectl
        .run(&["label", "namespace", "--all", "istio.io/dataplane-mode-"])?;
    mesh.kubectl.run(&[
        "label",
        "pods",
        "--all",
        "-n",
        "shards",
        "istio.io/dataplane-mode-",
    ])?;
    for pod in &pods {
        mesh.wait_redirection(pod, None)?;
    }
    for (release, ..) in CHARTS.iter().rev() {
        mesh.lateen
            .helm(&["uninstall", release, "-n", SYSTEM, "--wait", "--timeout", "180s"])
            .with_context(|| (*release).to_owned())?;
    }
    nothing_is_left_of_the_mesh(mesh, &pods)?;
    let releases = mesh.lateen.helm(&["list", "-n", SYSTEM, "-q"])?;
    ensure!(releases.trim().is_empty(), "{releases}");
    mesh.forget("shards")
}

fn failed(mesh: &mut Mesh) -> Result<()> {
    mesh.take_release_away()?;
    // Back.
    fails(mesh)?;
    mesh.lateen.run(&["uninstall"])?;
    mesh.eventually("no part of the mesh runs", || {
        let pods = mesh.kubectl.get(&["pods", "-n", SYSTEM])?;
        Ok(pods["items"].as_array().is_some_and(Vec::is_empty))
    })?;
    let releases = mesh.lateen.helm(&["list", "-n", SYSTEM, "-q", "--all"])?;
    ensure!(releases.trim().is_empty(), "{releases}");
    let roles = ["clusterroles", "-l", "app.kubernetes.io/part-of=lateen"];
    let roles = mesh.kubectl.get(&roles)?;
    ensure!(roles["items"].as_array().is_some_and(Vec::is_empty), "{roles}");
    // On, once the cause is gone.
    fails(mesh)?;
    let tag = format!("ztunnel.tag={}", lab::cluster::mesh::TAG);
    mesh.lateen.run(&["upgrade", "--set", &tag, "--timeout", "300"])?;
    mesh.lateen.run(&["verify-install"])?;
    mesh.wait_agents()?;
    mesh.namespace("second-try", AMBIENT)?;
    mesh.strict("second-try")?;
    let client = mesh.server("second-try", "client", 0, "")?;
    let server = mesh.server("second-try", "server", 1, "")?;
    mesh.wait_tunnel(&client, &server)?;
    mesh.forget("second-try")?;
    let gone = ["namespace", "second-try"];
    mesh.eventually("its namespace is gone", || Ok(mesh.kubectl.get(&gone).is_err()))?;
    mesh.lateen.run(&["uninstall"]).map(drop)
}

/// An image that nobody has.
fn fails(mesh: &Mesh) -> Result<()> {
    let set = ["--set", "ztunnel.tag=of-no-version", "--timeout", "25"];
    let out = mesh
        .lateen
        .command(&[&["install"][..], &set].concat())
        .output()
        .context("lateen install")?;
    let said = String::from_utf8_lossy(&out.stderr);
    ensure!(out.status.code() == Some(3), "{:?}: {said}", out.status);
    // The release is there; what does not come up, and why; and the way back.
    for wanted in [
        "release",
        "ztunnel",
        "not ready",
        "lateen upgrade",
        "lateen uninstall",
    ] {
        ensure!(said.contains(wanted), "{wanted:?} is not in: {said}");
    }
    // Whoever asks again is told the same ways.
    let again = mesh.lateen.run(&["install"]);
    let again = again
        .err()
        .context("a release that failed is installed over")?
        .to_string();
    ensure!(
        again.contains("lateen upgrade") && again.contains("lateen uninstall"),
        "{again}"
    );
    Ok(())
}
