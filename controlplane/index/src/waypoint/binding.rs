//! Which waypoint stands before a service or workload: labels of the object, else of its Namespace.
//!
//! Whoever asks for a waypoint asks for its policies. A waypoint that is missing, not ready or not to be had is therefore
//! still what proxies are told, as a name at which nobody answers: they refuse the connection, where sending none would
//! have them go past the policies (`docs/decisions/unready-waypoints.md`). `lateen.dev/waypoint-fail-open: "true"`
//! beside the label lets them go past it.

use controlplane_collections::Fetch;
use controlplane_k8s_api::Labels;
use mesh_model::service::WeightedWaypoint;
use mesh_model::workload::ApplicationTunnel;
use mesh_model::{GatewayDestination, GatewayRef};
use mesh_types::{NamespacedHostname, NamespacedName, Strng, ports};

use super::{Traffic, Waypoint, instances, only};
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason};
use crate::lookups::Lookups;
use crate::settings;
use crate::status::{ConditionType, StatusCondition, StatusReason};

/// What labels and annotations of an object or Namespace say about waypoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    waypoint: Option<Named>,
    canary: Option<Named>,
    canary_weight: Option<Strng>,
    ingress: Option<bool>,
    fail_open: Option<bool>,
    only: bool,
}

/// A waypoint's name, in the object's own namespace where it names none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: Strng,
    namespace: Option<Strng>,
}

/// What is to be bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// Where it lives.
    pub(crate) namespace: &'a Strng,
    /// Its labels.
    pub(crate) labels: &'a Labels,
    /// Its annotations.
    pub(crate) annotations: &'a Labels,
    /// How it is addressed.
    pub(crate) traffic: Traffic,
    /// Nobody outside its namespace may know of it.
    pub(crate) hidden: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Binding {
    /// The waypoint, or a name at which nobody answers.
    pub(crate) waypoint: Option<GatewayRef>,
    /// The waypoint and its canary, and their shares.
    pub(crate) weighted: Vec<WeightedWaypoint>,
    /// The waypoint and its canary, ready or not: what they need to know is sent to them before connections are.
    pub(crate) gateways: Vec<NamespacedName>,
    /// Those of them whose proxies alone may be let in: nobody is sent past them on purpose.
    pub(crate) guards: Vec<NamespacedName>,
    /// Gateways for traffic from outside use it too.
    pub(crate) ingress: bool,
    /// What its author should know; nothing where no waypoint is asked for.
    pub(crate) status: Option<StatusCondition>,
}

/// Why a waypoint cannot be used.
struct Obstacle {
    reason: StatusReason,
    message: String,
    /// What proxies are told instead.
    unreachable: GatewayRef,
}

/// What came of it for a workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WorkloadBinding {
    /// The waypoint, or a name at which nobody answers.
    pub(crate) waypoint: Option<GatewayRef>,
    /// It is an instance of a waypoint, and takes connections in this form.
    pub(crate) application_tunnel: Option<ApplicationTunnel>,
    /// The waypoints whose proxies alone may be let in.
    pub(crate) guards: Vec<NamespacedName>,
    /// What its author should know; nothing where no waypoint is asked for.
    pub(crate) status: Option<StatusCondition>,
}

/// Binds a workload that runs as this account. Instances of waypoints have none before them.
pub(crate) fn bind_workload(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    target: &Target<'_>,
    account: &str,
) -> WorkloadBinding {
    let labelled = instances::labelled(fetch, lookups, target.namespace, target.labels);
    if let Some((_, waypoint)) = labelled.filter(|(_, waypoint)| waypoint.runs_as(account)) {
        return WorkloadBinding {
            application_tunnel: waypoint.inbound,
            ..WorkloadBinding::default()
        };
    }
    let binding = bind(fetch, config, lookups, target);
    WorkloadBinding {
        waypoint: binding.waypoint,
        application_tunnel: None,
        guards: binding.guards,
        status: binding.status,
    }
}

/// What is to be logged of a binding: that it does not hold.
pub(crate) fn complaint(status: Option<&StatusCondition>) -> Option<Condition> {
    let status = status.filter(|s| !s.holds)?;
    Some(Condition::at(
        ConditionReason::WaypointUnusable,
        USE_WAYPOINT,
        status.message.clone(),
    ))
}

