//! Which endpoints are near, and in which order the far ones follow (DestinationRule, `localityLbSetting`; Kubernetes,
//! `trafficDistribution`, as `istio.workload.LoadBalancing` has it).

use std::sync::Arc;

use mesh_model::l7::EndpointLabels;
use mesh_model::l7::traffic::{Distribution, LocalityRules};
use mesh_model::service::Scope;
use mesh_model::workload::Locality;
use mesh_types::Strng;

/// Where an endpoint is, or this proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Region, zone, subzone.
    pub locality: Locality,
    /// The network.
    pub network: Strng,
    /// The cluster.
    pub cluster: Strng,
    /// The machine.
    pub node: Strng,
    /// Its labels, where they are known.
    pub labels: Option<Arc<EndpointLabels>>,
}

/// What is preferred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// Nothing.
    #[default]
    None,
    /// What a DestinationRule says.
    Rules(LocalityRules),
    /// What the service says of itself.
    Scopes {
        /// What is to be shared, the most important first.
        scopes: Vec<Scope>,
        /// Endpoints that do not share all of it get nothing.
        strict: bool,
    },
}

/// Endpoints that are equally near. The next tier gets what this one is not well enough for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tier {
    pub(crate) buckets: Vec<Bucket>,
}

/// Endpoints with a share in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Relative to the other buckets of the tier.
    pub(crate) share: u32,
    /// By their places in the list.
    pub(crate) members: Vec<u32>,
}

/// The order in which endpoints are preferred by somebody who is at `own`.
pub(crate) fn tiers<'p>(
    preference: &Preference,
    own: &Places,
    endpoints: impl Iterator<Item = &'p Places>,
) -> Vec<Tier> {
    if let Preference::Rules(LocalityRules::Distribute(all)) = preference
        && let Some(rule) = all.iter().find(|rule| matches(&rule.from, &own.locality))
    {
        return distributed(rule, endpoints);
    }
    let mut ranked: Vec<(u32, Vec<u32>)> = Vec::new();
    for (place, endpoint) in (0..).zip(endpoints) {
        let Some(rank) = rank(preference, own, endpoint) else {
            continue;
        };
        match ranked.binary_search_by_key(&rank, |(rank, _)| *rank) {
            Ok(at) => ranked[at].1.push(place),
            Err(at) => ranked.insert(at, (rank, vec![place])),
        }
    }
    let tier = |members| Tier {
        buckets: vec![Bucket { share: 1, members }],
    };
    ranked.into_iter().map(|(_, members)| tier(members)).collect()
}

fn distributed<'p>(rule: &Distribution, endpoints: impl Iterator<Item = &'p Places>) -> Vec<Tier> {
    let mut buckets: Vec<Bucket> = rule
        .to
        .iter()
        .map(|(_, share)| Bucket {
            share: *share,
            members: Vec::new(),
        })
        .collect();
    for (place, endpoint) in (0..).zip(endpoints) {
        let to = rule.to.iter().position(|(to, _)| matches(to, &endpoint.locality));
        // What is not listed gets nothing.
        if let Some(bucket) = to {
            buckets[bucket].members.push(place);
        }
    }
    buckets.retain(|bucket| bucket.share > 0 && !bucket.members.is_empty());
    match buckets.is_empty() {
        true => Vec::new(),
        false => vec![Tier { buckets }],
    }
}

