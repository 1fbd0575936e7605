//! Which services a DestinationRule is for, and at whose proxies it counts (Istio reference, "Destination Rule";
//! "exportTo").
//!
//! A gateway looks for a service's rule in its own namespace, then in the service's, then in the root namespace; the
//! waypoint does so by itself, among the rules that it is sent. Within a namespace the most specific host counts, and
//! rules with one host are one rule: the oldest, with the subsets of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use controlplane_collections::{Collection, Graph, Index};
use controlplane_k8s_api::networking::{DestinationRule, DestinationRuleSpec};
use mesh_model::l7::policy::PolicyKind;
use mesh_model::l7::{Policy, Target};
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use super::lowering::{Content, CredentialsOf, LoweredPolicy, Lowering};
use super::targets::{Attachment, Reaches, Reference, gateways_of_service};
use super::traffic::{names_secret, traffic_rules};
use crate::age::Age;
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason};
use crate::service_entry::normal;
use crate::status::StatusReason;

/// The rules of a namespace for a host, as it is written out.
pub(super) type RulesByHost = Index<(Strng, Strng), NamespacedName, DestinationRule>;

pub(super) fn rules_by_host(
    graph: &mut Graph,
    config: &Arc<MeshConfig>,
    rules: Collection<NamespacedName, DestinationRule>,
) -> RulesByHost {
    let mesh = config.clone();
    graph.index("DestinationRules by host", rules, move |name, rule| {
        vec![(
            name.namespace.clone(),
            written_out(&mesh, &name.namespace, &rule.spec.host),
        )]
    })
}

pub(super) fn policies(
    lowering: &Lowering<'_, '_>,
    by_host: RulesByHost,
    rule: &DestinationRule,
) -> Vec<LoweredPolicy> {
    let namespace = &lowering.name.namespace;
    let host = written_out(lowering.config, namespace, &rule.spec.host);
    let key = (namespace.clone(), host.clone());
    let mut same: Vec<_> = lowering.fetch.by(by_host, &key).collect();
    same.sort_by_key(|(_, rule)| Age::of(&rule.metadata));
    let mut attachment = attachment(lowering, by_host, rule, &host);
    if let Some((oldest, _)) = same.first().filter(|(oldest, _)| *oldest != lowering.name) {
        let message = format!(
            "DestinationRule {oldest} is older and has the same host: it counts, with the subsets of this one"
        );
        let condition = Condition::at(ConditionReason::Conflicted, "spec.host", message.clone());
        attachment.references = vec![Reference::of_whole(Some((StatusReason::Conflicted, message)))];
        return lowering.policies(
            &rule.metadata,
            attachment,
            Content::new(Vec::new(), vec![condition]),
        );
    }
    let spec = merged(&rule.spec, same.iter().skip(1).map(|(_, other)| &other.spec));
    let content = content(lowering, &spec, &attachment.gateways);
    lowering.policies(&rule.metadata, attachment, content)
}

/// What a rule says. A Secret that it names is one of the gateway's namespace: where there are several of those, it says
/// something else to each.
fn content(
    lowering: &Lowering<'_, '_>,
    spec: &DestinationRuleSpec,
    gateways: &BTreeSet<NamespacedName>,
) -> Content {
    let mut conditions: Vec<Condition> = Vec::new();
    let mut said = |namespace: &Strng| {
        let credentials = CredentialsOf { lowering, namespace };
        let mut told = Vec::new();
        let rules = traffic_rules(spec, &lowering.settings().traffic, &credentials, &mut told);
        // What is wrong for all of them is told once.
        told.retain(|condition| !conditions.contains(condition));
        conditions.extend(told);
        PolicyKind::Traffic(Box::new(rules))
    };
    let mut namespaces: BTreeMap<&Strng, BTreeSet<NamespacedName>> = BTreeMap::new();
    for gateway in gateways {
        namespaces
            .entry(&gateway.namespace)
            .or_default()
            .insert(gateway.clone());
    }
    if namespaces.len() > 1 && names_secret(spec) {
        let parts = namespaces.into_iter();
        let parts = parts.map(|(namespace, gateways)| (namespace.clone(), said(namespace), gateways));
        let parts = parts.collect();
        return Content {
            parts,
            ..Content::new(Vec::new(), conditions)
        };
    }
    let namespace = namespaces.keys().next().copied();
    let kinds = vec![said(namespace.unwrap_or(&lowering.name.namespace))];
    Content::new(kinds, conditions)
}

