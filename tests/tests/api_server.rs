//! What only a real API server can say: it takes the CRDs, thinks of the corpus (`controlplane/crds/corpus`) what the control
//! plane thinks, prunes nothing, finds nothing to change in charts that are applied a second time, and keeps what somebody else
//! installed from a release.
//!
//! Needs the machine's root, and Go, of whose modules the API server is built once; says loudly what it leaves out otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lab::catalogue;
use lab::cluster::mesh::find_helm;
use lab::cluster::{self, ControlPlane, Kubectl, Tools, tools};
use lab::wait;
use lab::world::{self, Rights};
use serde_json::Value;

/// A test, named by a sentence.
struct Test {
    name: &'static str,
    run: fn(&Kubectl) -> Result<()>,
}

/// In this order, with one API server: each finds what those before it made.
const TESTS: &[Test] = &[
    Test {
        name: "the_api_server_takes_every_crd",
        run: the_api_server_takes_every_crd,
    },
    Test {
        name: "charts_applied_twice_change_nothing",
        run: charts_applied_twice_change_nothing,
    },
    Test {
        name: "the_api_server_takes_what_is_valid",
        run: the_api_server_takes_what_is_valid,
    },
    Test {
        name: "the_api_server_refuses_what_is_invalid",
        run: the_api_server_refuses_what_is_invalid,
    },
    Test {
        name: "the_api_server_warns_of_what_does_nothing",
        run: the_api_server_warns_of_what_does_nothing,
    },
    Test {
        name: "what_only_the_control_plane_can_refuse_is_stored_whole",
        run: what_only_the_control_plane_can_refuse_is_stored_whole,
    },
    Test {
        name: "every_version_says_the_same",
        run: every_version_says_the_same,
    },
    Test {
        name: "a_release_leaves_crds_of_somebody_else_alone",
        run: a_release_leaves_crds_of_somebody_else_alone,
    },
];

