//! How many connections and requests there may be, and when an endpoint is left out.

use std::time::Duration;

use controlplane_k8s_api::networking::{
    ConnectionPool, H2UpgradePolicy, HttpPool, OutlierDetection as OutlierSpec, TcpKeepalive, TcpPool,
};
use controlplane_k8s_api::value::IstioDuration;
use mesh_model::l7::traffic::{
    ConnectionLimits, Http2Keepalive, HttpVersionPolicy, Keepalive, OutlierDetection,
};

use super::{At, Credentials};
use crate::derived::ConditionReason;

impl<C: Credentials> At<'_, C> {
    pub(super) fn limits(&mut self, pool: &ConnectionPool) -> ConnectionLimits {
        let mut limits = ConnectionLimits::default();
        if let Some(tcp) = &pool.tcp {
            of_tcp(tcp, &mut limits);
        }
        if let Some(http) = &pool.http {
            of_http(http, &mut limits);
        }
        limits
    }

    pub(super) fn outliers(&mut self, spec: &OutlierSpec) -> OutlierDetection {
        let default = OutlierDetection::default();
        let mut error_statuses = Vec::new();
        for (i, status) in spec.outlier_detection_http_error_codes.iter().enumerate() {
            match status {
                100..=599 => error_statuses.push(*status),
                _ => {
                    let field = format!("outlierDetectionHttpErrorCodes[{i}]");
                    let message = format!("{status} is no status, and is left out");
                    self.tell(ConditionReason::Invalid, &field, message);
                }
            }
        }
        // The name of old counts the same, unless the new one is there.
        let gateway_errors = spec.consecutive_gateway_errors.unwrap_or(spec.consecutive_errors);
        let local = spec
            .consecutive_local_origin_failures
            .unwrap_or(LOCAL_ORIGIN_FAILURES);
        let time = |time: Option<IstioDuration>, default: Duration| {
            time.map(|t| t.0).filter(|t| !t.is_zero()).unwrap_or(default)
        };
        let percent = |percent: Option<u32>, default: u32| percent.unwrap_or(default).min(100);
        OutlierDetection {
            consecutive_5xx: spec.consecutive_5xx_errors.unwrap_or(default.consecutive_5xx),
            consecutive_gateway_errors: gateway_errors,
            consecutive_local_origin_failures: spec.split_external_local_origin_errors.then_some(local),
            interval: time(spec.interval, default.interval),
            base_ejection_time: time(spec.base_ejection_time, default.base_ejection_time),
            max_ejection_percent: percent(spec.max_ejection_percent, default.max_ejection_percent),
            min_health_percent: percent(spec.min_health_percent, default.min_health_percent),
            error_statuses,
            ..default
        }
    }
}

pub(super) fn keepalive(keepalive: &TcpKeepalive) -> Keepalive {
    Keepalive {
        probes: some(keepalive.probes),
        time: positive(keepalive.time),
        interval: positive(keepalive.interval),
    }
}

fn of_tcp(tcp: &TcpPool, limits: &mut ConnectionLimits) {
    limits.max_connections = some(tcp.max_connections);
    limits.connect_timeout = positive(tcp.connect_timeout);
    limits.keepalive = tcp.tcp_keepalive.as_ref().map(keepalive);
    limits.max_connection_duration = positive(tcp.max_connection_duration);
    limits.tcp_idle_timeout = or_never(tcp.idle_timeout);
}

fn of_http(http: &HttpPool, limits: &mut ConnectionLimits) {
    limits.max_pending_requests = some(http.http1_max_pending_requests);
    limits.max_requests = some(http.http2_max_requests);
    limits.max_requests_per_connection = some(http.max_requests_per_connection);
    limits.max_retries = some(http.max_retries);
    limits.http_idle_timeout = or_never(http.idle_timeout);
    limits.max_concurrent_streams = some(http.max_concurrent_streams);
    limits.http_version = match (http.use_client_protocol, http.h2_upgrade_policy) {
        (true, _) => HttpVersionPolicy::Client,
        (false, H2UpgradePolicy::Upgrade) => HttpVersionPolicy::Http2,
        (false, H2UpgradePolicy::DoNotUpgrade) => HttpVersionPolicy::NoUpgrade,
        (false, H2UpgradePolicy::Default) => HttpVersionPolicy::Declared,
    };
    limits.http2_keepalive = http.http2_keep_alive.map(|wanted| Http2Keepalive {
        interval: positive(wanted.interval).unwrap_or(PING_INTERVAL),
        timeout: positive(wanted.timeout).unwrap_or(PING_TIMEOUT),
    });
}

/// 0 stands for no limit.
fn some(limit: u32) -> Option<u32> {
    (limit > 0).then_some(limit)
}

fn positive(time: Option<IstioDuration>) -> Option<Duration> {
    time.map(|time| time.0).filter(|time| !time.is_zero())
}

/// Zero stands for never, which is a hundred years.
fn or_never(time: Option<IstioDuration>) -> Option<Duration> {
    const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    time.map(|time| {
        if time.0.is_zero() {
            NEVER
        } else {
            time.0.min(NEVER)
        }
    })
}

/// Ours, where only the other one is given.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Envoy's (`consecutive_local_origin_failure`).
const LOCAL_ORIGIN_FAILURES: u32 = 5;
