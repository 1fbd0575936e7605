//! Which endpoint gets a request.

use controlplane_k8s_api::networking::{
    Algorithm, ConsistentHash, HashCookie, HashKey as KeySpec, HashTable, LoadBalancer, LocalityLbSetting,
    Warmup as WarmupSpec,
};
use controlplane_k8s_api::validate::http;
use mesh_model::l7::traffic::{
    Balancer, Distribution, HashKey, HashRing, LocalityRules, TrafficSettings, Warmup,
};
use mesh_types::Strng;

use super::{At, Credentials};
use crate::derived::ConditionReason;
use crate::l7::policy::text;

impl<C: Credentials> At<'_, C> {
    /// One block: where it is there, nothing of another one's counts.
    pub(super) fn balance(&mut self, spec: &LoadBalancer, settings: &mut TrafficSettings) {
        settings.balancer = Some(match &spec.algorithm {
            Algorithm::Unspecified | Algorithm::LeastRequest => Balancer::LeastRequest,
            Algorithm::Random => Balancer::Random,
            Algorithm::RoundRobin => Balancer::RoundRobin,
            Algorithm::Passthrough => Balancer::Passthrough,
            Algorithm::ConsistentHash(hash) => self.within("consistentHash", |at| at.hash(hash)),
        });
        let locality = spec.locality.as_ref();
        settings.locality = locality.and_then(|setting| self.locality("localityLbSetting", setting));
        settings.warmup = spec.warmup.as_ref().and_then(|warmup| self.warmup(warmup));
    }

    fn hash(&mut self, hash: &ConsistentHash) -> Balancer {
        let key = match hash_key(&hash.key) {
            Ok(key) => key,
            Err((field, why)) => {
                let message = format!("{why}: requests go to the less busy endpoint, whatever their key");
                self.tell(ConditionReason::Invalid, field, message);
                return Balancer::LeastRequest;
            }
        };
        let ring = match hash.table {
            HashTable::Ring { minimum_size } => ring(minimum_size).map(HashRing::Ring),
            HashTable::Maglev { size } => maglev(size).map(HashRing::Maglev),
        };
        let ring = ring.unwrap_or_else(|why| {
            self.tell(
                ConditionReason::Invalid,
                "",
                format!("{why}; a ring of 1024 is used"),
            );
            HashRing::Ring(1024)
        });
        Balancer::ConsistentHash { key, ring }
    }

    /// Which places are preferred; nothing where the setting leaves it to the mesh.
    pub(super) fn locality(&mut self, field: &str, setting: &LocalityLbSetting) -> Option<LocalityRules> {
        if setting.enabled == Some(false) {
            return Some(LocalityRules::Off);
        }
        let mut distributions = Vec::new();
        for (i, spec) in setting.distribute.iter().enumerate() {
            let sum: u64 = spec.to.values().map(|percent| u64::from(*percent)).sum();
            let named = !spec.from.is_empty() && spec.to.keys().all(|place| !place.is_empty());
            match named && sum == 100 {
                true => distributions.push(Distribution {
                    from: spec.from.clone(),
                    to: spec
                        .to
                        .iter()
                        .map(|(place, percent)| (place.clone(), *percent))
                        .collect(),
                }),
                false => {
                    let message = "does not say how 100 per cent are shared: it is left out";
                    let field = format!("{field}.distribute[{i}]");
                    self.tell(ConditionReason::Invalid, &field, message);
                }
            }
        }
        let failovers = setting.failover.iter();
        let failovers: Vec<(Strng, Strng)> = failovers
            .filter(|failover| !failover.from.is_empty() && !failover.to.is_empty())
            .map(|failover| (failover.from.clone(), failover.to.clone()))
            .collect();
        let labels = setting.failover_priority.iter().filter(|label| !label.is_empty());
        let labels: Vec<Strng> = labels.cloned().collect();
        if !labels.is_empty() && !failovers.is_empty() {
            let message = "has no effect beside failoverPriority";
            self.tell(
                ConditionReason::Unsupported,
                &format!("{field}.failover"),
                message,
            );
        }
        match () {
            () if !distributions.is_empty() => Some(LocalityRules::Distribute(distributions)),
            () if !labels.is_empty() => Some(LocalityRules::Priority(labels)),
            () if !failovers.is_empty() => Some(LocalityRules::Failover(failovers)),
            () => setting.enabled.map(|_| LocalityRules::Nearest),
        }
    }

    fn warmup(&mut self, warmup: &WarmupSpec) -> Option<Warmup> {
        if warmup.duration.0.is_zero() {
            self.tell(
                ConditionReason::Invalid,
                "warmup.duration",
                "is zero: there is no warm-up",
            );
            return None;
        }
        let aggression = warmup
            .aggression
            .map_or(1000, |a| text::scaled(a, 1000.0, u32::MAX));
        Some(Warmup {
            duration: warmup.duration.0,
            minimum_percent: warmup.minimum_percent.map_or(10, |p| text::scaled(p, 1.0, 100)),
            aggression_milli: aggression.max(1),
        })
    }
}

fn hash_key(key: &KeySpec) -> Result<HashKey, (&'static str, String)> {
    match key {
        KeySpec::Header(name) => text::header(name)
            .map(HashKey::Header)
            .map_err(|why| ("httpHeaderName", why)),
        KeySpec::Cookie(spec) => cookie(spec).map_err(|why| ("httpCookie", why)),
        KeySpec::SourceIp => Ok(HashKey::SourceIp),
        KeySpec::QueryParameter(name) => text::some(name)
            .map(HashKey::Query)
            .map_err(|why| ("httpQueryParameterName", why)),
    }
}

/// Nothing in it may end the cookie or one of its parts (RFC 6265, section 4.1.1).
fn cookie(cookie: &HashCookie) -> Result<HashKey, String> {
    let part = |value: &Strng| match value.contains(';') {
        true => Err(format!("has a part with a semicolon: {value:?}")),
        false => http::header_value(value).map(|()| value.clone()),
    };
    http::header_name(&cookie.name)?;
    let attributes = cookie.attributes.iter().map(|attribute| {
        http::header_name(&attribute.name)?;
        Ok((attribute.name.clone(), part(&attribute.value)?))
    });
    Ok(HashKey::Cookie {
        name: cookie.name.clone(),
        path: Some(part(&cookie.path)?).filter(|path| !path.is_empty()),
        ttl: cookie.ttl.map(|ttl| ttl.0),
        attributes: attributes.collect::<Result<_, String>>()?,
    })
}

fn ring(size: u64) -> Result<u32, String> {
    let size = u32::try_from(size)
        .ok()
        .filter(|size| (1..=MAX_RING).contains(size));
    size.ok_or_else(|| format!("has a minimumRingSize that is not from 1 to {MAX_RING}"))
}

fn maglev(size: u64) -> Result<u32, String> {
    let prime = |size: &u32| *size > 1 && !(2..=size.isqrt()).any(|divisor| size.is_multiple_of(divisor));
    let size = u32::try_from(size).ok().filter(|size| *size <= MAX_MAGLEV);
    size.filter(prime)
        .ok_or_else(|| format!("has a tableSize that is no prime number up to {MAX_MAGLEV}"))
}

/// Envoy's bounds.
const MAX_RING: u32 = 8_388_608;
const MAX_MAGLEV: u32 = 5_000_011;
