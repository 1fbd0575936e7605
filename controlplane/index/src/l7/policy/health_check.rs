//! A HealthCheckPolicy becomes how endpoints are asked if they are well.

use std::time::Duration;

use controlplane_k8s_api::lateen::{HealthCheckPolicySpec, HealthProbe, HttpHealthCheck};
use controlplane_k8s_api::validate::names;
use controlplane_k8s_api::value::GatewayDuration;
use mesh_model::l7::health::{HealthCheck, Probe};

use crate::derived::{Condition, ConditionReason};

/// What a policy says; nothing where it cannot be carried out, and endpoints are not asked.
pub(super) fn health_check(
    spec: &HealthCheckPolicySpec,
    conditions: &mut Vec<Condition>,
) -> Option<HealthCheck> {
    let probe = match &spec.probe {
        HealthProbe::Http(http) => match http_probe(http) {
            Ok(probe) => probe,
            Err((field, why)) => {
                let field = format!("spec.http.{field}");
                let message = format!("{why}; endpoints are not asked");
                conditions.push(Condition::at(ConditionReason::Invalid, field, message));
                return None;
            }
        },
        HealthProbe::Grpc(grpc) => Probe::Grpc {
            service: grpc.service.clone(),
        },
        HealthProbe::Tcp(_) => Probe::Tcp,
    };
    let time = |time: Option<GatewayDuration>, default: Duration| {
        time.map(|t| t.0).filter(|t| !t.is_zero()).unwrap_or(default)
    };
    Some(HealthCheck {
        probe,
        interval: time(spec.interval, Duration::from_secs(10)),
        timeout: time(spec.timeout, Duration::from_secs(1)),
        unhealthy_threshold: spec.unhealthy_threshold.unwrap_or(3).max(1),
        healthy_threshold: spec.healthy_threshold.unwrap_or(2).max(1),
    })
}

fn http_probe(http: &HttpHealthCheck) -> Result<Probe, (String, String)> {
    if !http.path.starts_with('/') || http.path.bytes().any(|b| b.is_ascii_control() || b == b' ') {
        return Err(("path".to_owned(), format!("{:?} is no path", http.path.as_str())));
    }
    if let Some(host) = &http.host {
        names::domain(host).map_err(|why| ("host".to_owned(), why))?;
    }
    let mut statuses = Vec::with_capacity(http.expected_statuses.len());
    for (i, range) in http.expected_statuses.iter().enumerate() {
        let known = 200..=599;
        if !known.contains(&range.first) || !known.contains(&range.last) || range.first > range.last {
            let why = format!("{}-{} is no range of statuses", range.first, range.last);
            return Err((format!("expectedStatuses[{i}]"), why));
        }
        statuses.push((range.first, range.last));
    }
    Ok(Probe::Http {
        path: http.path.clone(),
        host: http.host.clone(),
        statuses,
    })
}

#[cfg(test)]
mod tests;
