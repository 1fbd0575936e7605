//! How each proxy stands with the control plane (`/debug/syncz`), and how long its certificates are good. Pure.
//!
//! # Layout
//! - this file: what was sent, taken and refused. [`lifetimes`]: certificates. [`absent`]: who runs and is not connected.

pub mod absent;
pub mod lifetimes;

use std::collections::BTreeMap;

use absent::Running;
use lifetimes::Lifetimes;
use mesh_kube::ObjectName;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clock::{seconds, span};
use crate::output::{Table, View};

/// Every proxy that is connected, and those that should be.
#[derive(Clone, Debug)]
pub struct Status {
    proxies: Vec<Proxy>,
    /// Who runs and is not connected; or why that is not known.
    absent: Result<Vec<Running>, String>,
    data: Value,
    certificates: Certificates,
}

/// What proxies said of their certificates, and when.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// By the proxy's name, `<name>.<namespace>`.
    pub of: BTreeMap<String, Lifetimes>,
    /// Why nobody else was asked.
    pub others: String,
    /// Seconds since 1970.
    pub now: i64,
}

#[derive(Clone, Debug, Deserialize)]
struct Proxy {
    node: Option<Node>,
    subscriptions: Vec<Subscription>,
    /// By type; what istiod's page says, too.
    #[serde(default)]
    resources: BTreeMap<String, Pushed>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pushed {
    #[serde(default)]
    sent_time: Option<String>,
    #[serde(default)]
    last_refusal_time: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Node {
    kind: String,
    name: String,
    namespace: String,
    node: String,
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Deserialize)]
struct Subscription {
    type_url: String,
    /// Control planes of before do not say it.
    #[serde(default)]
    published: u64,
    sent: u64,
    acknowledged: u64,
    outstanding: bool,
    refusals: u64,
    /// What it refuses still.
    refused: Option<String>,
    #[serde(default)]
    last_refusal: Option<Refusal>,
}

#[derive(Clone, Debug, Deserialize)]
struct Refusal {
    message: String,
}

/// How a proxy stands with one type; the words are Istio's, but for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Synced,
    /// There never was anything of the type for it, and it was told so: all is well.
    Empty,
    Stale,
    NotSent,
    Refused,
}

impl Status {
    /// Reads the page.
    ///
    /// # Errors
    /// Fails when it is another one.
    pub fn read(page: &Value) -> Result<Self, serde_json::Error> {
        let mut proxies = Vec::<Proxy>::deserialize(page)?;
        proxies.sort_by_key(Proxy::name);
        Ok(Self {
            proxies,
            absent: Ok(Vec::new()),
            data: page.clone(),
            certificates: Certificates::default(),
        })
    }

    /// The same, with what proxies said of their certificates.
    #[must_use]
    pub fn with(mut self, certificates: Certificates) -> Self {
        self.certificates = certificates;
        self
    }

    /// The same, beside the proxies that run, or why they are not known. `now` is in seconds since 1970.
    #[must_use]
    pub fn beside(mut self, running: Result<Vec<Running>, String>, now: i64) -> Self {
        self.absent = running.map(|mut running| {
            running.retain(|one| one.had_time(now) && !self.names().any(|name| name == one.name));
            running.sort_by(|a, b| a.name.cmp(&b.name));
            running
        });
        self
    }

    /// Those that run and are not connected.
    #[must_use]
    pub fn absent(&self) -> &[Running] {
        self.absent.as_deref().unwrap_or_default()
    }

    /// The proxies that are connected, by the names that they said.
    pub fn names(&self) -> impl Iterator<Item = ObjectName> {
        let nodes = self.proxies.iter().filter_map(|proxy| proxy.node.as_ref());
        nodes.map(|node| ObjectName::new(&node.namespace, &node.name))
    }

    /// The names of the proxies that say that they carry out this Gateway.
    #[must_use]
    pub fn of_gateway(&self, gateway: &ObjectName) -> Vec<String> {
        let nodes = self.proxies.iter().filter_map(|proxy| proxy.node.as_ref());
        let mut names: Vec<String> = nodes
            .filter(|node| node.namespace == gateway.namespace)
            .filter(|node| {
                node.metadata
                    .get(GATEWAY_NAME)
                    .is_some_and(|name| *name == *gateway.name)
            })
            .map(|node| node.name.clone())
            .collect();
        names.dedup();
        names
    }

