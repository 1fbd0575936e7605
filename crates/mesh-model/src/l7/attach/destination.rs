//! What counts for connections to somewhere.

use mesh_types::Strng;

use super::{Attached, AttachedPolicies, Found, Given, Merging, Place, explain, first, found};
use crate::l7::health::HealthCheck;
use crate::l7::policy::PolicyKind;
use crate::l7::resilience::RetryBudget;
use crate::l7::session::Session;
use crate::l7::tls::BackendTls;
use crate::l7::traffic::{Subset, TrafficRules, TrafficSettings};

/// What counts for connections to a service or backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EffectiveDestination {
    /// How connections are made and kept: the DestinationRule for this port and subset, merged.
    pub traffic: Option<Given<TrafficSettings>>,
    /// What the endpoints' labels must have; empty without a subset.
    pub labels: Vec<(Strng, Strng)>,
    /// TLS towards it: that of a policy, else the DestinationRule's.
    pub backend_tls: Option<Given<BackendTls>>,
    /// Whether endpoints are asked if they are well.
    pub health_check: Option<Given<HealthCheck>>,
    /// What keeps a client at one endpoint, where neither the rule nor where the request came in says.
    pub session: Option<Given<Session>>,
    /// How many retries there may be at once: that of a policy, else the DestinationRule's.
    pub retry_budget: Option<Given<RetryBudget>>,
    /// All policies that are attached to it.
    pub attached: Vec<Attached>,
}

/// A route names a subset that no DestinationRule defines: nothing can be sent there, which is answered with 503.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no DestinationRule defines subset {subset:?}")]
pub struct UnknownSubset {
    /// The subset.
    pub subset: Strng,
}

impl EffectiveDestination {
    /// What counts for connections to a service or backend, which the place names, and to a subset of it. What is
    /// attached to the route does not count here.
    ///
    /// # Errors
    /// When nobody defines the subset.
    pub fn towards(
        policies: &impl AttachedPolicies,
        place: &Place,
        subset: Option<&Strng>,
    ) -> Result<Self, UnknownSubset> {
        let mut found = found(
            policies,
            &Place {
                route: None,
                rule: None,
                ..place.clone()
            },
        );
        nearest_first(&mut found, place);
        let rules = first(&found, |kind| match kind {
            PolicyKind::Traffic(rules) => Some(&**rules),
            _ => None,
        });
        let defined = rules.as_ref().and_then(|rules| rules.value.subset(subset?));
        if let (Some(subset), None) = (subset, defined) {
            return Err(UnknownSubset {
                subset: subset.clone(),
            });
        }
        let labels = defined.map(|subset| subset.labels.clone()).unwrap_or_default();
        let traffic = rules.map(|rules| Given {
            value: rules.value.settings_for(place.port, subset),
            object: rules.object,
            target: rules.target,
        });
        let block = |tls: &Given<TrafficSettings>| tls.value.tls.clone();
        let backend_tls = first(&found, |kind| match kind {
            PolicyKind::BackendTls(tls) => Some(tls),
            _ => None,
        });
        let retry_budget = first(&found, |kind| match kind {
            PolicyKind::RetryBudget(budget) => Some(budget),
            _ => None,
        });
        Ok(Self {
            labels,
            backend_tls: backend_tls.or_else(|| of_traffic(traffic.as_ref()?, block)),
            retry_budget: retry_budget.or_else(|| of_traffic(traffic.as_ref()?, |t| t.value.retry_budget)),
            traffic,
            health_check: first(&found, |kind| match kind {
                PolicyKind::HealthCheck(check) => Some(check),
                _ => None,
            }),
            session: first(&found, |kind| match kind {
                PolicyKind::Session(session) => Some(session),
                _ => None,
            }),
            attached: explain(&found, merging),
        })
    }
}

