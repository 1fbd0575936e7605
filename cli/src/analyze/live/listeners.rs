//! Ports that Services name, and that are open on the loopback address only: with the mesh as without it nobody else reaches
//! them, and it is the mesh that is blamed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use controlplane_k8s_api::Object;
use controlplane_k8s_api::core::{Pod, Protocol};
use controlplane_k8s_api::service::{Service, ServicePort, TargetPort};
use serde_json::Value;

use super::super::{Code, Said};
use super::text;
use crate::validate::Validated;

/// Judges; `pods` are those of the pages.
pub(super) fn judge(pods: &[Value], objects: &Validated) -> Vec<Said> {
    let listeners: BTreeMap<(&str, &str), Vec<SocketAddr>> = pods
        .iter()
        .map(|pod| {
            let addresses = pod["listeners"].as_array().into_iter().flatten();
            let addresses = addresses.filter_map(|address| text(address).parse().ok());
            ((text(&pod["namespace"]), text(&pod["name"])), addresses.collect())
        })
        .collect();
    let objects = || objects.objects.iter().map(|(_, object)| &object.value);
    let mut said = Vec::new();
    for service in objects() {
        let Object::Service(service) = service else {
            continue;
        };
        for (at, port) in service.spec.ports.iter().enumerate() {
            let hidden = objects().find_map(|pod| {
                let Object::Pod(pod) = pod else { return None };
                let name = (&*pod.metadata.namespace, &*pod.metadata.name);
                let number = chosen(service, port, pod)?;
                is_hidden(listeners.get(&name)?, number).then_some((pod, number))
            });
            if let Some((pod, number)) = hidden {
                let text = format!(
                    "spec.ports[{at}].targetPort: pod {} listens on port {number} of the loopback address only, where nobody outside of \
                     it comes; let the application listen on 0.0.0.0 or [::]",
                    pod.metadata.name
                );
                let object = format!("Service {}/{}", service.metadata.namespace, service.metadata.name);
                said.push((Code::LocalhostListener, object, text));
            }
        }
    }
    said
}

/// The port of a pod that a Service's port stands for, where the Service chooses the pod.
fn chosen(service: &Service, port: &ServicePort, pod: &Pod) -> Option<u16> {
    let selector = &service.spec.selector;
    let mut wanted = selector.iter();
    let chooses = !selector.is_empty()
        && service.metadata.namespace == pod.metadata.namespace
        && wanted.all(|(key, value)| pod.metadata.labels.get(key) == Some(value));
    if !chooses || port.protocol != Protocol::Tcp {
        return None;
    }
    match &port.target_port {
        None => Some(port.port),
        Some(TargetPort::Number(number)) => Some(*number),
        Some(TargetPort::Name(name)) => {
            let mut ports = pod.spec.containers.iter().flat_map(|container| &container.ports);
            ports
                .find(|port| port.name == *name)
                .map(|port| port.container_port)
        }
    }
}

/// Whether somebody listens there, and only on the loopback address. Who listens on nothing may not have started yet.
fn is_hidden(listeners: &[SocketAddr], port: u16) -> bool {
    let at = || listeners.iter().filter(|address| address.port() == port);
    at().next().is_some() && at().all(|address| address.ip().is_loopback())
}

#[cfg(test)]
mod tests;