/// Whom policies of a DestinationRule give labels a meaning for: the services, and the labels' names.
pub(super) fn named_labels(policy: &Policy) -> (Vec<NamespacedHostname>, Vec<Strng>) {
    let PolicyKind::Traffic(rules) = &policy.kind else {
        return <_>::default();
    };
    let services = policy.targets.iter().filter_map(|target| match target {
        Target::Service(service) => Some(service.clone()),
        _ => None,
    });
    let of_subsets = rules.subsets.iter().flat_map(|subset| &subset.labels);
    let mut labels: Vec<Strng> = of_subsets.map(|(name, _)| name.clone()).collect();
    let of_rule = std::iter::once(&rules.settings).chain(rules.ports.values());
    let of_subsets = rules.subsets.iter();
    let of_subsets = of_subsets.flat_map(|s| std::iter::once(&s.settings).chain(s.ports.values()));
    for settings in of_rule.chain(of_subsets) {
        if let Some(mesh_model::l7::traffic::LocalityRules::Priority(named)) = &settings.locality {
            let name = |label: &Strng| Strng::from(label.split('=').next().unwrap_or_default());
            labels.extend(named.iter().map(name));
        }
    }
    labels.sort();
    labels.dedup();
    (services.collect(), labels)
}

/// The oldest rule, with what only others have.
fn merged<'s>(
    oldest: &DestinationRuleSpec,
    others: impl Iterator<Item = &'s DestinationRuleSpec>,
) -> DestinationRuleSpec {
    let mut spec = oldest.clone();
    for other in others {
        for subset in &other.subsets {
            if !spec.subsets.iter().any(|known| known.name == subset.name) {
                spec.subsets.push(subset.clone());
            }
        }
        if spec.traffic_policy.is_none() {
            spec.traffic_policy.clone_from(&other.traffic_policy);
        }
    }
    spec
}

fn attachment(
    lowering: &Lowering<'_, '_>,
    by_host: RulesByHost,
    rule: &DestinationRule,
    host: &Strng,
) -> Attachment {
    let (fetch, namespace) = (lowering.fetch, &lowering.name.namespace);
    let hosts = &lowering.lookups.hosts;
    let services: Vec<NamespacedHostname> = match host.starts_with('*') {
        true => hosts
            .below(fetch, host, namespace)
            .into_iter()
            .map(|(name, _)| name)
            .collect(),
        false => {
            let found = hosts.find(fetch, lowering.config, host, namespace);
            found.into_iter().map(|(name, _)| name).collect()
        }
    };
    let mut attachment = Attachment::default();
    let mut known = false;
    for service in services {
        if has_more_specific(lowering, by_host, &service.hostname, host) {
            continue;
        }
        known = true;
        let gateways = gateways_of_service(lowering, &service, Reaches::Endpoints);
        let counting = gateways.into_iter().filter(|gateway| {
            gateway.namespace == *namespace
                || (service.namespace == *namespace || *namespace == lowering.config.root_namespace)
                    && exported(rule, &gateway.namespace)
        });
        let counting: Vec<NamespacedName> = counting.collect();
        if !counting.is_empty() {
            attachment.gateways.extend(counting);
            attachment.targets.push(Target::Service(service));
        }
    }
    let refused = match (attachment.targets.is_empty(), known) {
        (false, _) => None,
        (true, true) => {
            let message = "no waypoint that it counts at serves its host, or sends there";
            Some((StatusReason::AncestorNotBound, message.to_owned()))
        }
        (true, false) => {
            let message = format!("nothing has the host {host}, or a more specific DestinationRule has it");
            let condition = Condition::at(ConditionReason::ReferenceUnresolved, "spec.host", message.clone());
            attachment.conditions.push(condition);
            Some((StatusReason::TargetNotFound, message))
        }
    };
    attachment.references = vec![Reference::of_whole(refused)];
    attachment
}

/// Whether a rule of the namespace is for fewer hosts than this one, and for a service's.
fn has_more_specific(
    lowering: &Lowering<'_, '_>,
    by_host: RulesByHost,
    service: &Strng,
    host: &Strng,
) -> bool {
    if !host.starts_with('*') {
        return false;
    }
    let below = service
        .match_indices('.')
        .map(|(at, _)| format!("*{}", &service[at..]));
    let more_specific = std::iter::once(service.to_string()).chain(below);
    more_specific
        .take_while(|name| name.as_str() != host.as_str())
        .any(|name| {
            let key = (lowering.name.namespace.clone(), Strng::from(name));
            lowering.fetch.by(by_host, &key).next().is_some()
        })
}

/// Whether another namespace may use a rule.
fn exported(rule: &DestinationRule, namespace: &Strng) -> bool {
    let export_to = &rule.spec.export_to;
    let own = &rule.metadata.namespace;
    export_to.is_empty()
        || export_to
            .iter()
            .any(|to| *to == "*" || to == namespace || (*to == "." && own == namespace))
}

/// A host without dots is a Service of the rule's own namespace.
fn written_out(config: &MeshConfig, namespace: &Strng, host: &Strng) -> Strng {
    let host = normal(host);
    match host.contains('.') || host.starts_with('*') {
        true => host,
        false => format!("{host}.{namespace}.svc.{}", config.cluster_domain).into(),
    }
}

#[cfg(test)]
mod tests;
