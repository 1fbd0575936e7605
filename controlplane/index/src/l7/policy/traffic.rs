//! A DestinationRule becomes rules for connections to services (Istio reference, "Destination Rule").
//!
//! # Layout
//! - this file: the rule, its ports and subsets, and what the mesh's configuration says where it does not.
//! - `balancer`: which endpoint gets a request. `limits`: how many connections and requests there may be, and when an
//!   endpoint is left out. `tls`: TLS towards the endpoints.

mod balancer;
mod limits;
mod tls;

use std::collections::BTreeMap;

use controlplane_k8s_api::mesh::MeshConfigSpec;
use controlplane_k8s_api::networking::{
    ClientTls, ConnectionPool, DestinationRuleSpec, LoadBalancer, OutlierDetection, PortTrafficPolicy,
    ProxyProtocolVersion as Version, RetryBudget as BudgetSpec, TrafficPolicy,
};
use mesh_model::l7::resilience::RetryBudget;
use mesh_model::l7::tls::BackendTls;
use mesh_model::l7::traffic::{ProxyProtocolVersion, Subset, TrafficRules, TrafficSettings};

use super::text;
use crate::derived::{Condition, ConditionReason};

pub(super) use tls::{Credentials, certificate_bundle, names_secret};

/// What a DestinationRule says, with what the mesh says where it does not.
pub(super) fn traffic_rules(
    spec: &DestinationRuleSpec,
    mesh: &TrafficSettings,
    credentials: &impl Credentials,
    conditions: &mut Vec<Condition>,
) -> TrafficRules {
    let mut at = At {
        path: "spec".to_owned(),
        mesh,
        credentials,
        conditions,
    };
    let (settings, ports) = match &spec.traffic_policy {
        Some(policy) => at.within("trafficPolicy", |at| {
            (at.settings(policy).over(mesh), at.ports(policy))
        }),
        None => (mesh.clone(), BTreeMap::new()),
    };
    let mut subsets: Vec<Subset> = Vec::new();
    for (i, subset) in spec.subsets.iter().enumerate() {
        let known = subsets.iter().any(|other| other.name == subset.name);
        if subset.name.is_empty() || known {
            let message = format!(
                "{:?} is no name of its own: the subset is left out",
                subset.name.as_str()
            );
            at.tell(ConditionReason::Invalid, &format!("subsets[{i}].name"), message);
            continue;
        }
        let (settings, ports) = match &subset.traffic_policy {
            Some(policy) => at.within(&format!("subsets[{i}].trafficPolicy"), |at| {
                (at.settings(policy), at.ports(policy))
            }),
            None => <_>::default(),
        };
        let labels = subset.labels.iter().filter(|(key, _)| !key.is_empty());
        subsets.push(Subset {
            name: subset.name.clone(),
            labels: labels.map(|(k, v)| (k.clone(), v.clone())).collect(),
            settings,
            ports,
        });
    }
    if spec.workload_selector.is_some() {
        let message = "has no effect: a waypoint serves every client alike";
        at.tell(ConditionReason::Unsupported, "workloadSelector", message);
    }
    TrafficRules {
        settings,
        ports,
        subsets,
    }
}

/// What the mesh's configuration says of connections to services.
pub(super) fn mesh_settings(spec: &MeshConfigSpec, conditions: &mut Vec<Condition>) -> TrafficSettings {
    let none = TrafficSettings::default();
    let mut at = At {
        path: "spec".to_owned(),
        mesh: &none,
        credentials: &NoCredentials,
        conditions,
    };
    let defaults = &spec.default_traffic_policy;
    let mut settings = at.within("defaultTrafficPolicy", |at| TrafficSettings {
        limits: defaults.connection_pool.as_ref().map(|pool| at.limits(pool)),
        outliers: defaults.outlier_detection.as_ref().map(|o| at.outliers(o)),
        ..TrafficSettings::default()
    });
    let locality = spec.locality_lb_setting.as_ref();
    settings.locality = locality.and_then(|setting| at.locality("localityLbSetting", setting));
    let keepalive = spec.tcp_keepalive.as_ref().map(limits::keepalive);
    let connect_timeout = spec.connect_timeout.map(|timeout| timeout.0);
    if keepalive.is_some() || connect_timeout.is_some() {
        let limits = settings.limits.get_or_insert_default();
        limits.keepalive = limits.keepalive.or(keepalive);
        limits.connect_timeout = limits.connect_timeout.or(connect_timeout);
    }
    settings
}

/// Where in the object something stands, and where it is told what is wrong with it.
struct At<'a, C> {
    path: String,
    mesh: &'a TrafficSettings,
    credentials: &'a C,
    conditions: &'a mut Vec<Condition>,
}

