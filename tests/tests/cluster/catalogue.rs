//! The catalogue of objects that are wrong, on a cluster with the mesh: what the API server takes all the same has a status that
//! says what is wrong, and what counts.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
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
    let update = std::env::var_os("LATEEN_UPDATE").is_some();
    if update {
        // There is nothing to wait for yet: what is said by then is read by whoever writes it down.
        thread::sleep(SETTLED);
    }
    let mut wrong = Vec::new();
    for entry in entries.iter_mut().filter(|entry| !is_given(entry)) {
        if update {
            entry.status = conditions(mesh, entry)?;
            continue;
        }
        ensure!(
            !entry.status.is_empty(),
            "{}: the catalogue has no status",
            entry.name()
        );
        let mut last = Vec::new();
        let said = wait::until("its status says so", LIMIT, || {
            last = conditions(mesh, entry).ok()?;
            let all = entry
                .status
                .iter()
                .all(|wanted| catalogue::is_said(wanted, &last));
            all.then_some(())
        });
        if said.is_err() {
            wrong.push(format!("{}: {:#?} and not {last:#?}", entry.name(), entry.status));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    if update {
        catalogue::write(&entries)?;
    }
    mesh.forget(NAMESPACE)
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

fn conditions(mesh: &Mesh, entry: &Entry) -> Result<Vec<String>> {
    let object: Value = mesh
        .kubectl
        .get(&[&entry.resource(), &entry.called(), "-n", NAMESPACE])?;
    Ok(catalogue::conditions(&object["status"]))
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