/// Binds a target.
pub(crate) fn bind(
    fetch: &Fetch<'_>,
    config: &MeshConfig,
    lookups: &Lookups,
    target: &Target<'_>,
) -> Binding {
    let own = Wish::of(target.labels, target.annotations);
    let of_namespace = fetch.get(lookups.namespaces.wishes, target.namespace);
    let (named, inherited) = match (&own.waypoint, of_namespace.and_then(|n| n.waypoint.as_ref())) {
        (Some(named), _) => (named, false),
        (None, Some(named)) => (named, true),
        (None, None) => return Binding::default(),
    };
    if named.name == OPT_OUT {
        return Binding::default();
    }
    let name = named.within(target.namespace);
    let around = of_namespace.filter(|_| inherited);
    // The opt-out belongs to the level that asks for the waypoint; what the object itself says counts in any case.
    let fail_open = own.fail_open.or_else(|| around?.fail_open).unwrap_or(false);
    let ingress = own.ingress.or_else(|| of_namespace?.ingress);
    let ingress = ingress.filter(|_| target.traffic == Traffic::Service);
    let address = match choose(fetch, config, lookups, target, &name, inherited) {
        Ok(Some(waypoint)) => reference(waypoint, fail_open),
        Ok(None) => return Binding::default(),
        Err(obstacle) => {
            // Gateways must not go past it either.
            let ingress = ingress == Some(true) && !fail_open;
            return Binding {
                ingress,
                ..refused(obstacle, &name, fail_open)
            };
        }
    };
    let mut message = format!("connections pass waypoint {name}");
    let mut gateways = vec![name.clone()];
    let mut weighted = Vec::new();
    if target.traffic == Traffic::Service {
        match ingress {
            Some(true) => message += "; those of gateways for traffic from outside too",
            Some(false) => {
                message +=
                    "; those of gateways for traffic from outside do not (istio.io/ingress-use-waypoint)"
            }
            None => {}
        }
        let wishes = [Some(&own), around];
        let named = wishes.into_iter().flatten().find_map(|w| w.canary.as_ref());
        if let Some(named) = named.filter(|n| n.name != OPT_OUT) {
            let canary_name = named.within(target.namespace);
            match canary(fetch, config, lookups, target, (&name, &canary_name), wishes) {
                Ok(Some((canary, weight))) => {
                    weighted = vec![
                        share(address.clone(), 100 - weight),
                        share(reference(canary, fail_open), weight),
                    ];
                    gateways.push(canary_name);
                }
                Ok(None) => {}
                // The primary's policies hold for all of it, so nothing is lost.
                Err(obstacle) => {
                    message += &format!("; its canary does not take a share: {}", obstacle.message);
                    gateways.extend(obstacle.is_temporary().then_some(canary_name));
                }
            }
        }
    }
    if config.allow_from_waypoints && !fail_open {
        message += "; node proxies before what it leads to let in nobody else, but whom a policy allows";
    }
    Binding {
        waypoint: Some(address),
        weighted,
        guards: if fail_open { Vec::new() } else { gateways.clone() },
        gateways,
        ingress: ingress == Some(true),
        status: Some(StatusCondition::new(
            ConditionType::WaypointBound,
            true,
            StatusReason::WaypointAccepted,
            message,
        )),
    }
}

/// The waypoint of this name, if the target can use it; nothing where it is not for such targets and only the Namespace
/// asks for it.
fn choose<'a>(
    fetch: &Fetch<'a>,
    config: &MeshConfig,
    lookups: &Lookups,
    target: &Target<'_>,
    name: &NamespacedName,
    inherited: bool,
) -> Result<Option<&'a Waypoint>, Obstacle> {
    let namespace = target.namespace;
    let derived = fetch.get(lookups.waypoints, name);
    let Some(waypoint) = derived.and_then(|d| d.value.as_ref()) else {
        let unreachable = hostname(crate::service::hostname(config, name));
        return Err(Obstacle {
            reason: StatusReason::WaypointIsNotReady,
            message: format!("there is no waypoint {name}"),
            unreachable,
        });
    };
    let denied = |reason, message| Obstacle {
        reason,
        message,
        unreachable: nowhere(name, reason),
    };
    if !waypoint.traffic.takes(target.traffic) {
        if inherited {
            return Ok(None);
        }
        let what = match target.traffic {
            Traffic::Workload => "workloads",
            _ => "services",
        };
        let message = format!("waypoint {name} is not for {what} (istio.io/waypoint-for)");
        return Err(denied(StatusReason::UnsupportedTrafficType, message));
    }
    if !waypoint.admits(fetch, &lookups.namespaces, name, namespace) {
        let message =
            format!("waypoint {name} does not admit namespace {namespace} (allowedRoutes of its listener)");
        return Err(denied(StatusReason::AttachmentDenied, message));
    }
    if target.hidden && name.namespace != *namespace {
        let message =
            format!("waypoint {name} is in another namespace, and must not know of what is hidden from it");
        return Err(denied(StatusReason::CrossNamespaceWaypointForbidden, message));
    }
    match &waypoint.unready {
        None => Ok(Some(waypoint)),
        Some(why) => Err(Obstacle {
            reason: StatusReason::WaypointIsNotReady,
            message: format!("waypoint {name} is not ready: {why}"),
            unreachable: waypoint.address.clone(),
        }),
    }
}

fn refused(obstacle: Obstacle, name: &NamespacedName, fail_open: bool) -> Binding {
    let consequence = match fail_open {
        true => format!("connections go past it, as {FAIL_OPEN} says"),
        false => format!(
            "connections are refused, since going past it would evade its policies; {FAIL_OPEN} would let them"
        ),
    };
    let message = format!("{}: {consequence}", obstacle.message);
    let gateways: Vec<NamespacedName> = obstacle
        .is_temporary()
        .then(|| name.clone())
        .into_iter()
        .collect();
    Binding {
        guards: if fail_open { Vec::new() } else { gateways.clone() },
        gateways,
        waypoint: (!fail_open).then_some(obstacle.unreachable),
        status: Some(StatusCondition::new(
            ConditionType::WaypointBound,
            false,
            obstacle.reason,
            message,
        )),
        ..Binding::default()
    }
}

