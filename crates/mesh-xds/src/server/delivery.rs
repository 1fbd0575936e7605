//! How far what is published came: for each object, how many of those who are to have what was made of it accepted that.
//! What an object is, whoever asks says: several resources may be made of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh64::Xxh64;

use super::cache::ResourceCache;
use super::scope::Viewer;
use super::session::{SubscriberStatus, Verdict};
use crate::resource::TypeUrl;

/// How far what was made of one object came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// A hash of all of it, the same from every replica that publishes the same.
    pub content: u64,
    /// Proxies that are to have any of it.
    pub proxies: u64,
    /// Of these, those that accepted all that they are to have.
    pub delivered: u64,
    /// Of these, those that refused some of it.
    pub refused: u64,
}

/// Who of those that follow a type has taken a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Who follows the type, by names or not.
    pub proxies: u64,
    /// Of these, those that accepted the change.
    pub acknowledged: u64,
    /// Some of the others, `<name>.<namespace>`.
    pub missing: Vec<String>,
}

impl Heard {
    /// Counts; names no more than `named`.
    #[must_use]
    pub fn of<'a>(
        subscribers: impl IntoIterator<Item = &'a SubscriberStatus>,
        type_url: TypeUrl,
        change: u64,
        named: usize,
    ) -> Self {
        let mut heard = Self::default();
        for subscriber in subscribers {
            let mut follows = subscriber.subscriptions.iter();
            let Some(subscription) = follows.find(|s| s.type_url == type_url) else {
                continue;
            };
            heard.proxies += 1;
            if subscription.verdict(change) == Verdict::Accepted {
                heard.acknowledged += 1;
            } else if heard.missing.len() < named
                && let Some(node) = &subscriber.node
            {
                heard.missing.push(format!("{}.{}", node.name, node.namespace));
            }
        }
        heard
    }
}

impl ResourceCache {
    /// How far what is published of these types came, by the objects that `objects` makes of their names. Subscribers by
    /// name do not count: they ask for what they look at, not for what they are to carry out.
    #[must_use]
    pub fn deliveries<K: Ord, O: IntoIterator<Item = K>>(
        &self,
        types: &[TypeUrl],
        subscribers: &[SubscriberStatus],
        objects: impl Fn(TypeUrl, &str) -> O,
    ) -> BTreeMap<K, Delivery> {
        let mut parts: BTreeMap<K, Vec<Part>> = BTreeMap::new();
        let viewers: Vec<(Viewer, &SubscriberStatus)> = subscribers
            .iter()
            .filter_map(|subscriber| Some((Viewer::of(subscriber.node.as_ref()?), subscriber)))
            .collect();
        self.read(|tables| {
            for table in tables.tables.iter().filter(|t| types.contains(&t.type_url)) {
                for (name, published) in table.published() {
                    for object in objects(table.type_url, name) {
                        let viewers = viewers.iter().enumerate();
                        let seen_by = viewers.filter(|(_, (viewer, _))| published.scope.includes(viewer));
                        parts.entry(object).or_default().push(Part {
                            type_url: table.type_url,
                            name: name.clone(),
                            version: published.version,
                            sequence: published.sequence,
                            seen_by: seen_by.map(|(at, _)| at).collect(),
                        });
                    }
                }
            }
        });
        let delivered = parts.into_iter().map(|(object, mut parts)| {
            parts.sort_by(|a, b| (a.type_url, &a.name).cmp(&(b.type_url, &b.name)));
            (object, delivery(&parts, &viewers))
        });
        delivered.collect()
    }
}

/// A resource that was made of an object.
struct Part {
    type_url: TypeUrl,
    name: Arc<str>,
    version: u64,
    sequence: u64,
    /// Who may see it, by number.
    seen_by: Vec<usize>,
}

fn delivery(parts: &[Part], viewers: &[(Viewer, &SubscriberStatus)]) -> Delivery {
    let mut content = Xxh64::new(0);
    let mut stands: BTreeMap<usize, Verdict> = BTreeMap::new();
    for part in parts {
        content.update(part.type_url.as_str().as_bytes());
        content.update(part.name.as_bytes());
        content.update(&part.version.to_le_bytes());
        for at in &part.seen_by {
            let subscriptions = viewers[*at].1.subscriptions.iter();
            let mut follows = subscriptions.filter(|s| s.type_url == part.type_url && s.wildcard);
            if let Some(subscription) = follows.next() {
                let stand = subscription.verdict(part.sequence);
                let worst = stands.entry(*at).or_insert(stand);
                *worst = (*worst).max(stand);
            }
        }
    }
    let count = |stand| stands.values().filter(|s| **s == stand).count() as u64;
    Delivery {
        content: content.digest(),
        proxies: stands.len() as u64,
        delivered: count(Verdict::Accepted),
        refused: count(Verdict::Refused),
    }
}

#[cfg(test)]
mod tests;
