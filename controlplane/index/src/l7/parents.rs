//! What a route is attached to (Gateway API, "ParentReference").
//!
//! A route of a service's own namespace, or of its waypoint's, is for all of the service's clients; one of another
//! namespace is for clients of that namespace only (GEP-1294, "consumer routes"). To a gateway, a listener has to admit
//! it.

use controlplane_k8s_api::gateway::{FromNamespaces, LabelSelector, ParentRef};
use controlplane_k8s_api::{Labels, object::Kind};
use mesh_model::l7::ServicePort;
use mesh_model::l7::route::RouteParent;
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use super::hosts::{Gateways, Host};
use super::listeners::AttachPoint;
use super::lowering::Lowering;
use crate::status::{ConditionType, StatusCondition, StatusReason};

/// Which routes of an object belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// For all clients of services.
    Own,
    /// For clients of the route's namespace.
    Consumer,
    /// For clients of gateways.
    Gateway,
}

/// A parent that takes a route.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(crate) side: Side,
    pub(crate) parents: Vec<RouteParent>,
    /// Whose proxies serve it.
    pub(crate) gateways: Gateways,
    /// Whether there is a waypoint before the services that are meant; nothing of Gateways.
    pub(crate) waypoints: Option<StatusCondition>,
}

/// Why a parent takes it not.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: StatusReason,
    pub(crate) message: String,
}

/// What a reference to a parent comes to, for a route with these host names.
pub(crate) fn resolve(
    lowering: &Lowering<'_, '_>,
    parent: &ParentRef,
    hostnames: &[Strng],
) -> Result<Attached, Refused> {
    let namespace = parent.namespace.as_ref().unwrap_or(&lowering.name.namespace);
    let name = NamespacedName::new(namespace.clone(), parent.name.clone());
    match (parent.group.as_str(), parent.kind.as_str()) {
        ("" | "core", "Service") => {
            let hostname = crate::service::hostname(lowering.config, &name);
            let host = lowering.lookups.hosts.get(lowering.fetch, &hostname);
            let host = host.ok_or_else(|| nothing(format!("there is no Service {name}")))?;
            to_services(lowering, parent, &[(hostname, host)])
        }
        (ISTIO, "ServiceEntry") => {
            let hosts = lowering.hosts_of_entry(&name);
            if hosts.is_empty() {
                return Err(nothing(format!(
                    "there is no ServiceEntry {name} with a host of its own"
                )));
            }
            to_services(lowering, parent, &hosts)
        }
        (ISTIO, "Hostname") => {
            let host = crate::service_entry::normal(&parent.name);
            let lookups = &lowering.lookups.hosts;
            let found = lookups.find(lowering.fetch, lowering.config, &host, namespace);
            let found = found.ok_or_else(|| nothing(format!("nothing has the host {host}")))?;
            to_services(lowering, parent, &[found])
        }
        (GATEWAY_API, "Gateway") => to_gateway(lowering, parent, &name, hostnames),
        (group, kind) => Err(Refused {
            reason: StatusReason::InvalidKind,
            message: format!("routes cannot be attached to {kind} of group {group:?}"),
        }),
    }
}

fn to_services(
    lowering: &Lowering<'_, '_>,
    parent: &ParentRef,
    services: &[(NamespacedHostname, &Host)],
) -> Result<Attached, Refused> {
    let mut parents = Vec::with_capacity(services.len());
    let mut gateways = Gateways::new();
    let mut own = true;
    let mut waypoints: Option<StatusCondition> = None;
    for (name, host) in services {
        let at = port_of(parent, host)
            .map_err(|what| nothing(format!("{} {} has no port {what}", parent.kind, parent.name)))?;
        parents.push(match at {
            Some(port) => RouteParent::ServicePort(ServicePort {
                service: name.clone(),
                port,
            }),
            None => RouteParent::Service(name.clone()),
        });
        let serving = lowering.lookups.hosts.serving(lowering.fetch, name);
        own &= is_own(&lowering.name.namespace, name, serving);
        gateways.extend(serving.into_iter().flatten().cloned());
        let resolved = waypoint_of(lowering.lookups.hosts.bound(lowering.fetch, name), name);
        // Of several, the first that has none.
        if waypoints
            .as_ref()
            .is_none_or(|known| known.holds && !resolved.holds)
        {
            waypoints = Some(resolved);
        }
    }
    Ok(Attached {
        side: if own { Side::Own } else { Side::Consumer },
        parents,
        gateways,
        waypoints,
    })
}

/// Whether somebody carries out what is attached to a service.
fn waypoint_of(bound: Option<&StatusCondition>, service: &NamespacedHostname) -> StatusCondition {
    let (holds, reason, message) = match bound {
        None => (
            false,
            StatusReason::MissingUseWaypointLabel,
            format!(
                "{} asks for no waypoint, nor does its Namespace (istio.io/use-waypoint): nobody carries the route out",
                service.hostname
            ),
        ),
        Some(bound) if bound.holds => (true, StatusReason::ResolvedWaypoints, bound.message.clone()),
        Some(bound) => (false, bound.reason, bound.message.clone()),
    };
    StatusCondition::new(ConditionType::ResolvedWaypoints, holds, reason, message)
}

