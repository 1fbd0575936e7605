//! How many connections and requests there may be, on the wire: `lateen.l7.v1.ConnectionLimits`, `OutlierDetection`.

use mesh_proto::lateen::l7::v1 as pb;

use super::super::{
    ConnectionLimits, FailureRate, Http2Keepalive, HttpVersionPolicy, Keepalive, OutlierDetection,
    SuccessRate,
};
use crate::invalid::{FieldProblem, InField, Problem};
use crate::l7::wire::{Wire, check, optional, required, to_wire};

impl Wire for ConnectionLimits {
    type Message = pb::ConnectionLimits;

    fn from_wire(m: &pb::ConnectionLimits) -> Result<Self, FieldProblem> {
        let http_version = m
            .http_version
            .map_or(Ok(HttpVersionPolicy::Declared), http_version);
        Ok(Self {
            max_connections: m.max_connections,
            connect_timeout: optional("connect_timeout", m.connect_timeout.as_ref())?,
            max_connection_duration: optional("max_connection_duration", m.max_connection_duration.as_ref())?,
            tcp_idle_timeout: optional("tcp_idle_timeout", m.tcp_idle_timeout.as_ref())?,
            keepalive: optional("keepalive", m.keepalive.as_ref())?,
            max_pending_requests: m.max_pending_requests,
            max_requests: m.max_requests,
            max_requests_per_connection: m.max_requests_per_connection,
            max_retries: m.max_retries,
            http_idle_timeout: optional("http_idle_timeout", m.http_idle_timeout.as_ref())?,
            max_concurrent_streams: m.max_concurrent_streams,
            http_version: http_version.field("http_version")?,
            http2_keepalive: optional("http2_keepalive", m.http2_keepalive.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::ConnectionLimits {
        let http_version = match self.http_version {
            HttpVersionPolicy::Declared => None,
            HttpVersionPolicy::Http2 => Some(pb::HttpVersionPolicy::Http2),
            HttpVersionPolicy::NoUpgrade => Some(pb::HttpVersionPolicy::NoUpgrade),
            HttpVersionPolicy::Client => Some(pb::HttpVersionPolicy::Client),
        };
        pb::ConnectionLimits {
            max_connections: self.max_connections,
            connect_timeout: to_wire(self.connect_timeout.as_ref()),
            max_connection_duration: to_wire(self.max_connection_duration.as_ref()),
            tcp_idle_timeout: to_wire(self.tcp_idle_timeout.as_ref()),
            keepalive: to_wire(self.keepalive.as_ref()),
            max_pending_requests: self.max_pending_requests,
            max_requests: self.max_requests,
            max_requests_per_connection: self.max_requests_per_connection,
            max_retries: self.max_retries,
            http_idle_timeout: to_wire(self.http_idle_timeout.as_ref()),
            max_concurrent_streams: self.max_concurrent_streams,
            http_version: http_version.map(Into::into),
            http2_keepalive: to_wire(self.http2_keepalive.as_ref()),
        }
    }
}

fn http_version(value: i32) -> Result<HttpVersionPolicy, Problem> {
    match pb::HttpVersionPolicy::try_from(value) {
        Ok(pb::HttpVersionPolicy::Http2) => Ok(HttpVersionPolicy::Http2),
        Ok(pb::HttpVersionPolicy::NoUpgrade) => Ok(HttpVersionPolicy::NoUpgrade),
        Ok(pb::HttpVersionPolicy::Client) => Ok(HttpVersionPolicy::Client),
        Ok(pb::HttpVersionPolicy::Unspecified) | Err(_) => Err(Problem::UnknownValue(value)),
    }
}

impl Wire for Keepalive {
    type Message = pb::Keepalive;

    fn from_wire(m: &pb::Keepalive) -> Result<Self, FieldProblem> {
        Ok(Self {
            probes: m.probes,
            time: optional("time", m.time.as_ref())?,
            interval: optional("interval", m.interval.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::Keepalive {
        pb::Keepalive {
            probes: self.probes,
            time: to_wire(self.time.as_ref()),
            interval: to_wire(self.interval.as_ref()),
        }
    }
}

impl Wire for OutlierDetection {
    type Message = pb::OutlierDetection;

    fn from_wire(m: &pb::OutlierDetection) -> Result<Self, FieldProblem> {
        Ok(Self {
            consecutive_5xx: m.consecutive_5xx,
            consecutive_gateway_errors: m.consecutive_gateway_errors,
            consecutive_local_origin_failures: m.consecutive_local_origin_failures,
            interval: check::some_time(required("interval", m.interval.as_ref())?).field("interval")?,
            base_ejection_time: required("base_ejection_time", m.base_ejection_time.as_ref())?,
            max_ejection_percent: check::percent(m.max_ejection_percent).field("max_ejection_percent")?,
            min_health_percent: check::percent(m.min_health_percent).field("min_health_percent")?,
            error_statuses: statuses(&m.error_statuses).field("error_statuses")?,
            success_rate: optional("success_rate", m.success_rate.as_ref())?,
            failure_rate: optional("failure_rate", m.failure_rate.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::OutlierDetection {
        pb::OutlierDetection {
            consecutive_5xx: self.consecutive_5xx,
            consecutive_gateway_errors: self.consecutive_gateway_errors,
            consecutive_local_origin_failures: self.consecutive_local_origin_failures,
            interval: Some(self.interval.to_wire()),
            base_ejection_time: Some(self.base_ejection_time.to_wire()),
            max_ejection_percent: self.max_ejection_percent,
            min_health_percent: self.min_health_percent,
            error_statuses: self
                .error_statuses
                .iter()
                .map(|status| (*status).into())
                .collect(),
            success_rate: to_wire(self.success_rate.as_ref()),
            failure_rate: to_wire(self.failure_rate.as_ref()),
        }
    }
}

/// Any status, also those that are no last answers.
fn statuses(statuses: &[u32]) -> Result<Vec<u16>, Problem> {
    let status = |status: &u32| match u16::try_from(*status) {
        Ok(status @ 100..=599) => Ok(status),
        _ => Err(Problem::Status(*status)),
    };
    statuses.iter().map(status).collect()
}

impl Wire for SuccessRate {
    type Message = pb::SuccessRate;

    fn from_wire(m: &pb::SuccessRate) -> Result<Self, FieldProblem> {
        Ok(Self {
            minimum_hosts: m.minimum_hosts,
            request_volume: m.request_volume,
            deviations_milli: m.deviations_milli,
        })
    }

    fn to_wire(&self) -> pb::SuccessRate {
        pb::SuccessRate {
            minimum_hosts: self.minimum_hosts,
            request_volume: self.request_volume,
            deviations_milli: self.deviations_milli,
        }
    }
}

impl Wire for FailureRate {
    type Message = pb::FailureRate;

    fn from_wire(m: &pb::FailureRate) -> Result<Self, FieldProblem> {
        Ok(Self {
            percent: check::percent(m.percent).field("percent")?,
            minimum_hosts: m.minimum_hosts,
            request_volume: m.request_volume,
        })
    }

    fn to_wire(&self) -> pb::FailureRate {
        pb::FailureRate {
            percent: self.percent,
            minimum_hosts: self.minimum_hosts,
            request_volume: self.request_volume,
        }
    }
}

impl Wire for Http2Keepalive {
    type Message = pb::Http2Keepalive;

    fn from_wire(m: &pb::Http2Keepalive) -> Result<Self, FieldProblem> {
        Ok(Self {
            interval: check::some_time(required("interval", m.interval.as_ref())?).field("interval")?,
            timeout: check::some_time(required("timeout", m.timeout.as_ref())?).field("timeout")?,
        })
    }

    fn to_wire(&self) -> pb::Http2Keepalive {
        pb::Http2Keepalive {
            interval: Some(self.interval.to_wire()),
            timeout: Some(self.timeout.to_wire()),
        }
    }
}
