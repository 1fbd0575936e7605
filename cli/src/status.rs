//! How each proxy stands with the control plane (`/debug/syncz`). Pure.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::output::{Table, View};

/// Every proxy that is connected.
#[derive(Clone, Debug)]
pub struct Status {
    proxies: Vec<Proxy>,
    data: Value,
}

#[derive(Clone, Debug, Deserialize)]
struct Proxy {
    node: Option<Node>,
    subscriptions: Vec<Subscription>,
}

#[derive(Clone, Debug, Deserialize)]
struct Node {
    kind: String,
    name: String,
    namespace: String,
    node: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Subscription {
    type_url: String,
    sent: u64,
    acknowledged: u64,
    outstanding: bool,
    refusals: u64,
    refused: Option<String>,
}

/// How a proxy stands with one type; the words are Istio's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Synced,
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
            data: page.clone(),
        })
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
        proxy.subscriptions.iter().find_map(Subscription::trouble)
    }

    /// For people and programs.
    #[must_use]
    pub fn view(&self) -> View {
        let mut table = Table::new(["PROXY", "KIND", "NODE", "TYPE", "STATE", "BEHIND", "REFUSALS"])
            .or("no proxy is connected");
        for proxy in &self.proxies {
            for subscription in &proxy.subscriptions {
                let node = proxy.node.as_ref();
                table.row([
                    proxy.name(),
                    node.map_or("-", |node| &node.kind).to_owned(),
                    node.map_or("-", |node| &node.node).to_owned(),
                    short(&subscription.type_url).to_owned(),
                    subscription.standing().as_str().to_owned(),
                    subscription.behind().to_string(),
                    subscription.refusals.to_string(),
                ]);
                if let Some(refused) = &subscription.refused {
                    let of = short(&subscription.type_url);
                    table.foot(format!("{} refused {of}: {refused}", proxy.name()));
                }
            }
        }
        View {
            table,
            data: json!({ "proxies": self.data }),
        }
    }
}

impl Proxy {
    fn name(&self) -> String {
        match &self.node {
            Some(node) => format!("{}.{}", node.name, node.namespace),
            None => "(has not said who it is)".to_owned(),
        }
    }
}

impl Subscription {
    fn standing(&self) -> Standing {
        if self.refused.is_some() {
            Standing::Refused
        } else if self.outstanding || self.behind() > 0 {
            Standing::Stale
        } else if self.sent == 0 {
            Standing::NotSent
        } else {
            Standing::Synced
        }
    }

    fn trouble(&self) -> Option<String> {
        let of = short(&self.type_url);
        match self.standing() {
            Standing::Synced => None,
            Standing::Refused => {
                let why = self.refused.as_deref().unwrap_or_default();
                Some(format!("refuses {of}: {why}"))
            }
            Standing::Stale => Some(format!("is {} behind with {of}", self.behind())),
            Standing::NotSent => Some(format!("was not sent {of} yet")),
        }
    }

    /// Changes that were sent and not accepted.
    fn behind(&self) -> u64 {
        self.sent.saturating_sub(self.acknowledged)
    }
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "SYNCED",
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

#[cfg(test)]
mod tests;
