//! What is limited and who may count, as the control plane told it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mesh_extensions::rate_limit::Hit;
use mesh_model::l7::Quota;
use mesh_model::l7::quota::{LIMIT, QuotaLimit, QuotaUnit};
use mesh_quota::{Asked, Found, Key, Limit, Limits, Pattern, Unit};
use mesh_types::{Identity, NamespacedName};
use mesh_xds::{ApplyBatch, Batch, Rejected, TypeUrl};
use parking_lot::RwLock;

/// The limits, for all who ask. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    limits: Limits,
    callers: HashMap<String, BTreeSet<NamespacedName>>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'c> {
    /// A proxy: it has to carry the policy out.
    Proxy(&'c Identity),
    /// Another shard, which has looked already.
    Shard,
}

/// Why nothing is looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Nobody told of the domain (yet).
    #[error("domain {0:?} is not known here")]
    Domain(String),
    /// The caller does not carry the policy out.
    #[error("{0} does not carry out what domain {1:?} is for")]
    Caller(Identity, String),
}

impl Board {
    /// What is counted for each descriptor, in order; nothing where nothing is.
    ///
    /// # Errors
    /// When the domain is not known, or not the caller's to ask about.
    pub fn asked(&self, caller: Caller<'_>, hit: &Hit) -> Result<Vec<Option<Asked>>, Unknown> {
        let known = self.0.read();
        if let Caller::Proxy(identity) = caller
            && let Some(callers) = known.callers.get(&hit.domain)
        {
            let name = NamespacedName::new(identity.namespace().clone(), identity.service_account().clone());
            if !callers.contains(&name) {
                return Err(Unknown::Caller(identity.clone(), hit.domain.clone()));
            }
        }
        let asked = hit.descriptors.iter().map(|descriptor| {
            let entries = descriptor
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()));
            match known.limits.find(&hit.domain, entries.clone()) {
                Found::Limit(limit) => {
                    let key = Key::new(&hit.domain, entries);
                    Ok(Some(Asked::new(&hit.domain, key, limit)))
                }
                Found::Unlimited => Ok(None),
                Found::UnknownDomain => Err(Unknown::Domain(hit.domain.clone())),
            }
        });
        asked.collect()
    }

    /// Takes a policy's limits.
    pub fn set(&self, quota: &Quota) {
        let mut known = self.0.write();
        known.limits.set(&quota.domain, quota.limits.iter().map(limit));
        known
            .callers
            .insert(quota.domain.to_string(), quota.callers.clone());
    }

    /// A policy is gone.
    pub fn remove(&self, domain: &str) {
        let mut known = self.0.write();
        known.limits.remove(domain);
        known.callers.remove(domain);
    }

    /// Every limit as people read it: `<domain> <name>: <requests> per <unit>`, in order.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let known = self.0.read();
        let domains = known.limits.iter();
        let mut lines: Vec<String> = domains
            .flat_map(|(domain, limits)| {
                limits.iter().map(move |limit| {
                    format!("{domain} {}: {} per {}", limit.name, limit.requests, limit.unit)
                })
            })
            .collect();
        lines.sort();
        lines
    }
}

impl ApplyBatch for Board {
    fn apply(&mut self, batch: Batch) -> Result<(), Vec<Rejected>> {
        let mut rejected = Vec::new();
        for name in &batch.removed {
            self.remove(name);
        }
        for resource in batch.resources {
            let quota = match batch.type_url {
                TypeUrl::QUOTA => Quota::decode(&resource.name, resource.body).map_err(|e| e.to_string()),
                other => Err(format!("type {other} is not known here")),
            };
            match quota {
                Ok(quota) => self.set(&quota),
                Err(reason) => {
                    tracing::warn!(
                        name = resource.name,
                        reason,
                        "refused a resource of the control plane"
                    );
                    rejected.push(Rejected {
                        name: resource.name,
                        reason,
                    });
                }
            }
        }
        match rejected.is_empty() {
            true => Ok(()),
            false => Err(rejected),
        }
    }
}

fn limit(limit: &QuotaLimit) -> Limit {
    let first = Pattern {
        key: LIMIT.to_owned(),
        value: Some(limit.name.to_string()),
    };
    let open = limit.keys.iter().map(|key| Pattern {
        key: key.to_string(),
        value: None,
    });
    Limit {
        name: limit.name.to_string(),
        entries: std::iter::once(first).chain(open).collect(),
        requests: limit.requests,
        unit: unit(limit.unit),
    }
}

fn unit(unit: QuotaUnit) -> Unit {
    match unit {
        QuotaUnit::Second => Unit::Second,
        QuotaUnit::Minute => Unit::Minute,
        QuotaUnit::Hour => Unit::Hour,
        QuotaUnit::Day => Unit::Day,
        QuotaUnit::Week => Unit::Week,
        QuotaUnit::Month => Unit::Month,
        QuotaUnit::Year => Unit::Year,
    }
}
