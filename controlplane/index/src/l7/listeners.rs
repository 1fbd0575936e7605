//! A Gateway's listeners: which of them are served, and which routes may attach (Gateway API, "Listener").
//!
//! Routes attach by what a listener admits, whether or not it can be served at present. Of listeners that stand in each
//! other's way the first is served.

mod certificates;
mod conflicts;

use controlplane_collections::{Collection, Fetch};
use controlplane_k8s_api::core::Secret;
use controlplane_k8s_api::gateway::{Gateway, GatewayClass, Listener, RouteNamespaces, TlsMode};
use controlplane_k8s_api::{Kind, ObjectKey};
use ipnet::IpNet;
use mesh_model::AppProtocol;
use mesh_model::l7::bind::{BindProtocol, Frontend, ProxyTrust, Serves};
use mesh_model::l7::tls::TlsTermination;
use mesh_types::{NamespacedName, Strng, ports};

use super::grants::GrantLookups;
use super::parents::GATEWAY_API;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::status::{ConditionType, Stated, StatusCondition, StatusReason};
use crate::waypoint::{Traffic, Waypoint};
use conflicts::Conflict;

/// What listeners look into.
#[derive(Clone, Copy)]
pub(crate) struct ListenerLookups {
    pub(crate) classes: Collection<Strng, GatewayClass>,
    pub(crate) waypoints: Collection<NamespacedName, Derived<Waypoint>>,
    pub(crate) secrets: Collection<NamespacedName, Secret>,
    pub(crate) grants: GrantLookups,
}

/// A listener, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Served {
    pub(crate) point: AttachPoint,
    /// What comes in there; nothing where it cannot be served.
    pub(crate) protocol: Option<BindProtocol>,
    pub(crate) conditions: Vec<StatusCondition>,
}

/// A listener, as routes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AttachPoint {
    pub(crate) listener: Strng,
    pub(crate) port: u16,
    pub(crate) hostname: Option<Strng>,
    /// The kinds of routes that it admits.
    pub(crate) kinds: Vec<&'static str>,
    pub(crate) namespaces: RouteNamespaces,
    /// What comes in says itself which service it is for: the listener itself decides nothing.
    pub(crate) is_transparent: bool,
}

/// Why a listener is not served.
struct Problem {
    kind: ConditionType,
    reason: StatusReason,
    message: String,
}

/// The listeners of a Gateway; nothing where somebody else serves it.
pub(crate) fn listeners_from_gateway(
    fetch: &Fetch<'_>,
    lookups: &ListenerLookups,
    name: &NamespacedName,
    gateway: &Gateway,
) -> Option<Derived<Vec<Served>>> {
    let waypoint = fetch.get(lookups.waypoints, name).and_then(|d| d.value.as_ref());
    if waypoint.is_none() && !is_ours(fetch, lookups, gateway) {
        return None;
    }
    let conflicts = conflicts::of(&gateway.spec.listeners);
    let listeners = gateway.spec.listeners.iter().zip(conflicts);
    let served: Vec<_> = listeners
        .map(|(listener, conflict)| {
            let outcome = protocol(fetch, lookups, (name, gateway), waypoint, listener);
            serve(listener, outcome, conflict)
        })
        .collect();
    let mut derived = Derived::of(provenance(name), served);
    let listeners = derived.value.iter().flatten().enumerate();
    let wrong = listeners.flat_map(|(i, served)| {
        let bad = |c: &&StatusCondition| c.holds == (c.kind == ConditionType::Conflicted);
        let bad = served.conditions.iter().filter(bad);
        let bad = bad.filter(|c| c.kind != ConditionType::Programmed);
        bad.map(move |c| {
            Condition::at(
                ConditionReason::NotServed,
                format!("spec.listeners[{i}]"),
                c.message.clone(),
            )
        })
    });
    derived.conditions = wrong.collect();
    if waypoint.is_none() {
        derived.status = of_whole(gateway, derived.value.as_deref().unwrap_or_default());
    }
    Some(derived)
}

/// Whether its class is one that this control plane makes the Gateways of: by the class itself, else by its name.
fn is_ours(fetch: &Fetch<'_>, lookups: &ListenerLookups, gateway: &Gateway) -> bool {
    let name = &gateway.spec.gateway_class_name;
    match fetch.get(lookups.classes, name) {
        Some(class) => CLASSES
            .iter()
            .any(|(_, controller)| class.spec.controller_name == *controller),
        None => CLASSES.iter().any(|(class, _)| *name == *class),
    }
}

