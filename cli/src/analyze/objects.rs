//! What the derivation has no reason to say, and an author should know.

use std::collections::BTreeMap;

use controlplane_index::MeshConfig;
use controlplane_index::service_entry::hosts_without_address;
use controlplane_index::settings::of_pod;
use controlplane_k8s_api::Object;
use controlplane_k8s_api::mesh::{MeshConfigSpec, is_of_revision};
use controlplane_k8s_api::networking::PortProtocol;
use controlplane_k8s_api::object::Metadata;
use controlplane_k8s_api::security::AuthorizationPolicySpec;

use super::{Code, Said, selector};
use crate::waypoint::classes::Classes;

/// Judges.
pub(super) fn judge(objects: &[&Object], config: &MeshConfig) -> Vec<Said> {
    let mesh = mesh(objects, config);
    let classes = Classes::among(objects.iter().copied());
    let mut said = Vec::new();
    said.extend(settings(objects));
    said.extend(waypoint_selectors(objects, &classes));
    said.extend(entries(objects));
    said.extend(without_address(objects));
    said.extend(principals(objects, config, mesh));
    said.extend(hidden(objects, config, mesh));
    said
}

/// The mesh's own configuration.
fn mesh<'a>(objects: &[&'a Object], config: &MeshConfig) -> Option<&'a MeshConfigSpec> {
    objects.iter().find_map(|object| match object {
        Object::MeshConfig(mesh) => {
            let meta = &mesh.metadata;
            let counts =
                meta.namespace == config.root_namespace && is_of_revision(&meta.name, &config.revision);
            counts.then_some(&mesh.spec)
        }
        _ => None,
    })
}

/// Labels and annotations of Pods that are on no node yet, of which the derivation has nothing to say.
fn settings(objects: &[&Object]) -> Vec<Said> {
    let pods = objects.iter().filter_map(|object| match object {
        Object::Pod(pod) if pod.spec.node_name.is_empty() => Some((object.reference().to_string(), pod)),
        _ => None,
    });
    let said = pods.flat_map(|(name, pod)| {
        let conditions = of_pod(&pod.metadata).into_iter();
        conditions.map(move |condition| (Code::InvalidAnnotation, name.clone(), condition.to_string()))
    });
    said.collect()
}

/// A policy is attached to a waypoint by reference, never by the labels of its pods.
fn waypoint_selectors(objects: &[&Object], classes: &Classes) -> Vec<Said> {
    let waypoints: Vec<&Metadata> = objects
        .iter()
        .filter_map(|object| match object {
            Object::Gateway(gateway) if classes.is_waypoint(&gateway.spec.gateway_class_name) => {
                Some(&gateway.metadata)
            }
            _ => None,
        })
        .collect();
    let ineffective = objects.iter().filter_map(|object| {
        if matches!(object, Object::Service(_)) {
            return None;
        }
        let name = selector(object)?.get(GATEWAY_NAME)?;
        let namespace = &object.metadata()?.namespace;
        let mut chosen = waypoints.iter();
        chosen.find(|waypoint| waypoint.name == *name && waypoint.namespace == *namespace)?;
        let text = format!(
            "its selector chooses the pods of waypoint {name}, where selectors have no effect; name the Gateway in targetRefs"
        );
        Some((Code::IneffectiveSelector, object.reference().to_string(), text))
    });
    ineffective.collect()
}

/// One host, one port, two protocols.
fn entries(objects: &[&Object]) -> Vec<Said> {
    let mut known: BTreeMap<(String, u16), (String, PortProtocol)> = BTreeMap::new();
    let mut said = Vec::new();
    for object in objects {
        let Object::ServiceEntry(entry) = object else {
            continue;
        };
        let name = format!("{}/{}", entry.metadata.namespace, entry.metadata.name);
        for host in &entry.spec.hosts {
            for port in &entry.spec.ports {
                let key = (host.to_string(), port.number);
                let (other, theirs) = known.entry(key).or_insert_with(|| (name.clone(), port.protocol));
                if *theirs != port.protocol {
                    let text = format!(
                        "ports: {host}:{} is {:?} here and {theirs:?} in ServiceEntry {other}; one of them counts",
                        port.number, port.protocol
                    );
                    said.push((
                        Code::ConflictingServiceEntryProtocol,
                        object.reference().to_string(),
                        text,
                    ));
                }
            }
        }
    }
    said
}

