//! What counts for connections and requests to a destination.

use std::rc::Rc;
use std::time::Duration;

use mesh_balance::{Preference, Settings as BalanceSettings};
use mesh_model::l7::attach::{EffectiveDestination, Place};
use mesh_model::l7::health::HealthCheck;
use mesh_model::l7::resilience::RetryBudget;
use mesh_model::l7::session::Session;
use mesh_model::l7::tls::BackendTls;
use mesh_model::l7::traffic::{
    Balancer, ConnectionLimits, HashKey, HttpVersionPolicy, LocalityRules, OutlierDetection,
    ProxyProtocolVersion, TrafficSettings,
};
use mesh_model::service::{LoadBalancing, Mode};
use mesh_net::Keepalive;
use mesh_state::l7::L7Snapshot;
use mesh_types::Strng;

use super::ClusterKey;
use super::cluster::Toward;
use super::origination::Origination;
use crate::frontend::Gateway;

/// What counts for a destination; the same as long as nothing changes.
pub(crate) struct Rules {
    /// What it was made of.
    effective: EffectiveDestination,
    traffic: TrafficSettings,
    /// TLS towards the endpoints.
    pub(crate) tls: Origination,
    /// No DestinationRule defines the subset.
    pub(crate) unknown_subset: bool,
}

impl Rules {
    /// Of a destination, as of a snapshot; `old` if that has not changed.
    pub(super) fn of(
        key: &ClusterKey,
        snapshot: &L7Snapshot,
        gateway: &Gateway,
        old: Option<&Rc<Self>>,
    ) -> Rc<Self> {
        let place = Place::at(gateway.name.clone());
        let (place, subset) = match key {
            ClusterKey::Service(at, subset) | ClusterKey::Toward(at, subset, _) => {
                (place.with_service(at.clone()), subset.as_ref())
            }
            ClusterKey::Backend(name) | ClusterKey::Host(name, _) => (place.with_backend(name.clone()), None),
            // What is said of a service is its waypoint's to do.
            ClusterKey::Workload(..) | ClusterKey::Through(..) => (place, None),
        };
        let found = EffectiveDestination::towards(snapshot, &place, subset);
        let unknown_subset = found.is_err();
        let mut effective = found.unwrap_or_default();
        // Only for explanations.
        effective.attached.clear();
        if let Some(old) = old
            && old.effective == effective
            && old.unknown_subset == unknown_subset
        {
            return old.clone();
        }
        let traffic = effective.traffic.as_ref().map(|given| given.value.clone());
        let tls = match effective.backend_tls.as_ref().map(|given| &given.value) {
            None | Some(BackendTls::Off) => Origination::Off,
            Some(BackendTls::Invalid(why)) => Origination::Invalid(why.clone()),
            Some(BackendTls::On(tls)) => Origination::new(tls, host(key)),
        };
        Rc::new(Self {
            effective,
            traffic: traffic.unwrap_or_default(),
            tls,
            unknown_subset,
        })
    }

    /// What the endpoints' labels must have.
    pub(super) fn labels(&self) -> &[(Strng, Strng)] {
        &self.effective.labels
    }

    /// How endpoints are picked. A service's own preference of places counts where no DestinationRule says anything;
    /// without that, the nearest are preferred if somebody sees to it that those who are not well are left out, as in Istio.
    pub(super) fn balance(&self, service: Option<&LoadBalancing>) -> BalanceSettings {
        let watched = self.traffic.outliers.is_some() || self.health().is_some();
        let scoped = service.filter(|own| !own.preference.is_empty());
        let preference = match (&self.traffic.locality, scoped.map(|own| own.mode)) {
            (Some(rules), _) => Preference::Rules(rules.clone()),
            (None, Some(mode @ (Mode::Strict | Mode::Failover))) => Preference::Scopes {
                scopes: scoped.map(|own| own.preference.clone()).unwrap_or_default(),
                strict: mode == Mode::Strict,
            },
            (None, _) if watched => Preference::Rules(LocalityRules::Nearest),
            (None, _) => Preference::None,
        };
        BalanceSettings {
            balancer: self.traffic.balancer.clone().unwrap_or_default(),
            preference,
            warmup: self.traffic.warmup,
            panic_percent: self.outliers().map_or(0, |rules| rules.min_health_percent),
            ..BalanceSettings::default()
        }
    }