fn main() -> ExitCode {
    if std::env::args().any(|a| a == "--list") {
        TESTS.iter().for_each(|t| println!("{}: test", t.name));
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("api_server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    if let Some(missing) = tools::missing() {
        println!("!! LEFT OUT: {} tests of an API server: {missing}", TESTS.len());
        return Ok(true);
    }
    let tools = Tools::of_tests()?;
    if world::enter()? != Rights::Root {
        eprintln!("LEFT OUT: no API server was asked, which needs the machine's root");
        return Ok(true);
    }
    let control: ControlPlane = cluster::control_plane_alone(&tools)?;
    let kubectl = control.kubectl();
    println!("\nrunning {} tests", TESTS.len());
    let mut well = true;
    for test in TESTS {
        let result = (test.run)(&kubectl);
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        println!("test {} ... {word}", test.name);
        if let Err(error) = result {
            println!("{error:#}");
            well = false;
        }
    }
    Ok(well)
}

fn the_api_server_takes_every_crd(kubectl: &Kubectl) -> Result<()> {
    let folder = root().join("charts/base/files/crds").display().to_string();
    kubectl.run(&["apply", "--server-side", "-f", &folder])?;
    let count = controlplane_crds::CRDS.len();
    for crd in controlplane_crds::CRDS {
        established(kubectl, &crd.name())?;
    }
    ensure!(count > 10, "only {count} CRDs");
    Ok(())
}

fn established(kubectl: &Kubectl, crd: &str) -> Result<()> {
    wait::until(&format!("{crd} is established"), PATIENCE, || {
        let object = kubectl.get(&["crd", crd]).ok()?;
        let conditions = object["status"]["conditions"].as_array()?;
        let is = |kind: &str| {
            conditions
                .iter()
                .any(|c| c["type"] == kind && c["status"] == "True")
        };
        // Says what is not structural.
        (is("Established") && !is("NonStructuralSchema")).then_some(())
    })
}

/// Server-side apply finds no field that it would set otherwise.
fn charts_applied_twice_change_nothing(kubectl: &Kubectl) -> Result<()> {
    for namespace in ["istio-system", "shop", "edge"] {
        kubectl.run(&["create", "namespace", namespace])?;
    }
    kubectl.apply(POD_MONITORS)?;
    established(kubectl, "podmonitors.monitoring.coreos.com")?;
    for golden in [
        "default",
        "l4-only",
        "openshift",
        "gke",
        "upstreams-ztunnel",
        "configured",
    ] {
        let file = root().join(format!("charts/golden/{golden}.yaml"));
        // Hooks are Helm's to run, and no part of what is applied.
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let known: Vec<_> = text
            .split("---\n")
            .filter(|d| !d.contains("helm.sh/hook:"))
            .collect();
        let yaml = known.join("---\n");
        kubectl.apply(&yaml).with_context(|| golden.to_owned())?;
        let path = file_of(&yaml)?;
        let mut diff = kubectl.command(&["diff", "--server-side", "--force-conflicts", "-f", &path]);
        let out = diff.output().context("kubectl diff")?;
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        // 0 for no difference, 1 for some, more for trouble.
        ensure!(
            out.status.success(),
            "{golden}: applied again, it would change:\n{said}"
        );
    }
    Ok(())
}

fn the_api_server_takes_what_is_valid(kubectl: &Kubectl) -> Result<()> {
    for (name, text) in corpus("valid")? {
        let out = dry_run(kubectl, &text)?;
        let (taken, wanted) = (
            out.matches(" created (server dry run)").count(),
            documents(&text).len(),
        );
        ensure!(taken == wanted, "{name}: {taken} of {wanted} were taken:\n{out}");
    }
    Ok(())
}

fn the_api_server_refuses_what_is_invalid(kubectl: &Kubectl) -> Result<()> {
    // Policies of admission count a moment after they were made.
    let elsewhere = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\n\
                     spec: {targetRefs: [{kind: Service, group: '', name: a, namespace: elsewhere}]}\n";
    wait::until("the admission policies are in force", PATIENCE, || {
        dry_run(kubectl, elsewhere)
            .ok()?
            .contains("denied request")
            .then_some(())
    })?;
    let mut entries = catalogue::read("invalid")?;
    for entry in &mut entries {
        let name = entry.name();
        let out = dry_run(kubectl, &entry.yaml)?;
        ensure!(!out.contains(" created"), "{name}: taken:\n{}", entry.yaml);
        let about_it = out.contains("invalid") || out.contains("denied") || out.contains("strict decoding");
        ensure!(
            about_it,
            "{name}: refused for another reason:\n{}\n{out}",
            entry.yaml
        );
        let says = catalogue::refusal(&out);
        if std::env::var_os("LATEEN_UPDATE").is_some() {
            entry.says = says;
            continue;
        }
        ensure!(
            !entry.says.is_empty(),
            "{name}: the catalogue does not say what is answered: {says:?}"
        );
        for wanted in &entry.says {
            ensure!(
                says.iter().any(|line| line.contains(wanted)),
                "{name}: {wanted:?} is not what is said, but {says:?}; LATEEN_UPDATE=1 writes it down anew"
            );
        }
    }
    // Whoever applies is refused as whoever creates; each under a name of its own, so that one look is enough.
    let all = entries.iter().map(|entry| entry.named(&entry.name(), "shop"));
    let path = file_of(&all.collect::<Vec<_>>().join("---\n"))?;
    let mut apply = kubectl.command(&["apply", "--server-side", "--force-conflicts", "-f", &path]);
    let out = apply.output().context("kubectl apply")?;
    let taken = String::from_utf8_lossy(&out.stdout).into_owned();
    ensure!(taken.is_empty(), "applied, though it is invalid: {taken}");
    match std::env::var_os("LATEEN_UPDATE") {
        Some(_) => catalogue::write(&entries),
        None => Ok(()),
    }
}

fn the_api_server_warns_of_what_does_nothing(kubectl: &Kubectl) -> Result<()> {
    let mut entries = catalogue::read("warned")?;
    for entry in &mut entries {
        let name = entry.name();
        let out = dry_run(kubectl, &entry.yaml)?;
        ensure!(out.contains(" created"), "{name}: not taken:\n{out}");
        let says = catalogue::warnings(&out);
        if std::env::var_os("LATEEN_UPDATE").is_some() {
            entry.says = says;
            continue;
        }
        ensure!(says == entry.says, "{name}: {:?} and not {says:?}", entry.says);
    }
    // What is valid is no reason for a warning.
    for (name, text) in corpus("valid")? {
        let said = catalogue::warnings(&dry_run(kubectl, &text)?);
        ensure!(said.is_empty(), "{name}: {said:?}");
    }
    match std::env::var_os("LATEEN_UPDATE") {
        Some(_) => catalogue::write(&entries),
        None => Ok(()),
    }
}

fn what_only_the_control_plane_can_refuse_is_stored_whole(kubectl: &Kubectl) -> Result<()> {
    for (name, text) in corpus("late")? {
        for document in documents(&text) {
            kubectl
                .apply(&document)
                .with_context(|| format!("{name}:\n{document}"))?;
            let wanted: Value = serde_saphyr::from_str(&document).context("YAML")?;
            let (kind, group) = (wanted["kind"].as_str().unwrap_or_default(), &wanted["apiVersion"]);
            let group = group
                .as_str()
                .and_then(|g| g.split('/').next())
                .unwrap_or_default();
            let stored = kubectl.get(&[&format!("{kind}.{group}"), "a", "-n", "shop"])?;
            for field in ["spec", "spce"] {
                ensure!(
                    stored[field] == wanted[field],
                    "{name}: stored as {}:\n{document}",
                    stored[field]
                );
            }
            kubectl.delete(&document)?;
        }
    }
    Ok(())
}

fn every_version_says_the_same(kubectl: &Kubectl) -> Result<()> {
    let (_, text) = corpus("valid")?
        .into_iter()
        .find(|(name, _)| name == "networking.yaml")
        .context("the corpus has networking.yaml")?;
    kubectl.apply(&text)?;
    for crd in controlplane_crds::CRDS {
        for pair in crd.versions.windows(2) {
            let [one, other] = [pair[0], pair[1]].map(|version| {
                let resource = format!("{}.{version}.{}", crd.plural, crd.group());
                kubectl.get(&[&resource, "--all-namespaces"])
            });
            let [one, other] = [specs(&one?), specs(&other?)];
            ensure!(one == other, "{}: {pair:?}", crd.plural);
        }
    }
    Ok(())
}

/// Helm, which looks into the cluster: of all CRDs that are there without it, it makes the one that is missing.
fn a_release_leaves_crds_of_somebody_else_alone(kubectl: &Kubectl) -> Result<()> {
    let Some(helm) = find_helm() else {
        println!("!! LEFT OUT: no release was installed, since there is no Helm (scripts/setup.sh test)");
        return Ok(());
    };
    let missing = "sessionpolicies.lateen.dev";
    kubectl.run(&["delete", "crd", missing])?;
    let before = versions(kubectl)?;
    ensure!(before.len() > 10 && !before.contains_key(missing), "{before:?}");
    let chart = root().join("charts/base").display().to_string();
    for step in ["install", "upgrade"] {
        let mut command = kubectl.beside(&helm);
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, "/run/lateen/helm");
        }
        // The admission policies are there from another test, and belong to nobody.
        let values = ["--set", "admissionPolicies.enabled=false", "-n", "istio-system"];
        let out = command.args([step, "crds", &chart]).args(values).output();
        let out = out.context("helm")?;
        let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
        ensure!(out.status.success(), "helm {step}: {said}");
        let mut after = versions(kubectl)?;
        ensure!(
            after.remove(missing).is_some(),
            "helm {step}: {missing} was not made"
        );
        ensure!(after == before, "helm {step}: changed: {before:?} to {after:?}");
    }
    let made = kubectl.get(&["crd", missing])?;
    let owner = &made["metadata"]["annotations"]["meta.helm.sh/release-name"];
    ensure!(owner == "crds", "{missing} belongs to {owner}");
    Ok(())
}