/// Without an address a host's TCP connections are told from others by their port alone.
fn without_address(objects: &[&Object]) -> Vec<Said> {
    let entries = objects.iter().filter_map(|object| match object {
        Object::ServiceEntry(entry) => Some((object, entry)),
        _ => None,
    });
    let without = entries.filter_map(|(object, entry)| {
        let hosts = hosts_without_address(entry);
        let (at, port) = entry
            .spec
            .ports
            .iter()
            .enumerate()
            .find(|(_, port)| matches!(port.protocol, PortProtocol::Tcp | PortProtocol::Unset))?;
        let host = hosts.first()?;
        let text = format!(
            "spec.ports[{at}]: port {} carries TCP, and host {host} has no address and is given none: whatever goes to that port \
             is taken for it; name spec.addresses, or let one be allocated (resolution other than NONE, no wildcard, no label \
             networking.istio.io/enable-autoallocate-ip=false)",
            port.number
        );
        Some((Code::ServiceEntryAddressesRequired, object.reference().to_string(), text))
    });
    without.collect()
}

/// Principals whose trust domain nobody's identity has.
fn principals(objects: &[&Object], config: &MeshConfig, mesh: Option<&MeshConfigSpec>) -> Vec<Said> {
    let own = mesh.and_then(|mesh| mesh.trust_domain.as_deref());
    let own = own.map_or_else(|| config.trust_domain.to_string(), str::to_owned);
    let aliases = mesh.map_or(&[][..], |mesh| &mesh.trust_domain_aliases);
    // What `cluster.local` stands for is the mesh's own trust domain, as Istio has it.
    let is_ours = |domain: &str| {
        domain == own
            || domain == "cluster.local"
            || domain.contains('*')
            || aliases.iter().any(|alias| **alias == *domain)
    };
    let foreign = objects.iter().filter_map(|object| {
        let Object::AuthorizationPolicy(policy) = object else { return None };
        let (principal, domain) = named(&policy.spec).find(|(_, domain)| !is_ours(domain))?;
        let text = format!(
            "principals: {principal:?} is of trust domain {domain}, and this mesh is {own}; it matches nobody, unless \
             trustDomainAliases names it"
        );
        Some((Code::TrustDomainMismatch, object.reference().to_string(), text))
    });
    foreign.collect()
}

fn named(policy: &AuthorizationPolicySpec) -> impl Iterator<Item = (&str, &str)> {
    let sources = policy
        .rules
        .iter()
        .flat_map(|rule| &rule.from)
        .map(|from| &from.source);
    let all = sources.flat_map(|source| source.principals.iter().chain(&source.not_principals));
    all.filter_map(|principal| {
        let (domain, rest) = principal.split_once('/')?;
        rest.starts_with("ns/").then_some((&**principal, domain))
    })
}

/// Namespaces that are to be in the mesh, and that the mesh's `discoverySelectors` leave out.
fn hidden(objects: &[&Object], config: &MeshConfig, mesh: Option<&MeshConfigSpec>) -> Vec<Said> {
    let selectors = mesh.map_or(&[][..], |mesh| &mesh.discovery_selectors);
    let hidden = objects.iter().filter_map(|object| {
        let Object::Namespace(namespace) = object else { return None };
        let metadata = &namespace.metadata;
        let enrolled = metadata.labels.get(MODE).is_some_and(|mode| **mode == *"ambient");
        let seen = selectors.is_empty()
            || metadata.name == config.root_namespace
            || selectors.iter().any(|selector| selector.matches(&metadata.labels));
        (enrolled && !seen).then(|| {
            let text = "it is enrolled, and none of the mesh's discoverySelectors selects it: its pods are captured and \
                        nobody knows them; label it so that one does";
            (Code::HiddenNamespace, object.reference().to_string(), text.to_owned())
        })
    });
    hidden.collect()
}

const MODE: &str = "istio.io/dataplane-mode";
pub(super) const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