impl<C: Credentials> At<'_, C> {
    fn settings(&mut self, policy: &TrafficPolicy) -> TrafficSettings {
        let mut settings = self.blocks(
            policy.load_balancer.as_ref(),
            policy.connection_pool.as_ref(),
            policy.outlier_detection.as_ref(),
            policy.tls.as_ref(),
        );
        settings.retry_budget = policy.retry_budget.as_ref().map(retry_budget);
        settings.proxy_protocol = policy.proxy_protocol.map(|protocol| match protocol.version {
            Version::V1 => ProxyProtocolVersion::V1,
            Version::V2 => ProxyProtocolVersion::V2,
        });
        if policy.tunnel.is_some() {
            let message = "is not supported; nothing is sent, since it must not go without it";
            self.tell(ConditionReason::Unsupported, "tunnel", message);
            settings.tls = Some(BackendTls::Invalid(
                "a tunnel through a proxy is not supported".into(),
            ));
        }
        settings
    }

    /// Those of single ports; what they leave out is the mesh's, not the rule's.
    fn ports(&mut self, policy: &TrafficPolicy) -> BTreeMap<u16, TrafficSettings> {
        let mut ports = BTreeMap::new();
        for (i, settings) in policy.port_level_settings.iter().enumerate() {
            let PortTrafficPolicy {
                port,
                load_balancer,
                connection_pool,
                outlier_detection,
                tls,
            } = settings;
            let path = format!("portLevelSettings[{i}]");
            if port.number == 0 || ports.contains_key(&port.number) {
                let message = format!("{} is no port of its own: the settings are left out", port.number);
                self.tell(ConditionReason::Invalid, &format!("{path}.port.number"), message);
                continue;
            }
            let settings = self.within(&path, |at| {
                at.blocks(
                    load_balancer.as_ref(),
                    connection_pool.as_ref(),
                    outlier_detection.as_ref(),
                    tls.as_ref(),
                )
            });
            ports.insert(port.number, settings.over(self.mesh));
        }
        ports
    }

    fn blocks(
        &mut self,
        load_balancer: Option<&LoadBalancer>,
        connection_pool: Option<&ConnectionPool>,
        outlier_detection: Option<&OutlierDetection>,
        tls: Option<&ClientTls>,
    ) -> TrafficSettings {
        let mut settings = TrafficSettings::default();
        if let Some(spec) = load_balancer {
            self.within("loadBalancer", |at| at.balance(spec, &mut settings));
        }
        if let Some(spec) = connection_pool {
            settings.limits = Some(self.within("connectionPool", |at| at.limits(spec)));
        }
        if let Some(spec) = outlier_detection {
            settings.outliers = Some(self.within("outlierDetection", |at| at.outliers(spec)));
        }
        if let Some(spec) = tls {
            settings.tls = Some(self.within("tls", |at| at.client_tls(spec)));
        }
        settings
    }

    fn within<T>(&mut self, path: &str, look: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.path.len();
        self.path.push('.');
        self.path.push_str(path);
        let found = look(self);
        self.path.truncate(length);
        found
    }

    fn tell(&mut self, reason: ConditionReason, field: &str, message: impl Into<String>) {
        let field = match field {
            "" => self.path.clone(),
            field => format!("{}.{field}", self.path),
        };
        self.conditions.push(Condition::at(reason, field, message));
    }
}

/// Blocks that are laid over the mesh's.
trait Over {
    fn over(self, mesh: &TrafficSettings) -> TrafficSettings;
}

impl Over for TrafficSettings {
    /// These, and where a block is absent the mesh's; a block of limits without timeout or keepalive has the mesh's.
    fn over(mut self, mesh: &TrafficSettings) -> TrafficSettings {
        self.locality = self.locality.or_else(|| mesh.locality.clone());
        self.outliers = self.outliers.or_else(|| mesh.outliers.clone());
        self.limits = match (self.limits, &mesh.limits) {
            (Some(mut own), Some(mesh)) => {
                own.connect_timeout = own.connect_timeout.or(mesh.connect_timeout);
                own.keepalive = own.keepalive.or(mesh.keepalive);
                Some(own)
            }
            (own, mesh) => own.or_else(|| mesh.clone()),
        };
        self
    }
}

/// For the mesh's own settings, which name none.
struct NoCredentials;

fn retry_budget(budget: &BudgetSpec) -> RetryBudget {
    let default = RetryBudget::default();
    RetryBudget {
        percent: budget
            .percent
            .map_or(default.percent, |p| text::scaled(p, 1.0, 100)),
        minimum: match budget.min_retry_concurrency {
            0 => default.minimum,
            minimum => minimum,
        },
        interval: budget
            .budget_interval
            .map(|interval| interval.0)
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