fn serve(listener: &Listener, outcome: Result<BindProtocol, Problem>, conflict: Option<Conflict>) -> Served {
    let fitting = kinds(listener);
    let (kinds, foreign) = admitted(listener, fitting);
    let mut wrong = outcome.as_ref().err();
    let strange = foreign.map(|kind| Problem {
        kind: ConditionType::ResolvedRefs,
        reason: StatusReason::InvalidRouteKinds,
        message: format!(
            "{kind} cannot attach to a listener of protocol {}",
            listener.protocol
        ),
    });
    wrong = wrong.or(strange.as_ref());
    let mut conditions = Vec::with_capacity(4);
    let told = |kind: ConditionType, good: StatusReason, message: &'static str| match wrong {
        Some(problem) if problem.kind == kind => {
            StatusCondition::new(kind, false, problem.reason, problem.message.clone())
        }
        _ => StatusCondition::new(kind, true, good, message),
    };
    let good = "it is well-formed, and its protocol is served";
    conditions.push(match &conflict {
        Some(conflict) => StatusCondition::new(
            ConditionType::Accepted,
            false,
            conflict.reason,
            conflict.message.clone(),
        ),
        None => told(ConditionType::Accepted, StatusReason::Accepted, good),
    });
    let good = "everything that it refers to is there";
    conditions.push(told(
        ConditionType::ResolvedRefs,
        StatusReason::ResolvedRefs,
        good,
    ));
    let conflicted = ConditionType::Conflicted;
    conditions.push(match &conflict {
        Some(conflict) => StatusCondition::new(conflicted, true, conflict.reason, conflict.message.clone()),
        None => {
            let none = "no other listener stands in its way";
            StatusCondition::new(conflicted, false, StatusReason::NoConflicts, none)
        }
    });
    let (protocol, unserved) = match (outcome, conflict) {
        (Ok(protocol), None) => (Some(protocol), None),
        (Ok(_), Some(conflict)) => (None, Some(conflict.message)),
        (Err(problem), _) => (None, Some(problem.message)),
    };
    conditions.push(match unserved {
        None => StatusCondition::new(
            ConditionType::Programmed,
            true,
            StatusReason::Programmed,
            "the Gateway's proxies are told to listen",
        ),
        Some(why) => StatusCondition::new(ConditionType::Programmed, false, StatusReason::Invalid, why),
    });
    Served {
        point: AttachPoint {
            listener: listener.name.clone(),
            port: listener.port,
            hostname: listener.hostname.clone().filter(|h| !h.is_empty()),
            kinds,
            namespaces: listener.allowed_routes.namespaces.clone(),
            is_transparent: matches!(listener.protocol.as_str(), "HBONE" | PROXY),
        },
        protocol,
        conditions,
    }
}

/// The kinds of routes that fit a listener's protocol.
fn kinds(listener: &Listener) -> &'static [&'static str] {
    let passthrough = listener
        .tls
        .as_ref()
        .is_some_and(|t| t.mode == TlsMode::Passthrough);
    match listener.protocol.as_str() {
        "HTTP" | "HTTPS" => &["HTTPRoute", "GRPCRoute"],
        "TLS" if passthrough => &["TLSRoute"],
        "TLS" => &["TLSRoute", "TCPRoute"],
        "TCP" => &["TCPRoute"],
        _ => &[],
    }
}

/// Those that the listener also admits, and one that it admits and cannot serve.
fn admitted<'l>(listener: &'l Listener, fitting: &[&'static str]) -> (Vec<&'static str>, Option<&'l str>) {
    let wanted = &listener.allowed_routes.kinds;
    if wanted.is_empty() {
        return (fitting.to_vec(), None);
    }
    let fits = |kind: &str| fitting.iter().find(|f| **f == kind);
    let known = wanted.iter().filter(|w| w.group == GATEWAY_API);
    let kinds = known.filter_map(|w| fits(&w.kind)).copied().collect();
    let foreign = wanted
        .iter()
        .find(|w| w.group != GATEWAY_API || fits(&w.kind).is_none());
    (kinds, foreign.map(|w| w.kind.as_str()))
}

