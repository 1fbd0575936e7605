//! How connections to a service are made and kept (Istio, "Destination Rule"). Absent fields are defaults.

mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_types::Strng;

use super::resilience::RetryBudget;
use super::tls::BackendTls;

/// A DestinationRule's content, for the service that it is attached to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficRules {
    /// For every port without its own.
    pub settings: TrafficSettings,
    /// Replaces the former as a whole for a port.
    pub ports: BTreeMap<u16, TrafficSettings>,
    /// Parts of the endpoints.
    pub subsets: Vec<Subset>,
}

/// A part of a service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// Its name.
    pub name: Strng,
    /// What their labels must have.
    pub labels: Vec<(Strng, Strng)>,
    /// What differs, block by block, from the service's.
    pub settings: TrafficSettings,
    /// What differs for a port.
    pub ports: BTreeMap<u16, TrafficSettings>,
}

/// Settings in blocks; an absent block is inherited, or the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficSettings {
    /// Which endpoint gets a request.
    pub balancer: Option<Balancer>,
    /// Which places are preferred.
    pub locality: Option<LocalityRules>,
    /// How endpoints that were just born get their share.
    pub warmup: Option<Warmup>,
    /// How many connections and requests there may be.
    pub limits: Option<ConnectionLimits>,
    /// When an endpoint is left out.
    pub outliers: Option<OutlierDetection>,
    /// TLS towards the endpoints.
    pub tls: Option<BackendTls>,
    /// How many retries there may be at once.
    pub retry_budget: Option<RetryBudget>,
    /// The PROXY protocol header that connections begin with.
    pub proxy_protocol: Option<ProxyProtocolVersion>,
}

/// Which endpoint gets a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balancer {
    /// The less busy of two random ones.
    #[default]
    LeastRequest,
    /// The one of two random ones that answers sooner.
    PeakEwma,
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
    /// The one that the client asked for.
    Passthrough,
    /// The same one for equal keys.
    ConsistentHash {
        /// What is hashed.
        key: HashKey,
        /// How.
        ring: HashRing,
    },
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// A header.
    Header(Strng),
    /// A cookie, which is made where a lifetime is given and none is there.
    Cookie {
        /// Its name.
        name: Strng,
        /// Its path.
        path: Option<Strng>,
        /// Its lifetime; zero for the browser's session.
        ttl: Option<Duration>,
        /// Further attributes.
        attributes: Vec<(Strng, Strng)>,
    },
    /// The client's address.
    SourceIp,
    /// A query parameter.
    Query(Strng),
}

/// How keys are mapped to endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashRing {
    /// A ring with at least these many points.
    Ring(u32),
    /// A table of this size, which is prime.
    Maglev(u32),
}

/// Which places are preferred (`localityLbSetting`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalityRules {
    /// None.
    Off,
    /// The nearest: region, zone, subzone; the next ones as far as the nearer are not well.
    Nearest,
    /// Shares, by where the client is: patterns `region/zone/*`.
    Distribute(Vec<Distribution>),
    /// The nearest, and after a region another one: from, to.
    Failover(Vec<(Strng, Strng)>),
    /// Endpoints that have these labels in common with the client, the first ones counting most; `label=value` for a
    /// value of its own.
    Priority(Vec<Strng>),
}

/// Where the traffic of one place goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// From.
    pub from: Strng,
    /// To, with per cents that add up to 100.
    pub to: Vec<(Strng, u32)>,
}

/// How endpoints that were just born get their share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warmup {
    /// For this long.
    pub duration: Duration,
    /// At least this part of it, in per cent.
    pub minimum_percent: u32,
    /// How the share grows, in thousandths: 1000 for linearly.
    pub aggression_milli: u32,
}