/// The version of each of the mesh's CRDs, which every change of it changes.
fn versions(kubectl: &Kubectl) -> Result<BTreeMap<String, String>> {
    let list = kubectl.get(&["crd", "-l", "app.kubernetes.io/part-of=lateen"])?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let items = list["items"].as_array().context("a list")?.iter();
    Ok(items
        .map(|crd| {
            let meta = &crd["metadata"];
            (text(&meta["name"]), text(&meta["resourceVersion"]))
        })
        .collect())
}

fn specs(list: &Value) -> Vec<Value> {
    let items = list["items"].as_array().cloned().unwrap_or_default();
    items.into_iter().map(|item| item["spec"].clone()).collect()
}

/// What `kubectl create` says of a text; that it is refused is no failure.
fn dry_run(kubectl: &Kubectl, text: &str) -> Result<String> {
    let path = file_of(text)?;
    let mut command = kubectl.command(&["create", "--dry-run=server", "-f", &path]);
    let out = command.output().context("kubectl")?;
    let said = [out.stdout, out.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if said.contains("refused - did you specify") || said.contains("no matches for kind") {
        bail!("{said}");
    }
    Ok(said)
}

/// Where kubectl finds a text.
fn file_of(text: &str) -> Result<String> {
    let file = Path::new("/run/lateen/objects.yaml");
    fs::write(file, text).context("a file for kubectl")?;
    Ok(file.display().to_string())
}

fn corpus(folder: &str) -> Result<Vec<(String, String)>> {
    let folder = root().join("controlplane/crds/corpus").join(folder);
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        all.push((name, fs::read_to_string(&path)?));
    }
    ensure!(!all.is_empty(), "{} is empty", folder.display());
    all.sort();
    Ok(all)
}

fn documents(text: &str) -> Vec<String> {
    let all = text.split("\n---\n").filter(|d| !d.trim().is_empty());
    all.map(str::to_owned).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Of the Prometheus operator's kind what charts use, and nothing else: what they misspell is refused.
const POD_MONITORS: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: PodMonitor, listKind: PodMonitorList, plural: podmonitors, singular: podmonitor}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [selector, podMetricsEndpoints]
            properties:
              namespaceSelector: {type: object, properties: {any: {type: boolean}}}
              selector:
                type: object
                properties:
                  matchLabels: {type: object, additionalProperties: {type: string}}
                  matchExpressions:
                    type: array
                    items:
                      type: object
                      required: [key, operator]
                      properties:
                        key: {type: string}
                        operator: {type: string}
                        values: {type: array, items: {type: string}}
              podMetricsEndpoints:
                type: array
                items:
                  type: object
                  properties:
                    port: {type: string}
                    path: {type: string}
                    interval: {type: string, pattern: '^[0-9]+(ms|s|m|h)$'}
";
const PATIENCE: Duration = Duration::from_secs(60);