/// What comes in on a listener.
fn protocol(
    fetch: &Fetch<'_>,
    lookups: &ListenerLookups,
    (name, gateway): (&NamespacedName, &Gateway),
    waypoint: Option<&Waypoint>,
    listener: &Listener,
) -> Result<BindProtocol, Problem> {
    let hostnames: Vec<Strng> = listener
        .hostname
        .iter()
        .filter(|h| !h.is_empty())
        .cloned()
        .collect();
    let routes = |protocol| Frontend::Routes {
        hostnames: hostnames.clone(),
        protocol,
    };
    let terminated = || certificates::termination(fetch, lookups, name, gateway, listener);
    let passthrough = listener
        .tls
        .as_ref()
        .is_some_and(|t| t.mode == TlsMode::Passthrough);
    match (listener.protocol.as_str(), waypoint) {
        ("HTTP", _) => Ok(BindProtocol::Plain(routes(AppProtocol::Http11))),
        ("HTTPS", _) => Ok(BindProtocol::Tls(terminated()?, routes(AppProtocol::Http11))),
        ("TLS", _) if passthrough => Ok(BindProtocol::Tls(
            TlsTermination::Passthrough,
            routes(AppProtocol::Tls),
        )),
        ("TLS", _) => Ok(BindProtocol::Tls(terminated()?, routes(AppProtocol::Tcp))),
        ("TCP", _) => Ok(BindProtocol::Plain(routes(AppProtocol::Tcp))),
        ("HBONE", Some(waypoint)) if listener.port == ports::HBONE => Ok(BindProtocol::Hbone {
            serves: serves(waypoint.traffic),
        }),
        (PROXY, Some(waypoint)) => Ok(BindProtocol::Proxy {
            serves: serves(waypoint.traffic),
            trust: ProxyTrust {
                node: true,
                addresses_from: trusted_proxies(gateway)?,
            },
        }),
        ("HBONE", Some(_)) => Err(Problem {
            kind: ConditionType::Accepted,
            reason: StatusReason::PortUnavailable,
            message: format!("HBONE is only spoken on port {}", ports::HBONE),
        }),
        (other, _) => Err(Problem {
            kind: ConditionType::Accepted,
            reason: StatusReason::UnsupportedProtocol,
            message: format!("{other:?} is not served by Gateways of this class"),
        }),
    }
}

/// Who else than the node's proxy may say where connections come from.
fn trusted_proxies(gateway: &Gateway) -> Result<Vec<IpNet>, Problem> {
    let named = gateway.metadata.annotations.get(TRUSTED_PROXIES);
    let ranges = named.map_or("", |named| named.as_ref()).split(',').map(str::trim);
    let ranges = ranges.filter(|range| !range.is_empty());
    let parsed: Result<Vec<IpNet>, &str> = ranges.map(|range| range.parse().map_err(|_| range)).collect();
    parsed.map_err(|range| Problem {
        kind: ConditionType::Accepted,
        reason: StatusReason::Invalid,
        message: format!("annotation {TRUSTED_PROXIES}: {range:?} is no range of addresses (CIDR)"),
    })
}

fn serves(traffic: Traffic) -> Serves {
    match traffic {
        Traffic::Service => Serves::Services,
        Traffic::Workload => Serves::Workloads,
        Traffic::All => Serves::All,
        Traffic::None => Serves::Nothing,
    }
}

/// What holds for a Gateway that is no waypoint; those have their own words for it.
fn of_whole(gateway: &Gateway, listeners: &[Served]) -> Vec<Stated> {
    let unserved = listeners.iter().filter(|l| l.protocol.is_none()).count();
    let served = listeners.len() - unserved;
    let parameters = gateway.spec.infrastructure.as_ref();
    let parameters = parameters.and_then(|i| i.parameters_ref.as_ref());
    let accepted = match (parameters, unserved) {
        (Some(parameters), _) => StatusCondition::new(
            ConditionType::Accepted,
            false,
            StatusReason::InvalidParameters,
            format!("settings in {} {} are not read", parameters.kind, parameters.name),
        ),
        (None, 0) => StatusCondition::new(
            ConditionType::Accepted,
            true,
            StatusReason::Accepted,
            "all of its listeners are served",
        ),
        (None, unserved) => StatusCondition::new(
            ConditionType::Accepted,
            served > 0,
            StatusReason::ListenersNotValid,
            format!("{unserved} of {} listeners cannot be served", listeners.len()),
        ),
    };
    let programmed = match served {
        0 => (false, StatusReason::Invalid, "none of its listeners is served"),
        _ => (
            true,
            StatusReason::Programmed,
            "its proxies are told what to serve",
        ),
    };
    let programmed = StatusCondition::new(
        ConditionType::Programmed,
        programmed.0,
        programmed.1,
        programmed.2,
    );
    vec![accepted.into(), programmed.into()]
}

pub(super) fn provenance(name: &NamespacedName) -> ObjectKey {
    ObjectKey {
        kind: Kind::Gateway,
        namespace: name.namespace.clone(),
        name: name.name.clone(),
    }
}

/// Classes, and the controllers that make their Gateways: ours, and those that ours can stand in for.
const CLASSES: [(&str, &str); 4] = [
    ("istio-waypoint", "istio.io/mesh-controller"),
    ("lateen-waypoint", "lateen.dev/mesh-controller"),
    ("istio", "istio.io/gateway-controller"),
    ("lateen", "lateen.dev/gateway-controller"),
];
/// Ranges (CIDR, by comma) from which a PROXY protocol header is believed as far as addresses go.
const TRUSTED_PROXIES: &str = "lateen.dev/trusted-proxies";
/// Bytes behind a PROXY protocol header, from the node's proxy.
const PROXY: &str = "istio.io/PROXY";

#[cfg(test)]
mod tests;