/// The lower, the nearer; nothing for endpoints that get nothing.
fn rank(preference: &Preference, own: &Places, endpoint: &Places) -> Option<u32> {
    Some(match preference {
        Preference::None | Preference::Rules(LocalityRules::Off | LocalityRules::Distribute(_)) => 0,
        Preference::Rules(LocalityRules::Nearest) => distance(&own.locality, &endpoint.locality),
        Preference::Rules(LocalityRules::Failover(pairs)) => {
            match distance(&own.locality, &endpoint.locality) {
                // Another region: that one first to which this one fails over.
                ELSEWHERE => {
                    let region = |pair: &&(Strng, Strng)| pair.0 == own.locality.region;
                    let to = pairs.iter().find(region).map(|(_, to)| to);
                    match to == Some(&endpoint.locality.region) {
                        true => ELSEWHERE,
                        false => ELSEWHERE + 1,
                    }
                }
                near => near,
            }
        }
        Preference::Rules(LocalityRules::Priority(labels)) => {
            let shared = labels
                .iter()
                .take_while(|label| shares_label(label, own, endpoint));
            not_shared(labels.len(), shared.count())
        }
        Preference::Scopes { scopes, strict } => {
            let shared = scopes
                .iter()
                .take_while(|scope| shares(**scope, own, endpoint))
                .count();
            if *strict && shared < scopes.len() {
                return None;
            }
            match scopes.split_first() {
                // A network at the front is a preference of its own kind, as ztunnel has it: within another network the
                // other scopes still count.
                Some((Scope::Network, rest)) => {
                    let near = rest.iter().take_while(|scope| shares(**scope, own, endpoint));
                    let beyond = if shared == 0 { scopes.len() } else { 0 };
                    not_shared(rest.len() + beyond, near.count())
                }
                _ => not_shared(scopes.len(), shared),
            }
        }
    })
}

fn not_shared(of: usize, shared: usize) -> u32 {
    u32::try_from(of - shared).unwrap_or(u32::MAX)
}

/// 0 for the same subzone, 1 for the same zone, 2 for the same region.
fn distance(own: &Locality, other: &Locality) -> u32 {
    if own.region != other.region {
        ELSEWHERE
    } else if own.zone != other.zone {
        2
    } else {
        u32::from(own.subzone != other.subzone)
    }
}

/// A label that both have with the same value, or with the one that is given.
fn shares_label(wanted: &str, own: &Places, endpoint: &Places) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => endpoint.label(name) == Some(value),
        None => own
            .label(wanted)
            .is_some_and(|value| endpoint.label(wanted) == Some(value)),
    }
}

fn shares(scope: Scope, own: &Places, endpoint: &Places) -> bool {
    match scope {
        Scope::Region => own.locality.region == endpoint.locality.region,
        Scope::Zone => own.locality.zone == endpoint.locality.zone,
        Scope::Subzone => own.locality.subzone == endpoint.locality.subzone,
        Scope::Node => own.node == endpoint.node,
        Scope::Cluster => own.cluster == endpoint.cluster,
        Scope::Network => own.network == endpoint.network,
    }
}

/// Whether a pattern `region/zone/subzone` takes a place; `*`, and parts that are not there, take any.
fn matches(pattern: &str, place: &Locality) -> bool {
    let parts = [&place.region, &place.zone, &place.subzone];
    let mut patterns = pattern.split('/');
    parts.into_iter().all(|part| match patterns.next() {
        None | Some("*") => true,
        Some(wanted) => wanted == part.as_str(),
    })
}

impl Places {
    /// A label; those that say where something is follow from the place (Istio, `failoverPriority`).
    fn label(&self, name: &str) -> Option<&str> {
        let known = match name {
            "topology.kubernetes.io/region" => &self.locality.region,
            "topology.kubernetes.io/zone" => &self.locality.zone,
            "topology.istio.io/subzone" => &self.locality.subzone,
            "topology.istio.io/network" => &self.network,
            "topology.istio.io/cluster" => &self.cluster,
            "kubernetes.io/hostname" => &self.node,
            _ => return self.of_its_own(name),
        };
        match known.is_empty() {
            true => self.of_its_own(name),
            false => Some(known),
        }
    }

    fn of_its_own(&self, name: &str) -> Option<&str> {
        let labels = &self.labels.as_ref()?.labels;
        labels.get(name).map(Strng::as_str)
    }
}

/// The distance of another region.
const ELSEWHERE: u32 = 3;