    /// What keeps equal keys together.
    pub(crate) fn hash_key(&self) -> Option<&HashKey> {
        match self.traffic.balancer.as_ref()? {
            Balancer::ConsistentHash { key, .. } => Some(key),
            _ => None,
        }
    }

    /// Whether it matters how soon endpoints answer.
    pub(crate) fn measures(&self) -> bool {
        self.traffic.balancer == Some(Balancer::PeakEwma)
    }

    /// How many connections and requests there may be.
    pub(crate) fn limits(&self) -> &ConnectionLimits {
        static NONE: ConnectionLimits = ConnectionLimits {
            max_connections: None,
            connect_timeout: None,
            max_connection_duration: None,
            tcp_idle_timeout: None,
            keepalive: None,
            max_pending_requests: None,
            max_requests: None,
            max_requests_per_connection: None,
            max_retries: None,
            http_idle_timeout: None,
            max_concurrent_streams: None,
            http_version: HttpVersionPolicy::Declared,
            http2_keepalive: None,
        };
        self.traffic.limits.as_ref().unwrap_or(&NONE)
    }

    /// When an endpoint is left out; never if absent.
    pub(crate) fn outliers(&self) -> Option<&OutlierDetection> {
        self.traffic.outliers.as_ref()
    }

    /// Whether endpoints are asked if they are well.
    pub(crate) fn health(&self) -> Option<&HealthCheck> {
        Some(&self.effective.health_check.as_ref()?.value)
    }

    /// What keeps a client at one endpoint.
    pub(crate) fn session(&self) -> Option<&Session> {
        Some(&self.effective.session.as_ref()?.value)
    }

    /// How many retries there may be at once: a budget, or a number.
    pub(crate) fn retries(&self) -> (RetryBudget, Option<u32>) {
        match &self.effective.retry_budget {
            Some(given) => (given.value, None),
            None => (RetryBudget::default(), self.limits().max_retries),
        }
    }

    /// The PROXY protocol header that connections begin with.
    pub(crate) fn proxy_protocol(&self) -> Option<ProxyProtocolVersion> {
        self.traffic.proxy_protocol
    }

    /// Keepalive of TCP connections.
    pub(crate) fn keepalive(&self) -> Option<Keepalive> {
        let wanted = self.limits().keepalive?;
        let usual = Keepalive::default();
        Some(Keepalive {
            time: wanted.time.unwrap_or(usual.time),
            interval: wanted.interval.unwrap_or(usual.interval),
            retries: wanted.probes.unwrap_or(usual.retries),
        })
    }

    /// Whether connections that were made by other rules can go on being used.
    pub(super) fn connects_as(&self, other: &Self) -> bool {
        let tls = |rules: &Self| {
            rules
                .effective
                .backend_tls
                .as_ref()
                .map(|given| given.value.clone())
        };
        self.traffic.proxy_protocol == other.traffic.proxy_protocol
            && self.limits().http2_keepalive == other.limits().http2_keepalive
            && tls(self) == tls(other)
    }

    /// How long a TCP connection may be without a byte.
    pub(crate) fn tcp_idle(&self) -> Duration {
        self.limits().tcp_idle_timeout.unwrap_or(TCP_IDLE)
    }
}

/// The host that a destination is, for handshakes that no policy names one for.
fn host(key: &ClusterKey) -> Option<&Strng> {
    match key {
        ClusterKey::Service(at, _) | ClusterKey::Toward(at, _, Toward::Address(_)) => {
            Some(&at.service.hostname)
        }
        ClusterKey::Host(_, host) | ClusterKey::Toward(_, _, Toward::Host(host)) => Some(host),
        ClusterKey::Workload(..) | ClusterKey::Backend(_) | ClusterKey::Through(..) => None,
    }
}

/// Envoy's and Istio's.
const TCP_IDLE: Duration = Duration::from_secs(60 * 60);
