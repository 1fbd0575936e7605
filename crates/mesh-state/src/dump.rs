//! The state as JSON, in the shape that `istioctl ztunnel-config` reads: the parts `workloads`, `services`, `policies` and
//! `stagedServices` of ztunnel's `/config_dump`.
//!
//! A [`Dump`] is taken quickly, as it only counts references; the writing out happens later and holds nobody up.

mod policy;
mod service;
mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_model::lb::Endpoint;
use mesh_model::{Authorization, GatewayRef, Ports, Service, Workload};
use mesh_types::NamespacedHostname;
use serde::{Serialize, Serializer};

use crate::view::View;

/// A copy of the state at one moment, for people; everything in the order of its name.
#[derive(Debug)]
pub struct Dump {
    workloads: Vec<Arc<Workload>>,
    services: Vec<(Arc<Service>, Vec<Endpoint>)>,
    policies: Vec<Arc<Authorization>>,
    staged: BTreeMap<NamespacedHostname, Vec<Endpoint>>,
}

impl Dump {
    pub(crate) fn of(view: &View) -> Self {
        let mut dump = Self {
            workloads: view.workloads().cloned().collect(),
            services: view
                .services()
                .map(|service| (service.clone(), view.endpoints(service).as_slice().to_vec()))
                .collect(),
            policies: view.policies().cloned().collect(),
            staged: view.staged().into_iter().map(staged_endpoints).collect(),
        };
        dump.workloads.sort_by(|a, b| a.uid.cmp(&b.uid));
        // As upstream, by host name first: services of the same name stand together.
        dump.services.sort_by(|(a, _), (b, _)| {
            let key = |s: &Service| (s.hostname.hostname.clone(), s.hostname.namespace.clone());
            key(a).cmp(&key(b))
        });
        dump
    }
}

impl Serialize for Dump {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let services = self.services.iter();
        State {
            workloads: self.workloads.iter().map(|w| workload::Form::of(w)).collect(),
            services: services.map(|(s, e)| service::Form::of(s, e)).collect(),
            policies: self.policies.iter().map(|p| policy::Form::of(p)).collect(),
            staged_services: self
                .staged
                .iter()
                .map(|(name, endpoints)| (name, service::endpoint_forms(endpoints)))
                .collect(),
        }
        .serialize(serializer)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State<'a> {
    workloads: Vec<workload::Form<'a>>,
    services: Vec<service::Form<'a>>,
    policies: Vec<policy::Form<'a>>,
    staged_services: BTreeMap<&'a NamespacedHostname, BTreeMap<&'a str, service::EndpointForm<'a>>>,
}

/// A gateway; its destination reads `<namespace>/<hostname>` or `<network>/<ip>`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GatewayForm {
    destination: String,
    hbone_mtls_port: u16,
    /// Only where it is so: upstream's tools do not know it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    fail_open: bool,
}

impl GatewayForm {
    fn of(gateway: &GatewayRef) -> Self {
        Self {
            destination: gateway.destination.to_string(),
            hbone_mtls_port: gateway.hbone_port,
            fail_open: gateway.fail_open,
        }
    }
}

fn staged_endpoints(
    (name, workloads): (&NamespacedHostname, Vec<&Arc<Workload>>),
) -> (NamespacedHostname, Vec<Endpoint>) {
    let endpoint = |w: &Arc<Workload>| Endpoint::new(w.clone(), name);
    (name.clone(), workloads.into_iter().map(endpoint).collect())
}

/// Target ports by service port; 0 where the target port differs per workload.
fn port_map(ports: &Ports) -> BTreeMap<u16, u16> {
    ports
        .iter()
        .map(|p| (p.service_port, p.target_port.unwrap_or_default()))
        .collect()
}

fn is_empty(text: &str) -> bool {
    text.is_empty()
}

#[cfg(test)]
mod tests;
