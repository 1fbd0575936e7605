//! The cloud's part: Services of type LoadBalancer get an address of the wire, which the first node answers for.

use std::collections::BTreeMap;
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
                let mut given = BTreeMap::new();
                while let Some(events) = next(&ours, &kubectl) {
                    for service in Deserializer::from_reader(BufReader::new(events))
                        .into_iter::<Value>()
                        .flatten()
                    {
                        if let Err(error) = serve(&service, &mut given, &kubectl, &clients) {
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
    let mut command = kubectl.command(&["get", "services", "-A", "--watch", "-o", "json"]);
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .stdin(Stdio::null());
    let mut command = command.spawn().ok()?;
    let events = command.stdout.take();
    watch.command = Some(command);
    events
}

fn serve(
    service: &Value,
    given: &mut BTreeMap<String, u8>,
    kubectl: &Kubectl,
    clients: &Namespace,
) -> Result<()> {
    let Some((namespace, name)) = waits(service) else {
        return Ok(());
    };
    let next = u8::try_from(given.len()).context("all addresses are taken")?;
    let index = *given.entry(format!("{namespace}/{name}")).or_insert(next);
    let address = plan::load_balancer(index);
    // Each node translates it; from elsewhere it goes to the first one.
    clients.ip(&format!("route replace {address}/32 via {}", plan::node_v4(0)))?;
    let status =
        json!({"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}}).to_string();
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

/// A Service of that type without an address.
fn waits(service: &Value) -> Option<(&str, &str)> {
    let asked =
        service["spec"]["type"] == "LoadBalancer" && service["metadata"]["deletionTimestamp"].is_null();
    let has = service["status"]["loadBalancer"]["ingress"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    let metadata = &service["metadata"];
    (asked && !has).then_some((metadata["namespace"].as_str()?, metadata["name"].as_str()?))
}

const AGAIN: Duration = Duration::from_millis(200);
