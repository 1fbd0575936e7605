//! A RateLimitPolicy becomes limits on requests.
//!
//! A limit that cannot be read is left out, and its author told: half of a descriptor would count together what is to
//! be counted apart, and refuse requests that nobody wanted refused.

use std::time::Duration;

use controlplane_k8s_api::lateen::{
    self, CountedBy, DescriptorAttribute, FailureMode, GlobalRateLimit, LocalRateLimit, RateLimitBackend,
    RateLimitPolicySpec,
};
use mesh_model::l7::rate_limit::{
    Descriptor, DescriptorEntry, DescriptorSource, GlobalLimit, LocalLimit, RateLimit,
};
use mesh_model::l7::{ServicePort, TextMatch};
use mesh_types::{NamespacedName, Strng};

use super::{quota, text};
use crate::derived::{Condition, ConditionReason};

/// Who counts for all proxies.
pub(super) trait Counters {
    /// The rate-limit service that a policy names, or why there is none.
    fn named(&self, backend: &RateLimitBackend) -> Result<ServicePort, String>;
    /// The mesh's own, and whether it is there.
    fn of_mesh(&self) -> (ServicePort, bool);
}

/// What a policy says: limits that each proxy counts, limits that a service counts, or both.
pub(super) fn rate_limits(
    spec: &RateLimitPolicySpec,
    policy: &NamespacedName,
    counters: &impl Counters,
    conditions: &mut Vec<Condition>,
) -> Vec<RateLimit> {
    let local = spec.local.as_ref().map(|limits| local(limits, conditions));
    let local = local.filter(|limits| !limits.is_empty()).map(RateLimit::Local);
    let global = spec.global.as_ref();
    let global = global.and_then(|global| match &global.counted {
        CountedBy::Mesh(limits) => Some(of_mesh(global, limits, policy, counters, conditions)),
        CountedBy::Backend(backend) => named(global, backend, counters, conditions),
    });
    local.into_iter().chain(global.map(RateLimit::Global)).collect()
}

fn local(limits: &LocalRateLimit, conditions: &mut Vec<Condition>) -> Vec<LocalLimit> {
    let limits = limits.limits.iter().enumerate();
    let limits = limits.filter_map(|(i, limit)| {
        let path = format!("spec.local.limits[{i}]");
        let when = when(limit.when.as_ref(), &path, conditions)?;
        let descriptor = descriptor(&limit.by, &format!("{path}.by"), conditions)?;
        if limit.interval.0.is_zero() {
            let message = "is zero: the limit is left out";
            let field = format!("{path}.interval");
            conditions.push(Condition::at(ConditionReason::Invalid, field, message));
            return None;
        }
        Some(LocalLimit {
            descriptor,
            requests: limit.requests,
            interval: limit.interval.0,
            burst: limit.burst.unwrap_or(limit.requests),
            when,
        })
    });
    limits.collect()
}

/// Without a service, what no answer means is what happens: the proxies find nobody to ask.
fn of_mesh(
    global: &GlobalRateLimit,
    limits: &[lateen::GlobalLimit],
    policy: &NamespacedName,
    counters: &impl Counters,
    conditions: &mut Vec<Condition>,
) -> GlobalLimit {
    let (service, there) = counters.of_mesh();
    if !there {
        let name = &service.service;
        let meanwhile = match global.failure_mode {
            FailureMode::Open => "all requests pass",
            FailureMode::Closed => "every request that it counts is answered with 500",
        };
        let message = format!("the mesh has no rate-limit service (nobody is {name}): {meanwhile}");
        let field = "spec.global.limits";
        conditions.push(Condition::at(
            ConditionReason::ReferenceUnresolved,
            field,
            message,
        ));
    }
    let limits = quota::limits(limits, conditions).into_iter();
    GlobalLimit {
        descriptors: limits.map(|(_, descriptor)| descriptor).collect(),
        service,
        domain: quota::domain(policy),
        timeout: timeout(global),
        fail_closed: global.failure_mode == FailureMode::Closed,
    }
}