/// The canary of a waypoint, and its share of 100; nothing where only the Namespace asks for it and it is not for such
/// targets.
fn canary<'a>(
    fetch: &Fetch<'a>,
    config: &MeshConfig,
    lookups: &Lookups,
    target: &Target<'_>,
    (primary, name): (&NamespacedName, &NamespacedName),
    wishes: [Option<&Wish>; 2],
) -> Result<Option<(&'a Waypoint, u32)>, Obstacle> {
    let mut wishes = wishes.into_iter().flatten();
    let refused = |reason, message| Obstacle {
        reason,
        message,
        unreachable: nowhere(name, reason),
    };
    if name == primary {
        let message = format!("{name} is the waypoint itself");
        return Err(refused(StatusReason::CanarySameAsPrimary, message));
    }
    let text = wishes.find_map(|w| w.canary_weight.as_deref()).unwrap_or("0");
    let Some(weight) = text.parse::<u32>().ok().filter(|w| *w <= 100) else {
        let message = format!("{CANARY_WEIGHT} {text:?} is no number from 0 to 100");
        return Err(refused(StatusReason::CanaryInvalidWeight, message));
    };
    let canary = choose(fetch, config, lookups, target, name, false)?;
    Ok(canary.map(|canary| (canary, weight)))
}

fn share(gateway: GatewayRef, weight: u32) -> WeightedWaypoint {
    WeightedWaypoint { gateway, weight }
}

fn reference(waypoint: &Waypoint, fail_open: bool) -> GatewayRef {
    GatewayRef {
        fail_open,
        ..waypoint.address.clone()
    }
}

fn hostname(hostname: NamespacedHostname) -> GatewayRef {
    GatewayRef::new(GatewayDestination::Hostname(hostname), ports::HBONE)
}

/// A name that nobody can have (RFC 6761, section 6.4), and that says in a proxy's log what is wrong.
fn nowhere(name: &NamespacedName, reason: StatusReason) -> GatewayRef {
    let what = format!(
        "{}.{}.{}.invalid",
        name.name,
        name.namespace,
        reason.as_str().to_ascii_lowercase()
    );
    hostname(NamespacedHostname::new(name.namespace.clone(), what))
}

impl Obstacle {
    /// Whether it goes away by itself, once the waypoint's pods run.
    fn is_temporary(&self) -> bool {
        self.reason == StatusReason::WaypointIsNotReady
    }
}

impl Wish {
    pub(crate) fn of(labels: &Labels, annotations: &Labels) -> Self {
        let named = |name: &str, namespace: &str| {
            let named = labels.get(name).filter(|n| !n.is_empty())?;
            Some(Named {
                name: named.clone(),
                namespace: labels.get(namespace).filter(|n| !n.is_empty()).cloned(),
            })
        };
        Self {
            waypoint: named(USE_WAYPOINT, USE_WAYPOINT_NAMESPACE),
            canary: named(CANARY, CANARY_NAMESPACE),
            canary_weight: annotations.get(CANARY_WEIGHT).cloned(),
            ingress: labels
                .get(INGRESS)
                .map(|value| settings::boolean(value) == Some(true)),
            fail_open: annotations.get(FAIL_OPEN).map(|value| value == "true"),
            // What is no word for it does not let others in.
            only: annotations.get(only::ONLY).is_some_and(|value| value != "false"),
        }
    }

    /// Nobody else is to be let in.
    pub(crate) fn only(&self) -> bool {
        self.only
    }

    /// The waypoint and its canary, by the names that they have in a namespace.
    pub(crate) fn waypoints(&self, namespace: &Strng) -> Vec<NamespacedName> {
        let named = self.waypoint.iter().filter(|named| *named.name != *OPT_OUT);
        let canary = self.canary.iter();
        named.chain(canary).map(|named| named.within(namespace)).collect()
    }
}

impl Named {
    fn within(&self, namespace: &Strng) -> NamespacedName {
        let namespace = self.namespace.as_ref().unwrap_or(namespace);
        NamespacedName::new(namespace.clone(), self.name.clone())
    }
}

pub(crate) const USE_WAYPOINT: &str = "istio.io/use-waypoint";
pub(crate) const USE_WAYPOINT_NAMESPACE: &str = "istio.io/use-waypoint-namespace";
/// No waypoint, whatever the Namespace says.
const OPT_OUT: &str = "none";
pub(crate) const CANARY: &str = "istio.io/use-waypoint-canary";
const CANARY_NAMESPACE: &str = "istio.io/use-waypoint-canary-namespace";
const CANARY_WEIGHT: &str = "istio.io/use-waypoint-canary-weight";
pub(crate) const INGRESS: &str = "istio.io/ingress-use-waypoint";
pub(crate) const FAIL_OPEN: &str = "lateen.dev/waypoint-fail-open";

#[cfg(test)]
mod tests;
