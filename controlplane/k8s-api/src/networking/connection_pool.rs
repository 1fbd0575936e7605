//! How many connections and requests there may be, and when an endpoint is left out (Istio reference, "Destination
//! Rule", `ConnectionPoolSettings`, `OutlierDetection`).

use serde::Deserialize;

use crate::value::IstioDuration;

/// How many connections and requests there may be; 0 stands for no limit.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ConnectionPool {
    /// Connections.
    pub tcp: Option<TcpPool>,
    /// Requests.
    pub http: Option<HttpPool>,
}

/// Connections.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpPool {
    /// So many at once.
    pub max_connections: u32,
    /// For a connection to come about; 10 s where absent.
    pub connect_timeout: Option<IstioDuration>,
    /// TCP's own liveness check.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// The age at which a connection ends.
    pub max_connection_duration: Option<IstioDuration>,
    /// A connection without a byte for so long ends; 1 h where absent, never where zero.
    pub idle_timeout: Option<IstioDuration>,
}

/// TCP's own liveness check; the system's values where absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TcpKeepalive {
    /// Unanswered probes until the connection is dead; the system's value where 0.
    pub probes: u32,
    /// Idle time before the first.
    pub time: Option<IstioDuration>,
    /// Between them.
    pub interval: Option<IstioDuration>,
}

/// Requests.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpPool {
    /// Requests that wait for a connection.
    pub http1_max_pending_requests: u32,
    /// Requests at once.
    pub http2_max_requests: u32,
    /// Requests in the life of a connection.
    pub max_requests_per_connection: u32,
    /// Retries at once.
    pub max_retries: u32,
    /// A connection without a request for so long ends; 60 s where absent (Envoy: 1 h).
    pub idle_timeout: Option<IstioDuration>,
    /// Whether HTTP/2 is spoken where the client does not.
    pub h2_upgrade_policy: H2UpgradePolicy,
    /// Whether the client's version is spoken.
    pub use_client_protocol: bool,
    /// Streams at once on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// HTTP/2's own liveness check.
    pub http2_keep_alive: Option<Http2Keepalive>,
}

/// HTTP/2's own liveness check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Http2Keepalive {
    /// Between pings.
    pub interval: Option<IstioDuration>,
    /// For the answer to one.
    pub timeout: Option<IstioDuration>,
}

/// Whether HTTP/2 is spoken where the client does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum H2UpgradePolicy {
    /// As the mesh says.
    #[default]
    Default,
    /// No.
    DoNotUpgrade,
    /// Yes.
    Upgrade,
}

/// When an endpoint is left out.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// After so many 5xx in a row (`consecutiveErrors` of old counts gateway errors); 0 for never.
    #[serde(rename = "consecutive5xxErrors")]
    pub consecutive_5xx_errors: Option<u32>,
    /// After so many 502, 503, 504 or failed connections in a row; 0 for never, which also absence means.
    pub consecutive_gateway_errors: Option<u32>,
    /// As above, under its name of old.
    pub consecutive_errors: u32,
    /// Whether our own failures to reach it are counted apart.
    pub split_external_local_origin_errors: bool,
    /// After so many of those; 5 where absent.
    pub consecutive_local_origin_failures: Option<u32>,
    /// How often those who are out are looked at; 10 s where absent.
    pub interval: Option<IstioDuration>,
    /// How long it is out, times how often it was; 30 s where absent.
    pub base_ejection_time: Option<IstioDuration>,
    /// At most this part is out, in per cent; 10 where absent.
    pub max_ejection_percent: Option<u32>,
    /// Nobody is left out when less than this part, in per cent, is well; 0 where absent.
    pub min_health_percent: Option<u32>,
    /// What counts as an error, in place of all 5xx.
    pub outlier_detection_http_error_codes: Vec<u16>,
}