    /// Whether all proxies are connected and take what they are sent, within some seconds, and none of their certificates has ended.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let Certificates { of, now, .. } = &self.certificates;
        let ended = of.values().any(|lifetimes| lifetimes.has_ended(*now));
        self.absent().is_empty() && !self.is_refused() && !self.is_silent() && !ended
    }

    fn is_silent(&self) -> bool {
        let now = self.certificates.now;
        let silent = |proxy: &Proxy| {
            let mut subscriptions = proxy.subscriptions.iter();
            subscriptions.any(|subscription| proxy.silence(subscription, now).is_some())
        };
        self.proxies.iter().any(silent)
    }

    /// Whether some proxy refuses what it was sent.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        let mut subscriptions = self.proxies.iter().flat_map(|proxy| &proxy.subscriptions);
        subscriptions.any(|subscription| subscription.refused.is_some())
    }

    /// What keeps a proxy, `<name>.<namespace>`, from having all that it should have; nothing where it has.
    #[must_use]
    pub fn trouble_of(&self, name: &str) -> Option<String> {
        let mut connected = self.proxies.iter().filter(|proxy| proxy.name() == name);
        let Some(proxy) = connected.next() else {
            return Some("is not connected to any replica of the control plane".to_owned());
        };
        if proxy.subscriptions.is_empty() {
            return Some("has not asked for anything yet".to_owned());
        }
        proxy
            .subscriptions
            .iter()
            .find_map(|subscription| subscription.trouble(proxy.standing(subscription)))
    }

    /// For people and programs.
    #[must_use]
    pub fn view(&self) -> View {
        let mut table = Table::new([
            "PROXY",
            "KIND",
            "NODE",
            "TYPE",
            "STATE",
            "SYNCED",
            "BEHIND",
            "REFUSALS",
            "LAST REFUSAL",
            "CERTIFICATE ENDS",
        ])
        .or("no proxy is connected");
        let Certificates { now, .. } = self.certificates;
        let mut some_are_empty = false;
        for proxy in &self.proxies {
            let lifetimes = self.lifetimes(&proxy.name());
            for subscription in &proxy.subscriptions {
                let node = proxy.node.as_ref();
                let standing = proxy.standing(subscription);
                some_are_empty |= standing == Standing::Empty;
                table.row([
                    proxy.name(),
                    node.map_or("-", |node| &node.kind).to_owned(),
                    node.map_or("-", |node| &node.node).to_owned(),
                    short(&subscription.type_url).to_owned(),
                    standing.as_str().to_owned(),
                    subscription.acknowledged.to_string(),
                    subscription.behind().to_string(),
                    subscription.refusals.to_string(),
                    proxy.last_refusal(subscription, now),
                    lifetimes.cell(now),
                ]);
                for line in proxy.remarks(subscription, now) {
                    table.foot(line);
                }
            }
        }
        for absent in self.absent() {
            let (name, kind, node) = (absent.shown(), absent.kind.as_str(), absent.node.as_str());
            let ends = self.lifetimes(&name).cell(now);
            let row = [&name, kind, node, "-", NOT_CONNECTED, "-", "-", "-", "-", &ends];
            table.row(row.map(str::to_owned));
            table.foot(absent.remark());
        }
        if let Err(why) = &self.absent {
            table.foot(format!(
                "whether others run that are not connected is not known: {why}"
            ));
        }
        if some_are_empty {
            table.foot("EMPTY: nothing of that type is meant for the proxy, and it was told so".to_owned());
        }
        let mut data = self.data.clone();
        for proxy in data.as_array_mut().into_iter().flatten() {
            let node = Node::deserialize(&proxy["node"]).ok();
            proxy["certificates"] = self.lifetimes(&name_of(node.as_ref())).data(now);
        }
        let absent = self.absent().iter();
        let absent = absent.map(|one| one.data(&self.lifetimes(&one.shown()), now));
        View {
            table,
            data: json!({ "proxies": data, "notConnected": absent.collect::<Vec<_>>() }),
        }
    }

    fn lifetimes(&self, name: &str) -> Lifetimes {
        let Certificates { of, others, .. } = &self.certificates;
        let known = of.get(name).cloned();
        known.unwrap_or_else(|| Lifetimes::Unknown(others.clone()))
    }
}

