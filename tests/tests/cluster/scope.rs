//! Which namespaces are the mesh's business (MeshConfig `discoverySelectors`): of others it knows nothing and writes nothing there.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::Test;
use crate::command_line::asked;
use crate::mesh::{LIMIT, Mesh};

pub(crate) const TESTS: &[Test] = &[Test {
    name: "a_namespace_outside_of_discovery_selectors_is_unknown_until_its_label_is_set_and_forgotten_without_it",
    run: selected,
}];

fn selected(mesh: &mut Mesh) -> Result<()> {
    mesh.upgrade_with(SELECTORS)?;
    let checked = in_and_out(mesh);
    mesh.upgrade_with(NO_SELECTORS)?;
    checked?;
    mesh.eventually("every namespace counts again", || knows(mesh, UNSEEN))?;
    mesh.forget(UNSEEN)?;
    mesh.forget(SEEN)
}

fn in_and_out(mesh: &Mesh) -> Result<()> {
    mesh.namespace(UNSEEN, "istio.io/dataplane-mode: none")?;
    mesh.start_server(UNSEEN, "web", 0, "")?;
    mesh.kubectl.apply(&ORPHAN.replace("NAMESPACE", UNSEEN))?;
    mesh.pod(UNSEEN, "web")?;
    // Younger, and known: whatever is known of this one would be known of the other by now.
    mesh.namespace(SEEN, KNOWN)?;
    mesh.start_server(SEEN, "web", 0, "")?;
    mesh.kubectl.apply(&ORPHAN.replace("NAMESPACE", SEEN))?;
    mesh.pod(SEEN, "web")?;
    is_known(mesh, SEEN)?;
    ensure!(!knows(mesh, UNSEEN)?, "proxies know of what is not selected");
    ensure!(!has_status(mesh, UNSEEN)?, "something is written there");
    ensure!(!has_root(mesh, UNSEEN)?, "the root is written there");
    enrolled_in_vain(mesh)?;

    let label = |label: &str| mesh.kubectl.run(&["label", "namespace", UNSEEN, label]).map(drop);
    label("mesh=here")?;
    is_known(mesh, UNSEEN)?;
    label("mesh-")?;
    mesh.eventually("proxies forget it", || Ok(!knows(mesh, UNSEEN)?))?;
    ensure!(knows(mesh, SEEN)?, "and nothing else");
    // What is said of it by now nobody keeps up to date; the root stays where one leaves it.
    ensure!(has_root(mesh, UNSEEN)?, "the root stays");
    Ok(())
}

/// Whoever enrols a namespace that is not selected is told.
fn enrolled_in_vain(mesh: &Mesh) -> Result<()> {
    let label = |mode: &str| {
        let label = format!("istio.io/dataplane-mode={mode}");
        mesh.kubectl
            .run(&["label", "namespace", UNSEEN, "--overwrite", &label])
            .map(drop)
    };
    label("ambient")?;
    let told = mesh.eventually("analyze tells of it", || {
        let (said, is_well) = asked(mesh, &["analyze", "-n", UNSEEN])?;
        let said = said["messages"].as_array().context("messages")?;
        Ok(!is_well && said.iter().any(|message| message["code"] == "LAT0005"))
    });
    label("none")?;
    told
}

fn is_known(mesh: &Mesh, namespace: &str) -> Result<()> {
    mesh.eventually(&format!("proxies know of {namespace}"), || knows(mesh, namespace))?;
    let what = format!("a status is written in {namespace}");
    mesh.eventually(&what, || has_status(mesh, namespace))?;
    let root = ["configmap", "istio-ca-root-cert", "-n", namespace];
    mesh.kubectl
        .wait("the root is written there", &root, LIMIT, |_| Some(()))
}

/// Whether a proxy knows a workload or a service of a namespace.
pub(crate) fn knows(mesh: &Mesh, namespace: &str) -> Result<bool> {
    let mut known = 0;
    for what in ["workloads", "services"] {
        let (said, _) = asked(mesh, &["node", what, "-n", namespace])?;
        known += said.as_array().with_context(|| said.to_string())?.len();
    }
    Ok(known > 0)
}

fn has_status(mesh: &Mesh, namespace: &str) -> Result<bool> {
    let service = mesh.kubectl.get(&["service", "orphan", "-n", namespace])?;
    let conditions = service["status"]["conditions"].as_array();
    let is_bound = |condition: &Value| condition["type"] == "istio.io/WaypointBound";
    Ok(conditions.is_some_and(|all| all.iter().any(is_bound)))
}

fn has_root(mesh: &Mesh, namespace: &str) -> Result<bool> {
    let maps = mesh.kubectl.get(&["configmaps", "-n", namespace])?;
    let maps = maps["items"].as_array().context("ConfigMaps")?;
    Ok(maps
        .iter()
        .any(|map| map["metadata"]["name"] == "istio-ca-root-cert"))
}

const SEEN: &str = "on-the-map";
const UNSEEN: &str = "off-the-map";
const KNOWN: &str = "mesh: here";
const SELECTORS: &str = "
controlplane:
  meshConfig:
    discoverySelectors: [{matchLabels: {mesh: here}}]
";
/// Values that were set once stay: nothing set is set, too.
const NO_SELECTORS: &str = "
controlplane:
  meshConfig:
    discoverySelectors: []
";
/// A Service whose waypoint is missing.
const ORPHAN: &str = "
apiVersion: v1
kind: Service
metadata: {name: orphan, namespace: NAMESPACE, labels: {istio.io/use-waypoint: nobody}}
spec: {selector: {app: web}, ports: [{port: 9000}]}
";
