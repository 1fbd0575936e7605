//! Which endpoint gets a request (Istio reference, "Destination Rule", `LoadBalancerSettings`).

use std::collections::BTreeMap;

use mesh_types::Strng;
use serde::Deserialize;

use crate::value::IstioDuration;

/// Which endpoint gets a request.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(try_from = "LoadBalancerFields")]
pub struct LoadBalancer {
    /// How one is chosen.
    pub algorithm: Algorithm,
    /// Which places are preferred; replaces the mesh's setting.
    pub locality: Option<LocalityLbSetting>,
    /// How endpoints that were just born get their share.
    pub warmup: Option<Warmup>,
}

/// How an endpoint is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Algorithm {
    /// As the mesh does where nothing is said: the less busy of two random ones.
    #[default]
    Unspecified,
    /// The less busy of two random ones (`LEAST_REQUEST`, and `LEAST_CONN` of old).
    LeastRequest,
    /// Any.
    Random,
    /// Each in turn.
    RoundRobin,
    /// The one that the client asked for.
    Passthrough,
    /// The same one for equal keys.
    ConsistentHash(ConsistentHash),
}

/// The same endpoint for equal keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ConsistentHashFields")]
pub struct ConsistentHash {
    /// What is hashed.
    pub key: HashKey,
    /// How keys are mapped to endpoints.
    pub table: HashTable,
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// A header.
    Header(Strng),
    /// A cookie.
    Cookie(HashCookie),
    /// The client's address.
    SourceIp,
    /// A parameter of the query.
    QueryParameter(Strng),
}

/// How keys are mapped to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashTable {
    /// A ring with at least so many points.
    Ring {
        /// 1024 where nothing is said.
        minimum_size: u64,
    },
    /// Maglev's table.
    Maglev {
        /// A prime number; 65537 where nothing is said.
        size: u64,
    },
}

/// A cookie that keeps a client at its endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HashCookie {
    /// Its name.
    pub name: Strng,
    /// Its path.
    #[serde(default)]
    pub path: Strng,
    /// Its lifetime; zero is the browser's session. Absent: none is made where there is none.
    #[serde(default)]
    pub ttl: Option<IstioDuration>,
    /// Further attributes.
    #[serde(default)]
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CookieAttribute {
    /// Its name.
    pub name: Strng,
    /// Its value.
    #[serde(default)]
    pub value: Strng,
}

/// Which places are preferred; one of the three at most.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalityLbSetting {
    /// Shares, by where the client is.
    pub distribute: Vec<Distribute>,
    /// Where the traffic of a region goes when it is not well.
    pub failover: Vec<Failover>,
    /// Labels that endpoints have in common with the client, the first ones counting most.
    pub failover_priority: Vec<Strng>,
    /// Whether places count; absent means as the mesh says.
    pub enabled: Option<bool>,
}

/// Where the traffic of one place goes.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Distribute {
    /// The place, `region/zone/subzone`; `*` at the end is any.
    pub from: Strng,
    /// Per cents by place, which add up to 100.
    pub to: BTreeMap<Strng, u32>,
}

/// From one region to another.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Failover {
    /// From this one …
    pub from: Strng,
    /// … to this one.
    pub to: Strng,
}

/// How endpoints that were just born get their share.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warmup {
    /// For so long.
    pub duration: IstioDuration,
    /// The share at the beginning, in per cent; 10 where absent.
    #[serde(default)]
    pub minimum_percent: Option<f64>,
    /// How it grows: 1 evenly, more slower at first; 1 where absent.
    #[serde(default)]
    pub aggression: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LoadBalancerFields {
    /// An algorithm by its name.
    simple: Option<Simple>,
    /// The same endpoint for equal keys.
    consistent_hash: Option<ConsistentHash>,
    /// Which places are preferred.
    locality_lb_setting: Option<LocalityLbSetting>,
    /// How long endpoints that were just born get less than their share; `warmup` says more.
    warmup_duration_secs: Option<IstioDuration>,
    warmup: Option<Warmup>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Simple {
    Unspecified,
    LeastConn,
    Random,
    Passthrough,
    RoundRobin,
    LeastRequest,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ConsistentHashFields {
    /// The key is this header.
    http_header_name: Option<Strng>,
    /// The key is this cookie.
    http_cookie: Option<HashCookie>,
    /// The key is the client's address.
    use_source_ip: Option<bool>,
    /// The key is this parameter.
    http_query_parameter_name: Option<Strng>,
    /// Keys are mapped by a ring.
    ring_hash: Option<RingHash>,
    /// Keys are mapped by Maglev's table.
    maglev: Option<MagLev>,
    /// The ring's least size, under its name of old.
    minimum_ring_size: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RingHash {
    /// The ring's least size; 1024 where absent.
    minimum_ring_size: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MagLev {
    /// The table's size, a prime number; 65537 where absent.
    table_size: Option<u64>,
}

impl TryFrom<LoadBalancerFields> for LoadBalancer {
    type Error = &'static str;

    fn try_from(fields: LoadBalancerFields) -> Result<Self, &'static str> {
        let algorithm = match (fields.simple, fields.consistent_hash) {
            (Some(_), Some(_)) => return Err("may have only one of simple and consistentHash"),
            (None, Some(hash)) => Algorithm::ConsistentHash(hash),
            (None | Some(Simple::Unspecified), None) => Algorithm::Unspecified,
            (Some(Simple::LeastConn | Simple::LeastRequest), None) => Algorithm::LeastRequest,
            (Some(Simple::Random), None) => Algorithm::Random,
            (Some(Simple::RoundRobin), None) => Algorithm::RoundRobin,
            (Some(Simple::Passthrough), None) => Algorithm::Passthrough,
        };
        let warmup = match (fields.warmup, fields.warmup_duration_secs) {
            (Some(_), Some(_)) => return Err("may have only one of warmup and warmupDurationSecs"),
            (None, Some(duration)) => Some(Warmup {
                duration,
                minimum_percent: None,
                aggression: None,
            }),
            (warmup, None) => warmup,
        };
        Ok(Self {
            algorithm,
            locality: fields.locality_lb_setting,
            warmup,
        })
    }
}

impl TryFrom<ConsistentHashFields> for ConsistentHash {
    type Error = &'static str;

    fn try_from(fields: ConsistentHashFields) -> Result<Self, &'static str> {
        let keys = [
            fields.http_header_name.map(HashKey::Header),
            fields.http_cookie.map(HashKey::Cookie),
            fields
                .use_source_ip
                .filter(|used| *used)
                .map(|_| HashKey::SourceIp),
            fields.http_query_parameter_name.map(HashKey::QueryParameter),
        ];
        let mut keys = keys.into_iter().flatten();
        let (Some(key), None) = (keys.next(), keys.next()) else {
            return Err(
                "needs exactly one of httpHeaderName, httpCookie, useSourceIp and httpQueryParameterName",
            );
        };
        let table = match (fields.ring_hash, fields.maglev, fields.minimum_ring_size) {
            (None, Some(maglev), None) => HashTable::Maglev {
                size: maglev.table_size.unwrap_or(65_537),
            },
            (ring, None, of_old) => HashTable::Ring {
                minimum_size: ring.and_then(|r| r.minimum_ring_size).or(of_old).unwrap_or(1024),
            },
            (_, Some(_), _) => return Err("may have only one of ringHash and maglev"),
        };
        Ok(Self { key, table })
    }
}