fn named(
    global: &GlobalRateLimit,
    backend: &RateLimitBackend,
    counters: &impl Counters,
    conditions: &mut Vec<Condition>,
) -> Option<GlobalLimit> {
    let nothing = |reason, field: &'static str, why: String| {
        let message = format!("{why}: nothing is counted by it");
        Condition::at(reason, field, message)
    };
    let service = match counters.named(backend) {
        Ok(service) => service,
        Err(why) => {
            let field = "spec.global.backendRef";
            conditions.push(nothing(ConditionReason::ReferenceUnresolved, field, why));
            return None;
        }
    };
    if backend.domain.is_empty() {
        let why = "is empty".to_owned();
        conditions.push(nothing(ConditionReason::Invalid, "spec.global.domain", why));
        return None;
    }
    let descriptors = backend.descriptors.iter().enumerate();
    let descriptors = descriptors.filter_map(|(i, entries)| {
        let path = format!("spec.global.descriptors[{i}]");
        Some(Descriptor {
            when: when(entries.when.as_ref(), &path, conditions)?,
            entries: descriptor(&entries.entries, &format!("{path}.entries"), conditions)?,
        })
    });
    Some(GlobalLimit {
        descriptors: descriptors.collect(),
        service,
        domain: backend.domain.clone(),
        timeout: timeout(global),
        fail_closed: global.failure_mode == FailureMode::Closed,
    })
}

fn timeout(global: &GlobalRateLimit) -> Duration {
    global.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0)
}

/// Nothing where it is no expression: without its condition a limit would count what is not meant.
pub(super) fn when(
    when: Option<&Strng>,
    path: &str,
    conditions: &mut Vec<Condition>,
) -> Option<Option<Strng>> {
    let checked = when.map(text::condition).transpose();
    checked
        .map_err(|why| {
            let message = format!("{why}; what it belongs to is left out");
            let field = format!("{path}.when");
            conditions.push(Condition::at(ConditionReason::Invalid, field, message));
        })
        .ok()
}

/// Nothing where an entry cannot be read.
pub(super) fn descriptor(
    entries: &[lateen::DescriptorEntry],
    path: &str,
    conditions: &mut Vec<Condition>,
) -> Option<Vec<DescriptorEntry>> {
    let mut lowered = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        match self::entry(entry) {
            Ok(entry) => lowered.push(entry),
            Err((field, why)) => {
                let field = format!("{path}[{i}].{field}");
                let message = format!("{why}; what it belongs to is left out");
                conditions.push(Condition::at(ConditionReason::Invalid, field, message));
                return None;
            }
        }
    }
    Some(lowered)
}

fn entry(entry: &lateen::DescriptorEntry) -> Result<DescriptorEntry, (&'static str, String)> {
    let source = match &entry.source {
        lateen::DescriptorSource::Attribute(attribute) => match attribute {
            DescriptorAttribute::Path => DescriptorSource::Path,
            DescriptorAttribute::Method => DescriptorSource::Method,
            DescriptorAttribute::Authority => DescriptorSource::Authority,
            DescriptorAttribute::SourcePrincipal => DescriptorSource::SourcePrincipal,
            DescriptorAttribute::SourceNamespace => DescriptorSource::SourceNamespace,
            DescriptorAttribute::RemoteAddress => DescriptorSource::RemoteAddress,
        },
        lateen::DescriptorSource::Header(name) => {
            DescriptorSource::Header(text::header(name).map_err(|why| ("header", why))?)
        }
        lateen::DescriptorSource::Claim(path) => {
            DescriptorSource::Claim(text::claim(path).map_err(|why| ("claim", why))?)
        }
        lateen::DescriptorSource::Constant(text) => DescriptorSource::Constant(text.clone()),
        lateen::DescriptorSource::Expression(text) => {
            DescriptorSource::Expression(text::key(text).map_err(|why| ("expression", why))?)
        }
    };
    let value = entry.value.as_ref().map(|value| match value {
        lateen::TextMatch::Exact(text) => Ok(TextMatch::Exact(text.clone())),
        lateen::TextMatch::Prefix(text) => Ok(TextMatch::Prefix(text.clone())),
        lateen::TextMatch::Suffix(text) => Ok(TextMatch::Suffix(text.clone())),
        lateen::TextMatch::Regex(text) => text::regex(text).map(TextMatch::Regex),
    });
    Ok(DescriptorEntry {
        key: text::some(&entry.key).map_err(|why| ("key", why))?,
        source,
        value: value.transpose().map_err(|why| ("value.regex", why))?,
    })
}

/// Where a policy says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
