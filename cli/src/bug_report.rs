//! What is to be known of a mesh that is not well, in one archive: objects, statuses, configurations, logs. No secrets.
//!
//! # Layout
//! - this file: what is gathered. [`redact`]: takes out what is nobody's business (pure). [`archive`]: the archive (pure).
//!   `window`: cuts logs (pure).

pub mod archive;
pub mod redact;
mod window;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use controlplane_index::MeshConfig;
use controlplane_kube::resources::{Need, WATCHED};
use mesh_kube::{KubeClient, Resource};
use serde_json::Value;

use crate::analyze;
use crate::args::{BugReportArgs, Namespaces};
use crate::ask;
use crate::ask::cluster::{Asked, Pod};
use crate::check::counted;
use crate::install::{Target, Task, output};
use crate::objects::{PODS, list, understood};
use crate::output::Format;
use window::Window;

/// What is gathered: files by their names in the archive.
#[derive(Clone, Debug, Default)]
pub struct Report {
    files: BTreeMap<String, String>,
    /// What could not be asked, one line each.
    missing: Vec<String>,
}

/// Gathers and writes the archive.
///
/// # Errors
/// Fails when the archive cannot be written. What cannot be asked is named in it.
pub async fn write(cluster: &Asked, args: &BugReportArgs, target: &Target<'_>) -> anyhow::Result<()> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs();
    let parent = args
        .archive
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        bail!(
            "--archive {}: there is no directory {}",
            args.archive.display(),
            parent.display()
        );
    }
    let mut report = Report::default();
    tell("objects");
    objects(cluster.client(), cluster.system(), &args.namespaces, &mut report).await;
    tell("the release");
    let release = output(Task::Installed(&args.release), target).await;
    report.take("release.yaml", release.map_err(Into::into));
    tell("what lateen analyze says");
    analysis(cluster, &args.namespaces, &mut report).await;
    tell("pages of the parts");
    pages(cluster, &args.namespaces, &mut report).await;
    tell("logs");
    let window = Window::ago(now, args.since, args.until);
    logs(cluster, &window, &args.namespaces, &mut report).await;
    let missing = report.missing.len();
    let count = report.files.len();
    if let (0, Some(why)) = (count, report.missing.first()) {
        bail!("nobody could be asked, and nothing was written: {why}");
    }
    let name = || args.archive.display().to_string();
    let packed = archive::pack(&report.redacted(), now).with_context(name)?;
    std::fs::write(&args.archive, packed).with_context(name)?;
    crate::say(&format!(
        "{}: {}; look through it before you hand it on",
        name(),
        counted(count, "file")
    ))?;
    if missing > 0 {
        crate::say(&format!(
            "{} could not be asked; missing.txt in it says what",
            counted(missing, "part")
        ))?;
    }
    Ok(())
}

impl Report {
    fn take(&mut self, name: &str, found: anyhow::Result<String>) {
        match found {
            Ok(text) => drop(self.files.insert(name.to_owned(), text)),
            Err(why) => self.missing.push(format!("{name}: {why:#}")),
        }
    }

    fn page(&mut self, pod: &Pod, path: &str, page: anyhow::Result<Vec<u8>>) {
        let name = format!("pages/{}{}.txt", pod.shown(), path.replace('/', "_"));
        self.take(
            &name,
            page.map(|page| String::from_utf8_lossy(&page).into_owned()),
        );
    }

    /// The files, without secrets.
    #[must_use]
    pub fn redacted(&self) -> BTreeMap<String, String> {
        let mut files = self.files.clone();
        let mut about = vec![format!("lateen {}", env!("CARGO_PKG_VERSION"))];
        about.push(
            "Secrets were not asked for; what looks like one was taken out of everything else.".to_owned(),
        );
        about.push(
            "analysis.json was made without Secrets: that one is not there is said of all that refer to one."
                .to_owned(),
        );
        files.insert("about.txt".to_owned(), about.join("\n"));
        files.insert("missing.txt".to_owned(), self.missing.join("\n"));
        files
            .into_iter()
            .map(|(name, text)| (name, redact::text(&text)))
            .collect()
    }
}

/// Everything that the control plane reads but Secrets, and what the mesh itself is made of.
async fn objects(client: &KubeClient, system: &str, namespaces: &Namespaces, report: &mut Report) {
    for watched in WATCHED.iter().filter(|watched| watched.need == Need::Always) {
        let name = format!("objects/{}.json", watched.plural);
        let served = match client
            .served_versions(watched.group().name(), watched.plural)
            .await
        {
            Ok(served) => served,
            Err(why) => {
                report.missing.push(format!("{name}: {why}"));
                continue;
            }
        };
        let Some(version) = watched.version(&served) else {
            continue;
        };
        let all = list(client, &watched.resource(version), None, None).await;
        report.take(&name, all.and_then(|all| shown(all, system, namespaces)));
    }
    for resource in [&DEPLOYMENTS, &DAEMONSETS, &NETWORK_POLICIES, &EVENTS] {
        let name = format!("objects/{}.json", resource.plural);
        let all = list(client, resource, None, None).await;
        report.take(&name, all.and_then(|all| shown(all, system, namespaces)));
    }
}

/// Objects as text, without what is not the mesh's business.
fn shown(all: Vec<Value>, system: &str, namespaces: &Namespaces) -> anyhow::Result<String> {
    let mut kept: Vec<Value> = Vec::new();
    for mut object in all {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        if namespaces.take(namespace, system) && redact::object(&mut object, system) {
            kept.push(object);
        }
    }
    Ok(serde_json::to_string_pretty(&kept)?)
}

