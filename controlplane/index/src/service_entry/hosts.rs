//! Which hosts a ServiceEntry has, and who may know of them.
//!
//! Within a namespace a Kubernetes Service beats every ServiceEntry, and the older ServiceEntry the younger. Of several
//! namespaces' owners one is canonical, which is what the others' clients mean by the host: the Kubernetes Service, else
//! the oldest ServiceEntry that everybody may know of.

use controlplane_collections::Fetch;
use controlplane_k8s_api::Labels;
use controlplane_k8s_api::networking::ServiceEntry;
use mesh_model::service::Visibility;
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use crate::age::Age;
use crate::config::{MeshConfig, ServiceEntryVisibility, VisibilityRule};
use crate::derived::{Condition, ConditionReason};
use crate::lookups::Lookups;
use crate::service;

/// A host that a ServiceEntry has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedHost {
    pub(crate) name: NamespacedHostname,
    /// Other namespaces mean this one.
    pub(crate) canonical: bool,
}

/// The hosts that an entry has, each once; why it does not have the others goes to `conditions`.
pub(super) fn owned(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    name: &NamespacedName,
    entry: &ServiceEntry,
    conditions: &mut Vec<Condition>,
) -> Vec<OwnedHost> {
    let mut owned: Vec<OwnedHost> = Vec::new();
    for (i, host) in entry.spec.hosts.iter().enumerate() {
        let mut lost = |reason, message: String| {
            conditions.push(Condition::at(reason, format!("spec.hosts[{i}]"), message));
        };
        let host = &normal(host);
        if owned.iter().any(|o| o.name.hostname == *host) {
            continue;
        }
        if let Err(message) = check(host) {
            lost(ConditionReason::Invalid, message);
            continue;
        }
        let of_service = kubernetes_service(fetch, config, lookups, host);
        if of_service.as_ref().is_some_and(|s| s.namespace == name.namespace) {
            lost(
                ConditionReason::HostTaken,
                format!("{host} is the name of a Service"),
            );
            continue;
        }
        let rivals = fetch
            .by(lookups.entries_by_host, host)
            .filter(|(other, _)| *other != name);
        let rivals: Vec<_> = rivals
            .filter_map(|(other, rival)| {
                let visibility = visibility(fetch, config, lookups, other, rival, &mut Vec::new())?;
                let older = Age::of(&rival.metadata) < Age::of(&entry.metadata);
                Some((other, visibility, older))
            })
            .collect();
        if let Some((other, ..)) = rivals
            .iter()
            .find(|(o, _, older)| *older && o.namespace == name.namespace)
        {
            lost(
                ConditionReason::HostTaken,
                format!("{host} belongs to ServiceEntry {other}, which is older"),
            );
            continue;
        }
        let visible =
            visibility(fetch, config, lookups, name, entry, &mut Vec::new()) == Some(Visibility::Public);
        let better = |(other, v, older): &(&NamespacedName, Visibility, bool)| {
            *older && *v == Visibility::Public && other.namespace != name.namespace
        };
        owned.push(OwnedHost {
            name: NamespacedHostname::new(name.namespace.clone(), host.clone()),
            canonical: visible && of_service.is_none() && !rivals.iter().any(better),
        });
    }
    owned
}

/// Who may know of an entry: what the mesh says of its namespace, narrowed by `exportTo`. Nothing where nobody may.
pub(super) fn visibility(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    name: &NamespacedName,
    entry: &ServiceEntry,
    conditions: &mut Vec<Condition>,
) -> Option<Visibility> {
    let none = Labels::new();
    let by_mesh = rules(fetch, config, lookups).iter().find(|rule| {
        let labels = || {
            fetch
                .get(lookups.namespaces.labels, &name.namespace)
                .unwrap_or(&none)
        };
        rule.namespaces.is_empty() || rule.namespaces.iter().all(|selector| selector.matches(labels()))
    });
    let by_mesh = match by_mesh.map_or(ServiceEntryVisibility::Public, |rule| rule.visibility) {
        ServiceEntryVisibility::Public => Visibility::Public,
        ServiceEntryVisibility::Namespace => Visibility::Namespace,
        ServiceEntryVisibility::None => return None,
    };
    let export_to = &entry.spec.export_to;
    let is_own = |to: &Strng| *to == "." || *to == name.namespace;
    if export_to.is_empty() || export_to.iter().any(|to| *to == "*") {
        return Some(by_mesh);
    }
    if export_to.iter().all(|to| *to == "~") {
        return None;
    }
    if export_to.iter().all(|to| is_own(to) || *to == "~") {
        return Some(Visibility::Namespace);
    }
    if by_mesh == Visibility::Public {
        let message =
            "names other namespaces one by one, which proxies cannot be told: every namespace may know of it";
        conditions.push(Condition::at(
            ConditionReason::Unsupported,
            "spec.exportTo",
            message,
        ));
    }
    Some(by_mesh)
}

/// Who may know of ServiceEntries: what the mesh's configuration says, else what was told at the start.
pub(super) fn rules<'r>(
    fetch: &Fetch<'r>,
    config: &'r MeshConfig,
    lookups: &Lookups,
) -> &'r [VisibilityRule] {
    let told = fetch.get(lookups.visibility, &());
    told.unwrap_or(&config.service_entry_visibility)
}

/// A host as names are asked for: lower case, without the root's dot.
pub(crate) fn normal(host: &Strng) -> Strng {
    let without_root = host.strip_suffix('.').unwrap_or(host);
    match without_root.bytes().any(|b| b.is_ascii_uppercase()) || without_root.len() < host.len() {
        true => without_root.to_ascii_lowercase().into(),
        false => host.clone(),
    }
}

/// Whether a host can be one on the wire.
pub(super) fn check(host: &str) -> Result<(), String> {
    match host {
        "*" => Err("\"*\" would be every host".to_owned()),
        host => controlplane_k8s_api::validate::names::wildcard_domain(host),
    }
}

/// The Service with this host name.
fn kubernetes_service(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    host: &str,
) -> Option<NamespacedName> {
    let rest = host
        .strip_suffix(&*config.cluster_domain)?
        .strip_suffix(".svc.")?;
    let (service, namespace) = rest.split_once('.')?;
    let name = NamespacedName::new(namespace, service);
    fetch
        .get(lookups.inputs.services, &name)
        .filter(|s| !service::is_alias(s))?;
    Some(name)
}
