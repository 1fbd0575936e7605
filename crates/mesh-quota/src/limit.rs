//! What is limited, and which limit counts for what is asked about.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::window::Unit;

/// So many requests in each window, for each combination of the values that its patterns leave open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What people call it.
    pub name: String,
    /// Descriptors that it is for: as many entries, of these names and values, in this order.
    pub entries: Vec<Pattern>,
    /// How many requests.
    pub requests: u32,
    /// In which window.
    pub unit: Unit,
}

/// An entry of descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Its name.
    pub key: String,
    /// Its value; each value is counted apart where absent.
    pub value: Option<String>,
}

/// All limits, by domain.
#[derive(Debug, Default)]
pub struct Limits {
    domains: HashMap<String, Vec<Arc<Limit>>>,
    /// Domains that were there once; whoever asks about them has not heard yet that nothing is limited there any more.
    gone: HashSet<String>,
    /// The same, the oldest first.
    gone_in_order: VecDeque<String>,
}

/// Which limit counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This one.
    Limit(Arc<Limit>),
    /// The domain has none for such a descriptor, or is gone: nothing is counted.
    Unlimited,
    /// Nobody told of such a domain: what is not known is not said to be unlimited.
    UnknownDomain,
}

impl Limits {
    /// The limits of a domain are these from now on.
    pub fn set(&mut self, domain: &str, limits: impl IntoIterator<Item = Limit>) {
        let limits = limits.into_iter().map(Arc::new).collect();
        self.gone.remove(domain);
        self.domains.insert(domain.to_owned(), limits);
    }

    /// A domain is gone.
    pub fn remove(&mut self, domain: &str) {
        if self.domains.remove(domain).is_none() || !self.gone.insert(domain.to_owned()) {
            return;
        }
        self.gone_in_order.push_back(domain.to_owned());
        if self.gone_in_order.len() > MOST_GONE
            && let Some(oldest) = self.gone_in_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
    }

    /// The limit of a descriptor: the one that names the most values, of several the first.
    #[must_use]
    pub fn find<'e>(&self, domain: &str, entries: impl Iterator<Item = (&'e str, &'e str)> + Clone) -> Found {
        let Some(limits) = self.domains.get(domain) else {
            return match self.gone.contains(domain) {
                true => Found::Unlimited,
                false => Found::UnknownDomain,
            };
        };
        let matching = limits.iter().filter(|limit| limit.is_for(entries.clone()));
        // The last of equals wins, so they are asked in reverse.
        let best = matching.rev().max_by_key(|limit| limit.exactness());
        best.map_or(Found::Unlimited, |limit| Found::Limit(limit.clone()))
    }

    /// Every domain with its limits.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Arc<Limit>])> {
        let domains = self.domains.iter();
        domains.map(|(domain, limits)| (domain.as_str(), limits.as_slice()))
    }
}

impl Limit {
    fn is_for<'e>(&self, mut entries: impl Iterator<Item = (&'e str, &'e str)>) -> bool {
        let all = self.entries.iter().all(|pattern| {
            let entry = entries.next();
            entry.is_some_and(|(key, value)| {
                pattern.key == key && pattern.value.as_ref().is_none_or(|wanted| wanted == value)
            })
        });
        all && entries.next().is_none()
    }

    fn exactness(&self) -> usize {
        self.entries.iter().filter(|p| p.value.is_some()).count()
    }

    /// Requests that are made durable at once, so that not each has to wait for the disk: a hundredth of the limit. A
    /// crash costs at most one less of them.
    #[must_use]
    pub fn block(&self) -> u64 {
        match self.unit.is_durable() {
            true => u64::from(self.requests / 100).clamp(1, LARGEST_BLOCK),
            false => u64::from(self.requests),
        }
    }
}

/// Who asks learns of a change within seconds; so many do not go at once.
const MOST_GONE: usize = 4096;
/// Beyond it fewer writes save nothing.
const LARGEST_BLOCK: u64 = 10_000;

#[cfg(test)]
mod tests;
