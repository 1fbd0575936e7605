//! What counts for a request or connection that came in somewhere.

use super::{Attached, AttachedPolicies, Found, Given, Merging, Place, all, explain, first, found};
use crate::l7::authentication::Authentication;
use crate::l7::authorization::{Authorization, Authorizer};
use crate::l7::filter::Fault;
use crate::l7::policy::{PathNormalization, PolicyKind};
use crate::l7::rate_limit::RateLimit;
use crate::l7::resilience::Retry;
use crate::l7::session::Session;
use crate::l7::telemetry::{LoggedTo, MetricOverride, Tracing};

/// What counts for a request or connection, by where it came in and, once that is known, by its route.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effective {
    /// Which requests may pass; all of them count.
    pub authorizations: Vec<Given<Authorization>>,
    /// Which tokens are known; all of them count.
    pub authentications: Vec<Given<Authentication>>,
    /// How many requests there may be; all of them count.
    pub rate_limits: Vec<Given<RateLimit>>,
    /// What keeps a client at one endpoint, where the rule does not say.
    pub session: Option<Given<Session>>,
    /// When requests are tried again, where the rule does not say.
    pub retry: Option<Given<Retry>>,
    /// Delays and failures, beside those of the rule.
    pub fault: Option<Given<Fault>>,
    /// Where records go; absent where no policy says anything. The policies of the most specific target replace the
    /// others (Istio, Telemetry: a level's providers are those of the one above until it names its own).
    pub logging: Option<Vec<Given<LoggedTo>>>,
    /// How metrics differ, the more general first: a later change of the same thing counts.
    pub metrics: Vec<Given<Vec<MetricOverride>>>,
    /// What is traced.
    pub tracing: Option<Given<Tracing>>,
    /// How paths are made comparable; the default if absent.
    pub path_normalization: Option<Given<PathNormalization>>,
    /// Whether applications are told who asks; not if absent.
    pub forward_client_identity: Option<Given<bool>>,
    /// How many proxies in front of gateways are believed; none if absent.
    pub trusted_proxies: Option<Given<u32>>,
    /// All policies that are attached here.
    pub attached: Vec<Attached>,
}

impl Effective {
    /// What counts for a request or connection that came in at a place.
    #[must_use]
    pub fn at(policies: &impl AttachedPolicies, place: &Place) -> Self {
        let found = found(policies, place);
        Self {
            authorizations: all(&found, |kind| match kind {
                PolicyKind::Authorization(policy) => Some(policy),
                _ => None,
            }),
            authentications: all(&found, |kind| match kind {
                PolicyKind::Authentication(policy) => Some(policy),
                _ => None,
            }),
            rate_limits: all(&found, |kind| match kind {
                PolicyKind::RateLimit(policy) => Some(policy),
                _ => None,
            }),
            session: first(&found, |kind| match kind {
                PolicyKind::Session(policy) => Some(policy),
                _ => None,
            }),
            retry: first(&found, |kind| match kind {
                PolicyKind::Retry(policy) => Some(policy),
                _ => None,
            }),
            fault: first(&found, |kind| match kind {
                PolicyKind::Fault(policy) => Some(policy),
                _ => None,
            }),
            logging: logging(&found),
            metrics: metrics(&found),
            tracing: first(&found, |kind| match kind {
                PolicyKind::Tracing(policy) => Some(policy),
                _ => None,
            }),
            path_normalization: first(&found, |kind| match kind {
                PolicyKind::PathNormalization(policy) => Some(policy),
                _ => None,
            }),
            forward_client_identity: first(&found, |kind| match kind {
                PolicyKind::ForwardClientIdentity(policy) => Some(policy),
                _ => None,
            }),
            trusted_proxies: first(&found, |kind| match kind {
                PolicyKind::TrustedProxies(policy) => Some(policy),
                _ => None,
            }),
            attached: explain(&found, merging),
        }
    }

    /// The authorization policies, compiled.
    #[must_use]
    pub fn authorizer(&self) -> Authorizer {
        Authorizer::compile(
            self.authorizations
                .iter()
                .map(|given| (&given.object, &given.value)),
        )
    }

    /// How paths are made comparable.
    #[must_use]
    pub fn path_normalization(&self) -> PathNormalization {
        let given = self.path_normalization.as_ref();
        given.map(|given| given.value).unwrap_or_default()
    }

    /// How many proxies in front of gateways are believed.
    #[must_use]
    pub fn trusted_proxies(&self) -> u32 {
        self.trusted_proxies.as_ref().map_or(0, |given| given.value)
    }

    /// Whether applications are told who asks.
    #[must_use]
    pub fn forwards_client_identity(&self) -> bool {
        self.forward_client_identity
            .as_ref()
            .is_some_and(|given| given.value)
    }
}

fn merging(kind: &PolicyKind) -> Merging {
    match kind {
        PolicyKind::Authorization(_)
        | PolicyKind::Authentication(_)
        | PolicyKind::RateLimit(_)
        | PolicyKind::Metrics(_)
        | PolicyKind::Unusable(_) => Merging::All,
        PolicyKind::AccessLogging(_) => Merging::Level,
        PolicyKind::Session(_)
        | PolicyKind::Retry(_)
        | PolicyKind::Fault(_)
        | PolicyKind::Tracing(_)
        | PolicyKind::PathNormalization(_)
        | PolicyKind::ForwardClientIdentity(_)
        | PolicyKind::TrustedProxies(_) => Merging::First,
        PolicyKind::Traffic(_)
        | PolicyKind::BackendTls(_)
        | PolicyKind::HealthCheck(_)
        | PolicyKind::RetryBudget(_) => Merging::Elsewhere,
    }
}

fn logging(found: &[Found<'_>]) -> Option<Vec<Given<LoggedTo>>> {
    let policies = all(found, |kind| match kind {
        PolicyKind::AccessLogging(policy) => Some(policy),
        _ => None,
    });
    let level = policies.first()?.target.rank();
    let here = policies.iter().filter(|policy| policy.target.rank() == level);
    let sinks = here.flat_map(|policy| {
        policy.value.sinks.iter().map(|logged| Given {
            value: logged.clone(),
            object: policy.object.clone(),
            target: policy.target.clone(),
        })
    });
    Some(sinks.collect())
}

fn metrics(found: &[Found<'_>]) -> Vec<Given<Vec<MetricOverride>>> {
    let mut metrics = all(found, |kind| match kind {
        PolicyKind::Metrics(policy) => Some(&policy.overrides),
        _ => None,
    });
    metrics.reverse();
    metrics
}
