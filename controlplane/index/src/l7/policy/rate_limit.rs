//! A RateLimitPolicy becomes limits on requests.
//!
//! A limit that cannot be read is left out, and its author told: half of a descriptor would count together what is to
//! be counted apart, and refuse requests that nobody wanted refused.

use std::time::Duration;

use controlplane_k8s_api::lateen::{
    self, DescriptorAttribute, FailureMode, GlobalRateLimit, LocalRateLimit, RateLimitPolicySpec,
};
use mesh_model::l7::rate_limit::{DescriptorEntry, DescriptorSource, GlobalLimit, LocalLimit, RateLimit};
use mesh_model::l7::{ServicePort, TextMatch};

use super::text;
use crate::derived::{Condition, ConditionReason};

/// What a policy says: limits that each proxy counts, limits that a service counts, or both. `backend` finds that
/// service, or says why there is none.
pub(super) fn rate_limits(
    spec: &RateLimitPolicySpec,
    backend: impl FnOnce(&GlobalRateLimit) -> Result<ServicePort, String>,
    conditions: &mut Vec<Condition>,
) -> Vec<RateLimit> {
    let local = spec.local.as_ref().map(|limits| local(limits, conditions));
    let local = local.filter(|limits| !limits.is_empty()).map(RateLimit::Local);
    let global = spec.global.as_ref();
    let global = global.and_then(|limit| match backend(limit) {
        Ok(service) => Some(self::global(limit, service, conditions)),
        Err(why) => {
            let message = format!("{why}: nothing is counted by it");
            let field = "spec.global.backendRef";
            conditions.push(Condition::at(
                ConditionReason::ReferenceUnresolved,
                field,
                message,
            ));
            None
        }
    });
    local
        .into_iter()
        .chain(global.flatten().map(RateLimit::Global))
        .collect()
}

fn local(limits: &LocalRateLimit, conditions: &mut Vec<Condition>) -> Vec<LocalLimit> {
    let limits = limits.limits.iter().enumerate();
    let limits = limits.filter_map(|(i, limit)| {
        let path = format!("spec.local.limits[{i}]");
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
        })
    });
    limits.collect()
}

fn global(
    limit: &GlobalRateLimit,
    service: ServicePort,
    conditions: &mut Vec<Condition>,
) -> Option<GlobalLimit> {
    if limit.domain.is_empty() {
        let message = "is empty: nothing is counted";
        conditions.push(Condition::at(
            ConditionReason::Invalid,
            "spec.global.domain",
            message,
        ));
        return None;
    }
    let descriptors = limit.descriptors.iter().enumerate();
    let descriptors = descriptors.filter_map(|(i, entries)| {
        let path = format!("spec.global.descriptors[{i}].entries");
        descriptor(&entries.entries, &path, conditions)
    });
    Some(GlobalLimit {
        descriptors: descriptors.collect(),
        service,
        domain: limit.domain.clone(),
        timeout: limit.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0),
        fail_closed: limit.failure_mode == FailureMode::Closed,
    })
}

/// Nothing where an entry cannot be read.
fn descriptor(
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