impl TrafficRules {
    /// A subset by its name.
    #[must_use]
    pub fn subset(&self, name: &Strng) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == *name)
    }

    /// The settings for a port and subset (Istio, DestinationRule, "portLevelSettings" and "subsets").
    ///
    /// Those of a port replace the service's as a whole: what they leave out is the default. A subset's differ block by
    /// block, and its own ports' replace again. PROXY protocol and retry budget cannot be set for a port, so that the
    /// service's stay.
    #[must_use]
    pub fn settings_for(&self, port: Option<u16>, subset: Option<&Strng>) -> TrafficSettings {
        let for_port =
            |ports: &std::collections::BTreeMap<u16, TrafficSettings>, whole: TrafficSettings| match port
                .and_then(|port| ports.get(&port))
            {
                Some(settings) => settings.clone().over_whole(&whole),
                None => whole,
            };
        let service = for_port(&self.ports, self.settings.clone());
        match subset.and_then(|name| self.subset(name)) {
            Some(subset) => for_port(&subset.ports, subset.settings.clone().over_blocks(service)),
            None => service,
        }
    }
}

impl TrafficSettings {
    /// These instead of others, but for what a port cannot say.
    fn over_whole(mut self, whole: &Self) -> Self {
        self.retry_budget = self.retry_budget.or(whole.retry_budget);
        self.proxy_protocol = self.proxy_protocol.or(whole.proxy_protocol);
        self
    }

    /// These, and where a block is absent the other's. Balancer, places and warmup are one block, as they are written.
    fn over_blocks(self, other: Self) -> Self {
        let balances = self.balancer.is_some() || self.locality.is_some() || self.warmup.is_some();
        let (balancer, locality, warmup) = match balances {
            true => (self.balancer, self.locality, self.warmup),
            false => (other.balancer, other.locality, other.warmup),
        };
        Self {
            balancer,
            locality,
            warmup,
            limits: self.limits.or(other.limits),
            outliers: self.outliers.or(other.outliers),
            tls: self.tls.or(other.tls),
            retry_budget: self.retry_budget.or(other.retry_budget),
            proxy_protocol: self.proxy_protocol.or(other.proxy_protocol),
        }
    }
}

/// Of DestinationRules for one target, that of the gateway's own namespace counts, then that of the service's, then the
/// root namespace's, whatever their age (Istio, "Destination Rule", `exportTo`). Others stay in their order.
fn nearest_first(found: &mut [Found<'_>], place: &Place) {
    found.sort_by_key(|found| {
        let namespace = &found.policy.object.name.namespace;
        let of_service = place.service.as_ref().map(|service| &service.namespace);
        let distance = match &found.policy.kind {
            PolicyKind::Traffic(_) if *namespace == place.gateway.namespace => 0,
            PolicyKind::Traffic(_) if Some(namespace) == of_service => 1,
            PolicyKind::Traffic(_) => 2,
            _ => 0,
        };
        (std::cmp::Reverse(found.target.rank()), distance)
    });
}

fn of_traffic<T>(
    traffic: &Given<TrafficSettings>,
    of: impl FnOnce(&Given<TrafficSettings>) -> Option<T>,
) -> Option<Given<T>> {
    Some(Given {
        value: of(traffic)?,
        object: traffic.object.clone(),
        target: traffic.target.clone(),
    })
}

fn merging(kind: &PolicyKind) -> Merging {
    match kind {
        PolicyKind::Traffic(_)
        | PolicyKind::BackendTls(_)
        | PolicyKind::HealthCheck(_)
        | PolicyKind::Session(_)
        | PolicyKind::RetryBudget(_) => Merging::First,
        PolicyKind::Authorization(_)
        | PolicyKind::Authentication(_)
        | PolicyKind::RateLimit(_)
        | PolicyKind::Retry(_)
        | PolicyKind::Fault(_)
        | PolicyKind::AccessLogging(_)
        | PolicyKind::Metrics(_)
        | PolicyKind::Tracing(_)
        | PolicyKind::PathNormalization(_)
        | PolicyKind::ForwardClientIdentity(_)
        | PolicyKind::TrustedProxies(_)
        | PolicyKind::Unusable(_) => Merging::Elsewhere,
    }
}