/// What analysis finds, of the namespaces that are wanted. Where a running mesh does not show itself, its objects still do.
async fn analysis(cluster: &Asked, namespaces: &Namespaces, report: &mut Report) {
    const NAME: &str = "analysis.json";
    let system = cluster.system();
    let config = MeshConfig {
        root_namespace: system.into(),
        ..MeshConfig::default()
    };
    let objects = match understood::objects_without_secrets(cluster.client()).await {
        Ok(objects) => objects,
        Err(why) => return report.missing.push(format!("{NAME}: {why:#}")),
    };
    let mut found = analyze::analyze(&objects, &config);
    match analyze::cluster::look(cluster).await {
        Ok(seen) => found.add(analyze::live::judge(&seen, &objects, &config)),
        Err(why) => report
            .missing
            .push(format!("{NAME}: of the mesh as it runs: {why:#}")),
    }
    let found = found.within(|namespace| namespaces.take(namespace, system));
    report.take(NAME, found.view().text(Format::Json));
}

async fn pages(cluster: &Asked, namespaces: &Namespaces, report: &mut Report) {
    let control = ["/debug/syncz", "/debug/registrations", "/status", "/metrics"];
    of_each(
        cluster,
        cluster.control_planes().await,
        ask::MONITORING,
        &control,
        report,
    )
    .await;
    of_each(
        cluster,
        cluster.ztunnels().await,
        ask::ADMIN,
        &["/config_dump"],
        report,
    )
    .await;
    of_agents(cluster, report).await;
    let mut waypoints = cluster.waypoints().await;
    if let Ok(pods) = &mut waypoints {
        pods.retain(|pod| namespaces.take(&pod.name().namespace, cluster.system()));
    }
    of_each(cluster, waypoints, ask::ADMIN, &["/config_dump"], report).await;
}

/// What an agent tells everybody, and what it tells on its own address only.
async fn of_agents(cluster: &Asked, report: &mut Report) {
    let agents = match cluster.agents().await {
        Ok(agents) => agents,
        Err(why) => return report.missing.push(format!("{why:#}")),
    };
    for agent in &agents {
        for path in ["/pods", "/connections"] {
            let page = cluster.agents_page(agent, path).await;
            report.page(agent, path, page);
        }
    }
    of_each(cluster, Ok(agents), ask::MONITORING, &["/metrics"], report).await;
}

async fn of_each(
    cluster: &Asked,
    pods: anyhow::Result<Vec<Pod>>,
    port: u16,
    paths: &[&str],
    report: &mut Report,
) {
    let pods = match pods {
        Ok(pods) => pods,
        Err(why) => return report.missing.push(format!("{why:#}")),
    };
    for pod in pods {
        for path in paths {
            let page = cluster.page(&pod, port, path).await;
            report.page(&pod, path, page);
        }
    }
}

/// Of every container of the mesh, and of what it was before it was restarted.
async fn logs(cluster: &Asked, window: &Window, namespaces: &Namespaces, report: &mut Report) {
    let client = cluster.client();
    let mut pods = Vec::new();
    for (namespace, label) in [
        (Some(cluster.system()), "app.kubernetes.io/part-of=lateen"),
        (None, "gateway.istio.io/managed"),
    ] {
        match list(client, &PODS, namespace, Some(label)).await {
            Ok(found) => pods.extend(found),
            Err(why) => report.missing.push(format!("logs: {why:#}")),
        }
    }
    let system = cluster.system();
    pods.retain(|pod| namespaces.take(pod["metadata"]["namespace"].as_str().unwrap_or_default(), system));
    for pod in pods {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (
            text(&pod["metadata"]["namespace"]),
            text(&pod["metadata"]["name"]),
        );
        let containers = pod["status"]["containerStatuses"].as_array();
        for container in containers.into_iter().flatten() {
            let of = text(&container["name"]);
            let restarted = container["restartCount"].as_u64().unwrap_or(0) > 0;
            for (previous, ending) in [(false, "log"), (true, "previous.log")] {
                if previous && !restarted {
                    continue;
                }
                let path = format!(
                    "/api/v1/namespaces/{namespace}/pods/{name}/log?container={of}&sinceSeconds={}&previous={previous}\
                     &timestamps=true&limitBytes={MOST_LOG}",
                    window.since()
                );
                let said = client.text(&path).await.map_err(Into::into);
                let said = said.map(|said| window.cut(&said));
                report.take(&format!("logs/{name}.{namespace}/{of}.{ending}"), said);
            }
        }
    }
}

/// Progress is for people.
fn tell(what: &str) {
    // Nobody is left to tell where this cannot be written.
    let _ = writeln!(io::stderr(), "gathering {what}");
}

/// Bytes of one container's log.
const MOST_LOG: u32 = 10_000_000;
static DEPLOYMENTS: Resource = Resource::namespaced("apps", "v1", "deployments", "Deployment");
static DAEMONSETS: Resource = Resource::namespaced("apps", "v1", "daemonsets", "DaemonSet");
static NETWORK_POLICIES: Resource =
    Resource::namespaced("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy");
static EVENTS: Resource = Resource::namespaced("", "v1", "events", "Event");

#[cfg(test)]
mod tests;
