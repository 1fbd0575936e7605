//! The cloud's part: Services of type LoadBalancer get an address of the wire, which the first node answers for, and give it back
//! when they go or become of another type.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use parking_lot::Mutex;
use serde_json::{Deserializer, Value, json};

use super::kubectl::Kubectl;
use super::plan;
use crate::ip::Namespace;

/// The running controller; dropping it ends it.
#[derive(Debug)]
pub(super) struct Balancer {
    watch: Arc<Mutex<Watch>>,
    thread: Option<JoinHandle<()>>,
}

/// The command that watches. It ends whenever the API server does, and is started again.
#[derive(Debug, Default)]
struct Watch {
    stopped: bool,
    command: Option<Child>,
}

impl Balancer {
    /// Watches Services. `clients` is the namespace whose programs are to reach the addresses.
    pub(super) fn start(kubectl: Kubectl, clients: Namespace) -> Result<Self> {
        let watch = Arc::new(Mutex::new(Watch::default()));
        let ours = Arc::clone(&watch);
        let thread = thread::Builder::new()
            .name("load-balancer".into())
            .spawn(move || {
                let mut given = Given::default();
                while let Some(events) = next(&ours, &kubectl) {
                    // A new watch begins with all that are there, and does not say which ones went meanwhile.
                    given.only(services(&kubectl).as_ref());
                    for event in Deserializer::from_reader(BufReader::new(events))
                        .into_iter::<Value>()
                        .flatten()
                    {
                        if let Err(error) = serve(&event, &mut given, &kubectl, &clients) {
                            eprintln!("load balancer: {error:#}");
                        }
                    }
                    thread::sleep(AGAIN);
                }
            })?;
        Ok(Self {
            watch,
            thread: Some(thread),
        })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let mut watch = self.watch.lock();
        watch.stopped = true;
        if let Some(command) = &mut watch.command {
            drop(command.kill());
            drop(command.wait());
        }
        drop(watch);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What a new watch prints; nothing once the controller is to end.
fn next(watch: &Mutex<Watch>, kubectl: &Kubectl) -> Option<ChildStdout> {
    let mut watch = watch.lock();
    if let Some(mut ended) = watch.command.take() {
        drop(ended.kill());
        drop(ended.wait());
    }
    if watch.stopped {
        return None;
    }
    let mut command = kubectl.command(&[
        "get",
        "services",
        "-A",
        "--watch",
        "--output-watch-events",
        "-o",
        "json",
    ]);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .stdin(Stdio::null());
    let mut command = command.spawn().ok()?;
    let events = command.stdout.take();
    watch.command = Some(command);
    events
}

/// The Services that are there; nothing while the API server does not say.
fn services(kubectl: &Kubectl) -> Option<BTreeSet<String>> {
    let list = kubectl.get(&["services", "-A"]).ok()?;
    Some(list["items"].as_array()?.iter().filter_map(name).collect())
}

fn serve(event: &Value, given: &mut Given, kubectl: &Kubectl, clients: &Namespace) -> Result<()> {
    let service = &event["object"];
    let Some(name) = name(service) else {
        return Ok(());
    };
    if event["type"] == "DELETED" || service["spec"]["type"] != "LoadBalancer" {
        given.give_back(&name);
        return Ok(());
    }
    if !waits(service) {
        return Ok(());
    }
    let address = plan::load_balancer(given.give(&name).context("all addresses are taken")?);
    // Each node translates it; from elsewhere it goes to the first one.
    clients.ip(&format!("route replace {address}/32 via {}", plan::node_v4(0)))?;
    let status =
        json!({"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}).to_string();
    let (namespace, name) = name.split_once('/').context("a name")?;
    let patch = [
        "patch",
        "service",
        name,
        "-n",
        namespace,
        "--subresource=status",
        "--type=merge",
        "-p",
        &status,
    ];
    kubectl.run(&patch).map(drop)
}

/// Who has which address.
#[derive(Debug, Default)]
struct Given(BTreeMap<String, u8>);

impl Given {
    /// The address of a Service: the one that it has, or the first that nobody has.
    fn give(&mut self, service: &str) -> Option<u8> {
        if let Some(index) = self.0.get(service) {
            return Some(*index);
        }
        let free =
            (0..plan::LOAD_BALANCER_ADDRESSES).find(|index| !self.0.values().any(|taken| taken == index))?;
        self.0.insert(service.to_owned(), free);
        Some(free)
    }

    fn give_back(&mut self, service: &str) {
        self.0.remove(service);
    }

    /// Takes back what Services had that are not there any more.
    fn only(&mut self, services: Option<&BTreeSet<String>>) {
        if let Some(services) = services {
            self.0.retain(|service, _| services.contains(service));
        }
    }
}

/// `<namespace>/<name>`
fn name(service: &Value) -> Option<String> {
    let metadata = &service["metadata"];
    let (namespace, name) = (metadata["namespace"].as_str()?, metadata["name"].as_str()?);
    Some(format!("{namespace}/{name}"))
}

/// Whether a Service of that type has no address yet, and is to have one.
fn waits(service: &Value) -> bool {
    let has = service["status"]["loadBalancer"]["ingress"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    service["metadata"]["deletionTimestamp"].is_null() && !has
}

const AGAIN: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests;
