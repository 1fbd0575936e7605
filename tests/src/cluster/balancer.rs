//! The cloud's part: Services of type LoadBalancer get an address of the wire, which the first node answers for.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::process::{Child, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use serde_json::{Deserializer, Value, json};

use super::kubectl::Kubectl;
use super::plan;
use crate::ip::Namespace;

/// The running controller; dropping it ends it.
#[derive(Debug)]
pub(super) struct Balancer {
    watch: Child,
    thread: Option<JoinHandle<()>>,
}

impl Balancer {
    /// Watches Services. `clients` is the namespace whose programs are to reach the addresses.
    pub(super) fn start(kubectl: Kubectl, clients: Namespace) -> Result<Self> {
        let mut command = kubectl.command(&["get", "services", "-A", "--watch", "-o", "json"]);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null());
        let mut watch = command.spawn().context("kubectl get --watch")?;
        let events = watch.stdout.take().context("kubectl's output")?;
        let thread = thread::Builder::new()
            .name("load-balancer".into())
            .spawn(move || {
                let mut given = BTreeMap::new();
                for service in Deserializer::from_reader(BufReader::new(events))
                    .into_iter::<Value>()
                    .flatten()
                {
                    if let Err(error) = serve(&service, &mut given, &kubectl, &clients) {
                        eprintln!("load balancer: {error:#}");
                    }
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
        drop(self.watch.kill());
        drop(self.watch.wait());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
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
