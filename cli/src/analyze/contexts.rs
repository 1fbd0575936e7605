//! Services of one name in several clusters: to whom a client comes depends on where it is, so they should be alike. Pure.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_k8s_api::Object;
use controlplane_k8s_api::service::{Service, ServicePort};

use super::{Code, Said};
use crate::validate::Validated;

/// The Services among some objects.
#[must_use]
pub fn services(objects: &Validated) -> Vec<Service> {
    let services = objects
        .objects
        .iter()
        .filter_map(|(_, object)| match &object.value {
            Object::Service(service) => Some(service.clone()),
            _ => None,
        });
    services.collect()
}

/// Compares the Services of clusters, each with its name. The first is the one that the others are compared with.
#[must_use]
pub fn compare(clusters: &[(String, Vec<Service>)]) -> Vec<Said> {
    let mut by_name: BTreeMap<(&str, &str), Vec<(&str, &Service)>> = BTreeMap::new();
    for (cluster, services) in clusters {
        for service in services {
            let name = (&*service.metadata.namespace, &*service.metadata.name);
            by_name.entry(name).or_default().push((cluster.as_str(), service));
        }
    }
    let inconsistent = by_name.into_iter().filter_map(|((namespace, name), alike)| {
        let (first, rest) = alike.split_first()?;
        let mut differ: BTreeSet<&str> = BTreeSet::new();
        let mut fields: BTreeSet<&str> = BTreeSet::new();
        for (cluster, service) in rest {
            let found = differences(first.1, service);
            if !found.is_empty() {
                differ.insert(cluster);
                fields.extend(found);
            }
        }
        if fields.is_empty() {
            return None;
        }
        let fields: Vec<&str> = fields.into_iter().collect();
        let differ: Vec<&str> = differ.into_iter().collect();
        let text = format!(
            "{}: not the same in {} as in {}; where a client comes to depends on where it is: make them alike, or give them \
             different names",
            fields.join(", "),
            differ.join(", "),
            first.0
        );
        Some((
            Code::MultiClusterInconsistentService,
            format!("Service {namespace}/{name}"),
            text,
        ))
    });
    inconsistent.collect()
}

/// The fields that differ.
fn differences(one: &Service, other: &Service) -> Vec<&'static str> {
    let ports = |service: &Service| -> Vec<ServicePort> {
        let mut ports = service.spec.ports.clone();
        ports.sort_by(|a, b| a.name.cmp(&b.name));
        ports
    };
    let mut fields = Vec::new();
    if one.spec.kind != other.spec.kind {
        fields.push("spec.type");
    }
    if is_headless(one) != is_headless(other) {
        fields.push("spec.clusterIP (None or an address)");
    }
    if ports(one) != ports(other) {
        fields.push("spec.ports");
    }
    fields
}

fn is_headless(service: &Service) -> bool {
    service.spec.cluster_ip.as_deref() == Some("None")
}

#[cfg(test)]
mod tests;
