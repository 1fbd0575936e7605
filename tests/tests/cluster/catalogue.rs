//! The catalogue of objects that are wrong, on a cluster with the mesh: what the API server takes all the same has a status that
//! says what is wrong, and what counts.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::catalogue::{self, Entry};
use lab::wait;
use serde_json::{Value, json};

use crate::Test;
use crate::mesh::{LIMIT, Mesh};

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "what_is_wrong_and_taken_says_in_its_status_what_is_wrong_and_what_counts",
        run: told,
    },
    Test {
        name: "of_a_status_only_what_is_ours_is_applied_and_taken_away",
        run: shared,
    },
];

fn told(mesh: &mut Mesh) -> Result<()> {
    mesh.with_gateway_api()?;
    mesh.namespace(NAMESPACE, "")?;
    let mut entries = [catalogue::read("late")?, catalogue::read("told")?].concat();
    let all: Vec<_> = entries.iter().map(placed).collect();
    mesh.kubectl.apply(&all.join("---\n"))?;
    if std::env::var_os("LATEEN_UPDATE").is_some() {
        // There is nothing to wait for yet: what is said by then is read by whoever writes it down.
        thread::sleep(SETTLED);
        let said = conditions(mesh, &entries)?;
        for (entry, said) in entries.iter_mut().zip(said).filter(|(entry, _)| !is_given(entry)) {
            entry.status = said;
        }
        catalogue::write(&entries)?;
        return mesh.forget(NAMESPACE);
    }
    let wrong: Vec<_> = entries.into_iter().filter(|entry| !is_given(entry)).collect();
    for entry in &wrong {
        let expected = !entry.status.is_empty();
        ensure!(expected, "{}: the catalogue has no status", entry.name());
    }
    let mut differences = Vec::new();
    let said = wait::until("all statuses say so", LIMIT, || {
        differences = differ(&wrong, &conditions(mesh, &wrong).ok()?);
        differences.is_empty().then_some(())
    });
    ensure!(said.is_ok(), "{}", differences.join("\n"));
    mesh.forget(NAMESPACE)
}

/// The entries of which something else is said.
fn differ(entries: &[Entry], said: &[Vec<String>]) -> Vec<String> {
    let both = entries.iter().zip(said);
    let others =
        both.filter(|(entry, said)| !entry.status.iter().all(|wanted| catalogue::is_said(wanted, said)));
    others
        .map(|(entry, said)| format!("{}: {:#?} and not {said:#?}", entry.name(), entry.status))
        .collect()
}

/// What others refer to, and what has nothing to be told of.
fn is_given(entry: &Entry) -> bool {
    entry.title.first().is_some_and(|title| title == "Given")
}

fn placed(entry: &Entry) -> String {
    match is_given(entry) {
        true => entry
            .yaml
            .replace("namespace: shop", &format!("namespace: {NAMESPACE}")),
        false => entry.named(&entry.name(), NAMESPACE),
    }
}

/// What is said of each. Each kind is listed once: a `kubectl` for each object takes minutes.
fn conditions(mesh: &Mesh, entries: &[Entry]) -> Result<Vec<Vec<String>>> {
    let resources: BTreeSet<_> = entries.iter().map(Entry::resource).collect();
    let lists = resources.into_iter().map(|resource| {
        let list = mesh.kubectl.get(&[&resource, "-n", NAMESPACE])?;
        Ok((resource, list))
    });
    let lists: BTreeMap<_, _> = lists.collect::<Result<_>>()?;
    let said = entries.iter().map(|entry| {
        let mut items = lists[&entry.resource()]["items"].as_array().into_iter().flatten();
        let object = items.find(|item| item["metadata"]["name"] == entry.called().as_str());
        let object = object.with_context(|| format!("{} {}", entry.resource(), entry.called()))?;
        Ok(catalogue::conditions(&object["status"]))
    });
    said.collect()
}

fn shared(mesh: &mut Mesh) -> Result<()> {
    mesh.namespace(SHARED, "")?;
    mesh.kubectl.apply(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: cart, namespace: {SHARED}}}\nspec: {{ports: [{{port: 80}}]}}\n"
    ))?;
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "Said", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    // Somebody else's, and one of ours that an earlier writer left.
    let earlier = [condition(THEIRS), condition("istio.io/VisibilityApplied")];
    let patch = json!({"status": {"conditions": earlier}}).to_string();
    let status = ["patch", "service", "cart", "-n", SHARED, "--subresource=status"];
    mesh.kubectl
        .run(&[&status[..], &["--type=strategic", "-p", &patch]].concat())?;
    let label = |label: &str| {
        mesh.kubectl
            .run(&["label", "service", "cart", "-n", SHARED, label])
    };
    let wait = |wanted: &[&str]| {
        let what = format!("its conditions are {wanted:?}");
        let object = ["service", "cart", "-n", SHARED, "--show-managed-fields"];
        mesh.kubectl.wait(&what, &object, LIMIT, |service| {
            let conditions = service["status"]["conditions"].as_array()?;
            let mut kinds: Vec<_> = conditions.iter().filter_map(|c| c["type"].as_str()).collect();
            kinds.sort_unstable();
            (kinds == wanted).then(|| service["metadata"]["managedFields"].clone())
        })
    };
    label("istio.io/use-waypoint=nobody")?;
    let managers = wait(&[THEIRS, "istio.io/WaypointBound"])?;
    let applies = |manager: &Value| manager["manager"] == "lateen-status" && manager["operation"] == "Apply";
    let managers = managers.as_array().map_or(&[][..], Vec::as_slice);
    ensure!(managers.iter().any(applies), "nobody applied it: {managers:?}");
    label("istio.io/use-waypoint-")?;
    wait(&[THEIRS])?;
    mesh.forget(SHARED)
}

const NAMESPACE: &str = "catalogue";
const SHARED: &str = "shared";
const THEIRS: &str = "example.com/Seen";
const SETTLED: Duration = Duration::from_secs(30);
