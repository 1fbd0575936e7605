//! What a node's proxy knows (`/config_dump`, in the shape that upstream's and ours share), and what passes it by. Pure.
//!
//! # Layout
//! - this file: the page, and its parts as tables. [`older`]: connections that are older than their pod's enrolment.

pub mod older;

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::Value;

use crate::output::{Table, View, list};
use crate::validate::or_dash;
use older::Older;

/// What of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Everything that can be called.
    Workloads,
    /// Services and their endpoints.
    Services,
    /// Authorization policies.
    Policies,
    /// Identities and their certificates.
    Certificates,
    /// What is open at present, of each pod of the node.
    Connections,
    /// All of it; data only.
    All,
    /// What it logs; --level and --reset change that.
    Log,
}

/// Which of them.
#[derive(Clone, Debug, Default, Args)]
pub struct Filter {
    /// Only those of this namespace.
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Only those of this name.
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Only workloads of this node.
    #[arg(long, value_name = "NODE")]
    pub workload_node: Option<String>,
}

/// The page.
#[derive(Clone, Debug)]
pub struct Dump {
    shown: Shown,
    data: Value,
    older: Older,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    workloads: Vec<Workload>,
    services: Vec<Service>,
    policies: Vec<Policy>,
    #[serde(default)]
    certificates: Vec<Certificate>,
    #[serde(default)]
    workload_state: BTreeMap<String, Pod>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Workload {
    name: String,
    namespace: String,
    #[serde(default)]
    workload_ips: Vec<String>,
    #[serde(default)]
    node: String,
    #[serde(default)]
    waypoint: Option<Gateway>,
    protocol: String,
    #[serde(default)]
    status: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Gateway {
    destination: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Service {
    name: String,
    namespace: String,
    #[serde(default)]
    vips: Vec<String>,
    #[serde(default)]
    waypoint: Option<Gateway>,
    #[serde(default)]
    endpoints: BTreeMap<String, Endpoint>,
}

#[derive(Clone, Debug, Deserialize)]
struct Endpoint {
    #[serde(default)]
    status: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Policy {
    name: String,
    namespace: String,
    scope: String,
    action: String,
    #[serde(default)]
    rules: Vec<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    identity: String,
    state: String,
    #[serde(default)]
    cert_chain: Vec<Shard>,
    #[serde(default)]
    root_certs: Vec<Shard>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shard {
    serial_number: String,
    valid_from: String,
    expiration_time: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Pod {
    #[serde(default)]
    connections: Option<Connections>,
    info: PodInfo,
}

#[derive(Clone, Debug, Deserialize)]
struct PodInfo {
    name: String,
    namespace: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Connections {
    #[serde(default)]
    inbound: Vec<Connection>,
    #[serde(default)]
    outbound: Vec<Connection>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    #[serde(default)]
    src: String,
    #[serde(default)]
    original_dst: String,
    #[serde(default)]
    actual_dst: String,
}

/// What proxies said of their logs.
#[must_use]
pub fn logs(said: &[(String, String)]) -> View {
    let mut table = Table::new(["PROXY", "LOGS"]);
    for (proxy, said) in said {
        // A line of words, and then the filters.
        let filters: Vec<&str> = said
            .lines()
            .skip(1)
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        table.row([proxy.clone(), filters.join(" ")]);
    }
    let data = said
        .iter()
        .map(|(proxy, said)| (proxy.clone(), Value::from(said.as_str())));
    View {
        table,
        data: Value::Object(data.collect()),
    }
}

impl Dump {
    /// Reads the page.
    ///
    /// # Errors
    /// Fails when it is another one.
    pub fn read(page: &Value) -> Result<Self, serde_json::Error> {
        Ok(Self {
            shown: Shown::deserialize(page)?,
            data: page.clone(),
            older: Older::default(),
        })
    }

    /// The same, with what the node agent says of connections that pass the proxy by.
    #[must_use]
    pub fn with(mut self, older: Older) -> Self {
        self.older = older;
        self
    }

    /// A part of it, for people and programs.
    #[must_use]
    pub fn view(&self, what: What, filter: &Filter) -> View {
        let table = match what {
            What::Workloads => self.workloads(filter),
            What::Services => self.services(filter),
            What::Policies => self.policies(filter),
            What::Certificates => self.certificates(filter),
            What::Connections => self.connections(filter),
            What::All | What::Log => self.counts(filter),
        };
        View {
            table,
            data: self.data(what, filter),
        }
    }

    fn data(&self, what: What, filter: &Filter) -> Value {
        let part = |key: &str| self.data.get(key).map(|part| filter.part(key, part));
        let key = match what {
            What::Workloads => WORKLOADS,
            What::Services => "services",
            What::Policies => "policies",
            What::Certificates => CERTIFICATES,
            What::Connections => {
                let mut pods = part(PODS).unwrap_or_else(|| Value::Object(serde_json::Map::new()));
                self.older.add_to(&mut pods, filter, &self.names());
                return pods;
            }
            What::All | What::Log => {
                let mut all = self.data.clone();
                for (key, value) in all.as_object_mut().into_iter().flatten() {
                    *value = filter.part(key, value);
                }
                return all;
            }
        };
        part(key).unwrap_or_default()
    }

    fn workloads(&self, filter: &Filter) -> Table {
        let mut table = Table::new([
            "NAMESPACE",
            "POD NAME",
            "ADDRESS",
            "NODE",
            "WAYPOINT",
            "PROTOCOL",
            "STATUS",
        ])
        .or("the proxy knows of no such workload");
        for workload in &self.shown.workloads {
            if filter.takes(&workload.namespace, &workload.name) && filter.takes_node(&workload.node) {
                table.row([
                    workload.namespace.clone(),
                    workload.name.clone(),
                    list(&workload.workload_ips),
                    or_dash(&workload.node),
                    Gateway::cell(workload.waypoint.as_ref()),
                    workload.protocol.clone(),
                    or_dash(&workload.status),
                ]);
            }
        }
        table
    }

    fn services(&self, filter: &Filter) -> Table {
        let mut table = Table::new([
            "NAMESPACE",
            "SERVICE NAME",
            "SERVICE VIP",
            "WAYPOINT",
            "ENDPOINTS",
        ])
        .or("the proxy knows of no such service");
        for service in &self.shown.services {
            if filter.takes(&service.namespace, &service.name) {
                let healthy = service
                    .endpoints
                    .values()
                    .filter(|endpoint| endpoint.status != "Unhealthy");
                table.row([
                    service.namespace.clone(),
                    service.name.clone(),
                    list(&service.vips),
                    Gateway::cell(service.waypoint.as_ref()),
                    format!("{}/{}", healthy.count(), service.endpoints.len()),
                ]);
            }
        }
        table
    }

    fn policies(&self, filter: &Filter) -> Table {
        let mut table = Table::new(["NAMESPACE", "POLICY NAME", "ACTION", "SCOPE", "RULES"])
            .or("the proxy knows of no such policy");
        for policy in &self.shown.policies {
            if filter.takes(&policy.namespace, &policy.name) {
                table.row([
                    policy.namespace.clone(),
                    policy.name.clone(),
                    policy.action.clone(),
                    policy.scope.clone(),
                    policy.rules.len().to_string(),
                ]);
            }
        }
        table
    }

    fn certificates(&self, filter: &Filter) -> Table {
        let mut table = Table::new([
            "CERTIFICATE NAME",
            "TYPE",
            "STATUS",
            "SERIAL NUMBER",
            "NOT AFTER",
            "NOT BEFORE",
        ])
        .or("the proxy holds no such certificate");
        for certificate in &self.shown.certificates {
            if !filter.takes_identity(&certificate.identity) {
                continue;
            }
            let leaf = certificate
                .cert_chain
                .iter()
                .take(1)
                .map(|shard| ("Leaf", Some(shard)));
            let roots = certificate.root_certs.iter().map(|shard| ("Root", Some(shard)));
            let mut rows: Vec<_> = leaf.chain(roots).collect();
            if rows.is_empty() {
                rows.push(("-", None));
            }
            for (kind, shard) in rows {
                let cell = |part: fn(&Shard) -> &str| shard.map_or("-", part).to_owned();
                table.row([
                    certificate.identity.clone(),
                    kind.to_owned(),
                    certificate.state.clone(),
                    cell(|shard| &shard.serial_number),
                    cell(|shard| &shard.expiration_time),
                    cell(|shard| &shard.valid_from),
                ]);
            }
        }
        table
    }

    fn connections(&self, filter: &Filter) -> Table {
        let mut table = Table::new(["WORKLOAD", "DIRECTION", "LOCAL", "REMOTE", "REMOTE TARGET"])
            .or("no such connection is open");
        for pod in self.shown.workload_state.values() {
            let Some(connections) = &pod.connections else {
                continue;
            };
            if !filter.takes(&pod.info.namespace, &pod.info.name) {
                continue;
            }
            let workload = format!("{}.{}", pod.info.name, pod.info.namespace);
            for connection in &connections.inbound {
                table.row([
                    workload.clone(),
                    "Inbound".to_owned(),
                    or_dash(&connection.actual_dst),
                    or_dash(&connection.src),
                    or_dash(&connection.original_dst),
                ]);
            }
            for connection in &connections.outbound {
                table.row([
                    workload.clone(),
                    "Outbound".to_owned(),
                    or_dash(&connection.src),
                    or_dash(&connection.actual_dst),
                    or_dash(&connection.original_dst),
                ]);
            }
        }
        self.older.rows(&mut table, filter, &self.names());
        table
    }

    /// The pods of the node, by the uids that the runtime gave them.
    fn names(&self) -> BTreeMap<String, PodInfo> {
        let pods = self.shown.workload_state.iter();
        pods.map(|(uid, pod)| (uid.clone(), pod.info.clone())).collect()
    }

    fn counts(&self, filter: &Filter) -> Table {
        let mut table = Table::new(["WHAT", "COUNT"]);
        for (what, key) in [
            ("workloads", WORKLOADS),
            ("services", "services"),
            ("policies", "policies"),
            ("certificates", CERTIFICATES),
            ("pods of the node", PODS),
        ] {
            let count = match self.data.get(key).map(|part| filter.part(key, part)) {
                Some(Value::Array(items)) => items.len(),
                Some(Value::Object(items)) => items.len(),
                _ => 0,
            };
            table.row([what.to_owned(), count.to_string()]);
        }
        table.foot("-o json or -o yaml shows all of it");
        table
    }
}

impl Gateway {
    fn cell(gateway: Option<&Self>) -> String {
        gateway.map_or_else(|| "None".to_owned(), |gateway| gateway.destination.clone())
    }
}

impl Filter {
    /// Whether it names anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.namespace.is_none() && self.name.is_none() && self.workload_node.is_none()
    }

    /// What is chosen of a part of the page.
    fn part(&self, key: &str, part: &Value) -> Value {
        match part {
            Value::Array(items) if FILTERED.contains(&key) => {
                let chosen = items.iter().filter(|item| self.takes_item(key, item));
                chosen.cloned().collect()
            }
            Value::Object(pods) if key == PODS => {
                let chosen = pods.iter().filter(|(_, pod)| {
                    self.takes(text(&pod["info"], "namespace"), text(&pod["info"], "name"))
                });
                Value::Object(chosen.map(|(uid, pod)| (uid.clone(), pod.clone())).collect())
            }
            part => part.clone(),
        }
    }

    fn takes_item(&self, key: &str, item: &Value) -> bool {
        match key {
            CERTIFICATES => self.takes_identity(text(item, "identity")),
            WORKLOADS => {
                self.takes(text(item, "namespace"), text(item, "name")) && self.takes_node(text(item, "node"))
            }
            _ => self.takes(text(item, "namespace"), text(item, "name")),
        }
    }

    fn takes(&self, namespace: &str, name: &str) -> bool {
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
            && self.name.as_deref().is_none_or(|wanted| wanted == name)
    }

    fn takes_node(&self, node: &str) -> bool {
        self.workload_node.as_deref().is_none_or(|wanted| wanted == node)
    }

    /// `spiffe://<trust domain>/ns/<namespace>/sa/<name>`.
    fn takes_identity(&self, identity: &str) -> bool {
        let mut parts = identity.rsplit('/');
        let name = parts.next().unwrap_or_default();
        let namespace = parts.nth(1).unwrap_or_default();
        self.takes(namespace, name)
    }
}

fn text<'a>(item: &'a Value, key: &str) -> &'a str {
    item.get(key).and_then(Value::as_str).unwrap_or_default()
}

const WORKLOADS: &str = "workloads";
const CERTIFICATES: &str = "certificates";
/// The pods of the node, by their uids.
const PODS: &str = "workloadState";
/// Lists whose items have a name and a namespace, or an identity.
const FILTERED: [&str; 4] = [WORKLOADS, "services", "policies", CERTIFICATES];

#[cfg(test)]
mod tests;