/// Whether routes of a namespace are for all clients of a service.
pub(crate) fn is_own(namespace: &Strng, service: &NamespacedHostname, serving: Option<&Gateways>) -> bool {
    service.namespace == *namespace || serving.is_some_and(|g| g.iter().any(|g| g.namespace == *namespace))
}

/// The port that is meant: by its number, its name, or both; nothing where every port is.
fn port_of(parent: &ParentRef, host: &Host) -> Result<Option<u16>, String> {
    let by_name = match &parent.section_name {
        Some(name) => {
            let port = host.port_named(name);
            Some(port.ok_or_else(|| format!("{:?}", name.as_str()))?.number)
        }
        None => None,
    };
    let by_number = match parent.port {
        Some(number) => Some(host.port(number).ok_or_else(|| number.to_string())?.number),
        None => None,
    };
    match (by_name, by_number) {
        (Some(named), Some(number)) if named != number => {
            let name = parent.section_name.as_deref().unwrap_or_default();
            Err(format!("{number} that is called {name:?}"))
        }
        (named, number) => Ok(named.or(number)),
    }
}

fn to_gateway(
    lowering: &Lowering<'_, '_>,
    parent: &ParentRef,
    name: &NamespacedName,
    hostnames: &[Strng],
) -> Result<Attached, Refused> {
    let points = lowering.fetch.get(lowering.lookups.attach_points, name);
    let points = points.ok_or_else(|| nothing(format!("there is no Gateway {name} that is served here")))?;
    let section = |p: &&AttachPoint| parent.section_name.as_ref().is_none_or(|s| *s == p.listener);
    let port = |p: &&AttachPoint| parent.port.is_none_or(|port| port == p.port);
    let named: Vec<_> = points.iter().filter(section).filter(port).collect();
    if named.is_empty() {
        return Err(nothing(format!(
            "Gateway {name} has no listener with this sectionName and port"
        )));
    }
    let admitting: Vec<_> = named
        .into_iter()
        .filter(|p| p.kinds.contains(&lowering.kind.as_str()) && admits(lowering, name, p))
        .collect();
    if admitting.is_empty() {
        let hint = match lowering.kind {
            Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute | Kind::TcpRoute => "",
            _ => " at all",
        };
        return Err(Refused {
            reason: StatusReason::NotAllowedByListeners,
            message: format!(
                "no listener of Gateway {name} admits {}s of namespace {}{hint} (protocol, allowedRoutes)",
                lowering.kind, lowering.name.namespace
            ),
        });
    }
    let parents: Vec<_> = admitting
        .iter()
        .filter(|p| intersects(p.hostname.as_deref(), hostnames))
        .map(|p| RouteParent::Bind(format!("{name}/{}", p.listener).into()))
        .collect();
    if parents.is_empty() {
        return Err(Refused {
            reason: StatusReason::NoMatchingListenerHostname,
            message: format!("no listener of Gateway {name} has a host in common with the route"),
        });
    }
    Ok(Attached {
        side: Side::Gateway,
        parents,
        gateways: Gateways::from([name.clone()]),
        waypoints: None,
    })
}

/// Whether a listener takes routes of the route's namespace.
fn admits(lowering: &Lowering<'_, '_>, gateway: &NamespacedName, point: &AttachPoint) -> bool {
    let namespace = &lowering.name.namespace;
    match (point.namespaces.from, &point.namespaces.selector) {
        (FromNamespaces::All, _) => true,
        (FromNamespaces::Same, _) => gateway.namespace == *namespace,
        (FromNamespaces::Selector, Some(selector)) => selects(lowering, selector, namespace),
        (FromNamespaces::Selector, None) | (FromNamespaces::None, _) => false,
    }
}

fn selects(lowering: &Lowering<'_, '_>, selector: &LabelSelector, namespace: &Strng) -> bool {
    let none = Labels::new();
    let labels = lowering.fetch.get(lowering.lookups.namespaces.labels, namespace);
    selector.matches(labels.unwrap_or(&none))
}

/// Whether a listener's host and a route's have one in common; those that name none have all.
pub(crate) fn intersects(listener: Option<&str>, hostnames: &[Strng]) -> bool {
    let Some(listener) = listener.filter(|l| !l.is_empty()) else {
        return true;
    };
    hostnames.is_empty() || hostnames.iter().any(|host| overlap(listener, host))
}

fn overlap(a: &str, b: &str) -> bool {
    let below = |name: &str, wildcard: &str| {
        let suffix = wildcard.strip_prefix('*');
        suffix.is_some_and(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
    };
    // Of two wildcards one includes the other, or they have nothing in common.
    a.eq_ignore_ascii_case(b)
        || below(&b.to_ascii_lowercase(), &a.to_ascii_lowercase())
        || below(&a.to_ascii_lowercase(), &b.to_ascii_lowercase())
}

fn nothing(message: String) -> Refused {
    Refused {
        reason: StatusReason::NoMatchingParent,
        message,
    }
}

/// The group of ServiceEntries, and of host names as references.
pub(crate) const ISTIO: &str = "networking.istio.io";
pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io";

#[cfg(test)]
mod tests;