/// How many connections and requests there may be; absent means no limit, or Envoy's default where one is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections, to all endpoints.
    pub max_connections: Option<u32>,
    /// For a connection to come about; 10 s.
    pub connect_timeout: Option<Duration>,
    /// Connections older than this take no further request.
    pub max_connection_duration: Option<Duration>,
    /// A TCP connection without a byte for so long ends; 1 h.
    pub tcp_idle_timeout: Option<Duration>,
    /// TCP keepalive.
    pub keepalive: Option<Keepalive>,
    /// Requests that wait for a connection.
    pub max_pending_requests: Option<u32>,
    /// Requests at once.
    pub max_requests: Option<u32>,
    /// Requests in the life of a connection.
    pub max_requests_per_connection: Option<u32>,
    /// Retries at once.
    pub max_retries: Option<u32>,
    /// A connection without a request for so long ends; 60 s.
    pub http_idle_timeout: Option<Duration>,
    /// Streams at once on one HTTP/2 connection.
    pub max_concurrent_streams: Option<u32>,
    /// Which HTTP towards the endpoints.
    pub http_version: HttpVersionPolicy,
    /// HTTP/2's own liveness check; where absent, while there are streams, every 30 s, with 20 s for an answer.
    pub http2_keepalive: Option<Http2Keepalive>,
}

/// HTTP/2's own liveness check: PING frames, also while nothing is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Keepalive {
    /// Between them.
    pub interval: Duration,
    /// For the answer to one.
    pub timeout: Duration,
}

/// TCP keepalive; absent means the system's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// Unanswered probes until the connection is dead.
    pub probes: Option<u32>,
    /// Idle time before the first.
    pub time: Option<Duration>,
    /// Between them.
    pub interval: Option<Duration>,
}

/// Which HTTP towards the endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersionPolicy {
    /// What the port declares.
    #[default]
    Declared,
    /// HTTP/2 (`h2UpgradePolicy: UPGRADE`).
    Http2,
    /// HTTP/1.1 unless the port declares HTTP/2 (`DO_NOT_UPGRADE`).
    NoUpgrade,
    /// What the client used (`useClientProtocol`).
    Client,
}

/// When an endpoint is left out (Envoy, "Outlier detection").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// After so many 5xx in a row; 0 for never.
    pub consecutive_5xx: u32,
    /// After so many 502, 503, 504 or failed connections in a row; 0 for never.
    pub consecutive_gateway_errors: u32,
    /// After so many failures of ours to reach it, counted apart; absent where they count as 5xx.
    pub consecutive_local_origin_failures: Option<u32>,
    /// How often those who are out are looked at.
    pub interval: Duration,
    /// How long it is out, times how often it was.
    pub base_ejection_time: Duration,
    /// At most this part is out, in per cent; but always one may be.
    pub max_ejection_percent: u32,
    /// Nobody is left out when less than this part, in per cent, is well.
    pub min_health_percent: u32,
    /// Statuses that count as errors, in place of all 5xx; empty for all 5xx.
    pub error_statuses: Vec<u16>,
    /// Endpoints that do much worse than the others are left out.
    pub success_rate: Option<SuccessRate>,
    /// Endpoints that fail too often are left out.
    pub failure_rate: Option<FailureRate>,
}

/// Endpoints of which a smaller part of requests succeeds than of the others' (Envoy, `success_rate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRate {
    /// At least so many must have enough requests.
    pub minimum_hosts: u32,
    /// Requests of one interval that are enough.
    pub request_volume: u32,
    /// How many standard deviations below the mean are too many, in thousandths.
    pub deviations_milli: u32,
}

/// Endpoints of which too large a part of requests fails, whatever the others do (Envoy, `failure_percentage`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureRate {
    /// In per cent.
    pub percent: u32,
    /// At least so many must have enough requests.
    pub minimum_hosts: u32,
    /// Requests of one interval that are enough.
    pub request_volume: u32,
}

/// Version of a PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocolVersion {
    /// Text.
    V1,
    /// Binary.
    V2,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_5xx: 5,
            consecutive_gateway_errors: 0,
            consecutive_local_origin_failures: None,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_percent: 10,
            min_health_percent: 0,
            error_statuses: Vec::new(),
            success_rate: None,
            failure_rate: None,
        }
    }
}

impl Default for SuccessRate {
    /// Envoy's: five endpoints with a hundred requests, 1.9 deviations.
    fn default() -> Self {
        Self {
            minimum_hosts: 5,
            request_volume: 100,
            deviations_milli: 1_900,
        }
    }
}

impl Default for FailureRate {
    /// Envoy's: 85 % of fifty requests, of five endpoints.
    fn default() -> Self {
        Self {
            percent: 85,
            minimum_hosts: 5,
            request_volume: 50,
        }
    }
}