impl Proxy {
    fn name(&self) -> String {
        name_of(self.node.as_ref())
    }

    fn standing(&self, subscription: &Subscription) -> Standing {
        let pushed = self.resources.get(&subscription.type_url);
        if subscription.refused.is_some() {
            Standing::Refused
        } else if subscription.outstanding || subscription.behind() > 0 {
            Standing::Stale
        } else if subscription.sent > 0 {
            Standing::Synced
        } else if pushed.is_some_and(|pushed| pushed.sent_time.is_some()) {
            Standing::Empty
        } else {
            Standing::NotSent
        }
    }
}

impl Proxy {
    /// What is to be said below the table.
    fn remarks(&self, subscription: &Subscription, now: i64) -> Vec<String> {
        let (name, of) = (self.name(), short(&subscription.type_url));
        let refused = match (&subscription.refused, &subscription.last_refusal) {
            (Some(refused), _) => Some(format!("{name} refuses {of}: {refused}")),
            (None, Some(last)) => {
                let message = &last.message;
                Some(format!(
                    "{name} refused {of}, which has changed or gone since: {message}"
                ))
            }
            (None, None) => None,
        };
        let silent = self.silence(subscription, now).map(|since| {
            format!(
                "{name} has not answered what it was sent of {of} {} ago: kubectl logs of it say what it does",
                span(since)
            )
        });
        refused.into_iter().chain(silent).collect()
    }

    fn last_refusal(&self, subscription: &Subscription, now: i64) -> String {
        let pushed = self.resources.get(&subscription.type_url);
        let at = pushed.and_then(|pushed| seconds(pushed.last_refusal_time.as_deref()?));
        match at {
            Some(at) => format!("{} ago", span((now - at).max(0))),
            None => "-".to_owned(),
        }
    }

    /// For how many seconds it has not answered what it was sent; nothing where that is no time.
    fn silence(&self, subscription: &Subscription, now: i64) -> Option<i64> {
        let pushed = self.resources.get(&subscription.type_url)?;
        let since = now - seconds(pushed.sent_time.as_deref()?)?;
        (subscription.outstanding && since >= PATIENCE).then_some(since)
    }
}

fn name_of(node: Option<&Node>) -> String {
    match node {
        Some(node) => format!("{}.{}", node.name, node.namespace),
        None => "(has not said who it is)".to_owned(),
    }
}

impl Subscription {
    fn trouble(&self, standing: Standing) -> Option<String> {
        let of = short(&self.type_url);
        match standing {
            Standing::Synced | Standing::Empty => None,
            Standing::Refused => {
                let why = self.refused.as_deref().unwrap_or_default();
                Some(format!("refuses {of}: {why}"))
            }
            Standing::Stale => Some(format!("is {} behind with {of}", self.behind())),
            Standing::NotSent => Some(format!("was not sent {of} yet")),
        }
    }

    /// Changes that were published and not accepted, whether they were sent or not.
    fn behind(&self) -> u64 {
        self.published.max(self.sent).saturating_sub(self.acknowledged)
    }
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "SYNCED",
            Self::Empty => "EMPTY",
            Self::Stale => "STALE",
            Self::NotSent => "NOT SENT",
            Self::Refused => "REFUSED",
        }
    }
}

/// `type.googleapis.com/istio.workload.Address` is `Address`.
fn short(type_url: &str) -> &str {
    type_url.rsplit(['/', '.']).next().unwrap_or(type_url)
}

/// The state of a proxy that runs all the same.
const NOT_CONNECTED: &str = "NOT CONNECTED";
/// Where a proxy says which Gateway it carries out.
const GATEWAY_NAME: &str = "GATEWAY_NAME";
/// How long a proxy may take to answer, in seconds: it applies a first push of a large mesh in one or two.
const PATIENCE: i64 = 10;

#[cfg(test)]
mod tests;
