//! What the mesh's own rate-limit service is told of a RateLimitPolicy: its limits, and who may count.

use controlplane_k8s_api::lateen::{CountedBy, GlobalLimit, LimitUnit, RateLimitPolicy};
use mesh_model::l7::quota::{LIMIT, QuotaLimit, QuotaUnit};
use mesh_model::l7::rate_limit::{Descriptor, DescriptorEntry, DescriptorSource};
use mesh_model::l7::{Quota, ServicePort};
use mesh_types::{NamespacedName, Strng};

use super::lowering::Lowering;
use super::rate_limit::{descriptor, when};
use super::targets::{Attachment, Reaches};
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::l7::Scoped;

pub(super) use mesh_model::l7::quota::domain;

/// The mesh's own rate-limit service: its Service, and the account that its processes run as, in the root namespace.
pub const SERVICE: &str = "lateen-ratelimit";
/// The port of that Service.
pub const PORT: u16 = 8081;

/// Where it is.
pub(super) fn service(config: &MeshConfig) -> ServicePort {
    ServicePort {
        service: crate::service::hostname(config, &name(config)),
        port: PORT,
    }
}

/// What the rate-limit service is told of a policy; nothing where none of it is for that.
pub(super) fn quota(
    lowering: &Lowering<'_, '_>,
    policy: &RateLimitPolicy,
) -> Vec<(Strng, Derived<Scoped<Quota>>)> {
    let Some(CountedBy::Mesh(limits)) = policy.spec.global.as_ref().map(|global| &global.counted) else {
        return Vec::new();
    };
    let targets = &policy.spec.target_refs;
    let attachment = Attachment::by_policy(lowering, targets, Reaches::Clients, |_| None);
    let gateways = &lowering.lookups.gateways;
    let callers = attachment.gateways.iter().filter_map(|gateway| {
        let facts = gateways.get(lowering.fetch, gateway)?;
        Some(NamespacedName::new(
            gateway.namespace.clone(),
            facts.account.clone(),
        ))
    });
    let quota = Quota {
        domain: domain(lowering.name),
        // What is wrong with them is said with the policy.
        limits: self::limits(limits, &mut Vec::new())
            .into_iter()
            .map(|(limit, _)| limit)
            .collect(),
        callers: callers.collect(),
    };
    if quota.callers.is_empty() {
        return Vec::new();
    }
    let key = quota.domain.clone();
    let scoped = Scoped {
        value: quota,
        gateways: [name(lowering.config)].into(),
    };
    vec![(key, Derived::of(lowering.provenance(), scoped))]
}

/// Limits as the service counts them, each with the descriptor that proxies send.
pub(super) fn limits(
    limits: &[GlobalLimit],
    conditions: &mut Vec<Condition>,
) -> Vec<(QuotaLimit, Descriptor)> {
    let limits = limits.iter().enumerate();
    let limits = limits.filter_map(|(i, limit)| {
        let path = format!("spec.global.limits[{i}]");
        let when = when(limit.when.as_ref(), &path, conditions)?;
        let by = descriptor(&limit.by, &format!("{path}.by"), conditions)?;
        if limit.requests == 0 {
            let message = "is 0: the limit is left out";
            let field = format!("{path}.requests");
            conditions.push(Condition::at(ConditionReason::Invalid, field, message));
            return None;
        }
        let name = limit.name.clone().filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| i.to_string().into());
        let counted = QuotaLimit {
            name: name.clone(),
            keys: by.iter().map(|entry| entry.key.clone()).collect(),
            requests: limit.requests,
            unit: unit(limit.unit),
        };
        let first = DescriptorEntry {
            key: LIMIT.into(),
            source: DescriptorSource::Constant(name),
            value: None,
        };
        let entries = [vec![first], by].concat();
        Some((counted, Descriptor { entries, when }))
    });
    let mut limits: Vec<(QuotaLimit, _)> = limits.collect();
    // Two of one name would be one to the service; the first counts.
    let mut names = std::collections::BTreeSet::new();
    limits.retain(|(limit, _)| names.insert(limit.name.clone()));
    limits
}

fn name(config: &MeshConfig) -> NamespacedName {
    NamespacedName::new(config.root_namespace.clone(), SERVICE)
}

fn unit(unit: LimitUnit) -> QuotaUnit {
    match unit {
        LimitUnit::Second => QuotaUnit::Second,
        LimitUnit::Minute => QuotaUnit::Minute,
        LimitUnit::Hour => QuotaUnit::Hour,
        LimitUnit::Day => QuotaUnit::Day,
        LimitUnit::Week => QuotaUnit::Week,
        LimitUnit::Month => QuotaUnit::Month,
        LimitUnit::Year => QuotaUnit::Year,
    }
}
