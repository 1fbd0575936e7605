//! What `lateen` says of a running mesh.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::mesh::{AMBIENT, Mesh};

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "explain_says_what_becomes_of_a_client_outside_of_the_mesh_and_which_object_refuses_it",
        run: explain,
    },
    Test {
        name: "status_and_version_know_every_proxy_its_certificates_and_its_version",
        run: status,
    },
];

/// What it prints as JSON, whatever it exits with, and whether that was 0.
pub(crate) fn asked(mesh: &Mesh, arguments: &[&str]) -> Result<(Value, bool)> {
    let out = mesh
        .lateen
        .command(&[arguments, &["-o", "json"]].concat())
        .output();
    let out = out.context("lateen")?;
    let said = serde_json::from_slice(&out.stdout);
    let said = said.with_context(|| String::from_utf8_lossy(&out.stderr).into_owned())?;
    Ok((said, out.status.success()))
}

fn explain(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace("bank", AMBIENT)?;
    mesh.namespace("alley", "")?;
    mesh.start_server("bank", "safe", 1, "")?;
    mesh.start_server("bank", "clerk", 0, "")?;
    mesh.start_server("alley", "passer-by", 0, "")?;
    let (safe, clerk) = (mesh.pod("bank", "safe")?, mesh.pod("bank", "clerk")?);
    let stranger = mesh.pod("alley", "passer-by")?;
    mesh.wait_tunnel(&clerk, &safe)?;
    let to = format!("{}:9000", safe.ip);
    let of = |from: &str| asked(mesh, &["explain", from, &to]);
    let (said, passes) = of("alley/passer-by")?;
    ensure!(
        passes && said["ztunnel"]["clientInMesh"] == false,
        "PERMISSIVE: {said}"
    );
    for (objects, level, object) in [
        (
            "metadata: {name: default, namespace: istio-system}\nspec: {mtls: {mode: STRICT}}",
            "mesh",
            "istio-system/default",
        ),
        (
            "metadata: {name: default, namespace: bank}\nspec: {mtls: {mode: STRICT}}",
            "namespace",
            "bank/default",
        ),
        (
            "metadata: {name: safe, namespace: bank}\nspec: {selector: {matchLabels: {app: safe}}, mtls: {mode: STRICT}}",
            "workload",
            "bank/safe",
        ),
        (
            "metadata: {name: safe, namespace: bank}\nspec: {selector: {matchLabels: {app: safe}}, \
             mtls: {mode: PERMISSIVE}, portLevelMtls: {9000: {mode: STRICT}}}",
            "port",
            "bank/safe",
        ),
    ] {
        let policy = format!("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n{objects}\n");
        mesh.kubectl.apply(&policy)?;
        mesh.eventually(&format!("the stranger is refused at the {level} level"), || {
            let (said, passes) = of("alley/passer-by")?;
            let by = &said["refusedBy"];
            Ok(!passes && said["passes"] == "no" && by["level"] == level && by["object"] == object)
        })?;
        ensure!(
            !mesh.reaches(&stranger, &safe, "good day"),
            "{level}: it is not refused"
        );
        let (said, passes) = of("bank/clerk")?;
        ensure!(
            passes && said["ztunnel"]["clientInMesh"] == true,
            "{level}: {said}"
        );
        let (said, passes) = of("192.0.2.99")?;
        ensure!(
            !passes && said["refusedBy"]["level"] == level,
            "{level}, from nowhere: {said}"
        );
        let (namespace, name) = object.split_once('/').context("a name")?;
        mesh.kubectl
            .run(&["delete", "peerauthentication", name, "-n", namespace])?;
        mesh.eventually("the stranger is taken again", || Ok(of("alley/passer-by")?.1))?;
    }
    mesh.forget("bank")?;
    mesh.forget("alley")
}

fn status(mesh: &mut Mesh) -> Result<()> {
    let (said, is_well) = asked(mesh, &["status"])?;
    let proxies = said["proxies"].as_array().context("proxies")?;
    let ztunnels: Vec<&Value> = proxies
        .iter()
        .filter(|proxy| proxy["node"]["kind"] == "ztunnel")
        .collect();
    ensure!(is_well && ztunnels.len() == 2, "{said}");
    for ztunnel in ztunnels {
        let certificates = &ztunnel["certificates"];
        ensure!(certificates["unknown"].is_null(), "{ztunnel}");
        ensure!(certificates["count"].as_u64().is_some(), "{ztunnel}");
    }
    let (said, _) = asked(mesh, &["version", "--remote"])?;
    let own = env!("CARGO_PKG_VERSION");
    ensure!(said["client"] == own, "{said}");
    for part in ["controlPlane", "dataPlane"] {
        let parts = said[part].as_array().context("parts")?;
        ensure!(!parts.is_empty(), "{said}");
        ensure!(parts.iter().all(|part| part["version"] == own), "{said}");
    }
    Ok(())
}
