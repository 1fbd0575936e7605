//! What a policy is attached to: its targets, and the gateways that it is for (Gateway API, GEP-713; Istio reference,
//! "Workload Selector", `targetRefs`).

use std::collections::BTreeSet;

use controlplane_k8s_api::Labels;
use controlplane_k8s_api::gateway::PolicyTarget;
use controlplane_k8s_api::security::{TargetRef, WorkloadSelector};
use mesh_model::l7::{ObjectRef, ServicePort, Target};
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use super::lowering::Lowering;
use crate::derived::{Condition, ConditionReason};
use crate::l7::hosts::{Gateways, Host};
use crate::l7::parents::{GATEWAY_API, ISTIO};
use crate::labels::selects;
use crate::status::{Parent, StatusReason};

/// What a policy is attached to.
#[derive(Debug, Default)]
pub(super) struct Attachment {
    /// Each once, in order; none where nothing of it is there.
    pub(super) targets: Vec<Target>,
    /// Whose proxies are sent it.
    pub(super) gateways: Gateways,
    /// The references, and what became of them.
    pub(super) references: Vec<Reference>,
    /// What its author should know.
    pub(super) conditions: Vec<Condition>,
}

/// A reference, and what became of it.
#[derive(Debug)]
pub(super) struct Reference {
    /// What it names; nothing where the object says without naming.
    pub(super) parent: Option<Parent>,
    /// Why nobody carries the policy out there.
    pub(super) refused: Option<(StatusReason, String)>,
}

/// A reference to a target in the policy's own namespace.
#[derive(Clone, Copy)]
pub(super) struct TargetReference<'r> {
    group: &'r Strng,
    kind: &'r Strng,
    name: &'r Strng,
    section: Option<&'r Strng>,
}

/// Something that is there, and whose proxies serve it.
type Found = (Vec<Target>, Gateways);

impl<'r> From<&'r PolicyTarget> for TargetReference<'r> {
    fn from(target: &'r PolicyTarget) -> Self {
        Self {
            group: &target.group,
            kind: &target.kind,
            name: &target.name,
            section: target.section_name.as_ref(),
        }
    }
}

impl<'r> From<&'r TargetRef> for TargetReference<'r> {
    fn from(target: &'r TargetRef) -> Self {
        Self {
            group: &target.group,
            kind: &target.kind,
            name: &target.name,
            section: None,
        }
    }
}

impl Attachment {
    /// By references, each with the field that it stands in.
    pub(super) fn by_references<'r, R: Into<TargetReference<'r>>>(
        lowering: &Lowering<'_, '_>,
        references: impl IntoIterator<Item = (String, R)>,
        reaches: Reaches,
        rival: impl Fn(&TargetReference<'_>) -> Option<String>,
    ) -> Self {
        let mut attachment = Self::default();
        let mut targets = BTreeSet::new();
        for (field, reference) in references {
            let reference = reference.into();
            let refused = match resolve(lowering, &reference, reaches) {
                Ok(_) if let Some(other) = rival(&reference) => {
                    let message = format!("{other} is older, and counts there");
                    attachment.conditions.push(Condition::at(
                        ConditionReason::Conflicted,
                        field,
                        message.clone(),
                    ));
                    Some((StatusReason::Conflicted, message))
                }
                Ok((found, gateways)) => {
                    let unserved = gateways.is_empty();
                    targets.extend(found);
                    attachment.gateways.extend(gateways);
                    unserved.then(|| {
                        let message = "no waypoint serves it: the policy takes effect with one \
                                       (istio.io/use-waypoint)";
                        (StatusReason::AncestorNotBound, message.to_owned())
                    })
                }
                Err((reason, message)) => {
                    let condition =
                        Condition::at(ConditionReason::ReferenceUnresolved, field, message.clone());
                    attachment.conditions.push(condition);
                    Some((reason, message))
                }
            };
            attachment.references.push(Reference {
                parent: Some(parent(lowering, &reference)),
                refused,
            });
        }
        attachment.targets = targets.into_iter().collect();
        attachment
    }

    /// By a namespace, or the mesh for the root namespace.
    pub(super) fn by_namespace(lowering: &Lowering<'_, '_>) -> Self {
        let namespace = &lowering.name.namespace;
        let gateways = &lowering.lookups.gateways;
        let (target, gateways) = match *namespace == lowering.config.root_namespace {
            true => (Target::Mesh, gateways.all(lowering.fetch)),
            false => (
                Target::Namespace(namespace.clone()),
                gateways.of_namespace(lowering.fetch, namespace),
            ),
        };
        Self {
            targets: vec![target],
            gateways: gateways.into_iter().map(|(name, _)| name.clone()).collect(),
            references: vec![Reference::of_whole(None)],
            ..Self::default()
        }
    }

    /// By a namespace and a selector, which are about proxies beside Pods: those of gateways that are no waypoints
    /// (selectors never apply to waypoints).
    pub(super) fn by_selector(lowering: &Lowering<'_, '_>, selector: Option<&WorkloadSelector>) -> Self {
        let namespace = &lowering.name.namespace;
        let none = Labels::new();
        let selector = selector.map_or(&none, |selector| &selector.match_labels);
        let gateways = &lowering.lookups.gateways;
        let candidates = match *namespace == lowering.config.root_namespace {
            true => gateways.all(lowering.fetch),
            false => gateways.of_namespace(lowering.fetch, namespace),
        };
        let chosen = candidates
            .into_iter()
            .filter(|(_, gateway)| !gateway.is_waypoint && selects(selector, &gateway.labels));
        let gateways: Gateways = chosen.map(|(name, _)| name.clone()).collect();
        Self {
            targets: gateways.iter().cloned().map(Target::Gateway).collect(),
            gateways,
            references: vec![Reference::of_whole(None)],
            ..Self::default()
        }
    }

    /// `targetRef` and `targetRefs` of Istio's kinds.
    pub(super) fn by_istio(
        lowering: &Lowering<'_, '_>,
        one: Option<&TargetRef>,
        several: &[TargetRef],
    ) -> Self {
        let one = one
            .into_iter()
            .map(|target| ("spec.targetRef".to_owned(), target));
        let several = several.iter().enumerate();
        let several = several.map(|(i, target)| (format!("spec.targetRefs[{i}]"), target));
        Self::by_references(lowering, one.chain(several), Reaches::Clients, |_| None)
    }

    /// `targetRefs` of Gateway API's kinds and ours; with a rival that is older a target is that one's.
    pub(super) fn by_policy(
        lowering: &Lowering<'_, '_>,
        targets: &[PolicyTarget],
        reaches: Reaches,
        rival: impl Fn(&TargetReference<'_>) -> Option<String>,
    ) -> Self {
        let targets = targets.iter().enumerate();
        let targets = targets.map(|(i, target)| (format!("spec.targetRefs[{i}]"), target));
        Self::by_references(lowering, targets, reaches, rival)
    }
}

impl Reference {
    /// About the object as a whole.
    pub(super) fn of_whole(refused: Option<(StatusReason, String)>) -> Self {
        Self {
            parent: None,
            refused,
        }
    }
}

impl TargetReference<'_> {
    /// What tells apart what policies of a namespace are attached to.
    pub(super) fn key(&self, namespace: &Strng) -> TargetKey {
        let section = self.section.cloned().unwrap_or_default();
        [namespace.clone(), self.kind.clone(), self.name.clone(), section]
    }
}

/// Namespace, kind, name and section.
pub(super) type TargetKey = [Strng; 4];

/// Whom a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaches {
    /// Requests that come in: those who serve a service need it.
    Clients,
    /// Connections to services: those whose routes lead there need it as well.
    Endpoints,
}

/// Those who serve a service, and where it matters those whose routes lead there.
pub(super) fn gateways_of_service(
    lowering: &Lowering<'_, '_>,
    service: &NamespacedHostname,
    reaches: Reaches,
) -> Gateways {
    let serving = lowering.lookups.hosts.serving(lowering.fetch, service);
    let mut gateways: Gateways = serving.into_iter().flatten().cloned().collect();
    if reaches == Reaches::Endpoints {
        for routes in lowering.lookups.routes.iter() {
            gateways.extend(routes.gateways_to(lowering.fetch, service));
        }
    }
    gateways
}

fn resolve(
    lowering: &Lowering<'_, '_>,
    reference: &TargetReference<'_>,
    reaches: Reaches,
) -> Result<Found, (StatusReason, String)> {
    let name = NamespacedName::new(lowering.name.namespace.clone(), reference.name.clone());
    match (reference.group.as_str(), reference.kind.as_str()) {
        ("" | "core", "Service") => {
            let hostname = crate::service::hostname(lowering.config, &name);
            let host = lowering.lookups.hosts.get(lowering.fetch, &hostname);
            let host = host.ok_or_else(|| missing(format!("there is no Service {name}")))?;
            services(lowering, reference, &[(hostname, host)], reaches)
        }
        (ISTIO, "ServiceEntry") => {
            let facts = lowering.fetch.get(lowering.lookups.entries.entries, &name);
            let owned = facts.and_then(|derived| derived.value.as_ref());
            let owned = owned.into_iter().flat_map(|facts| &facts.hosts);
            let hosts: Vec<_> = owned
                .filter_map(|host| {
                    let found = lowering.lookups.hosts.get(lowering.fetch, &host.name)?;
                    Some((host.name.clone(), found))
                })
                .collect();
            if hosts.is_empty() {
                return Err(missing(format!(
                    "there is no ServiceEntry {name} with a host of its own"
                )));
            }
            services(lowering, reference, &hosts, reaches)
        }
        (GATEWAY_API, "Gateway") => gateway(lowering, reference, name),
        (GATEWAY_API, "GatewayClass") => gateway_class(lowering, reference),
        (GATEWAY_API, kind) if ROUTES.contains(&kind) => route(lowering, reference, name),
        (group, kind) => Err((
            StatusReason::InvalidKind,
            format!("nothing can be attached to {kind} of group {group:?}"),
        )),
    }
}

fn services(
    lowering: &Lowering<'_, '_>,
    reference: &TargetReference<'_>,
    hosts: &[(NamespacedHostname, &Host)],
    reaches: Reaches,
) -> Result<Found, (StatusReason, String)> {
    let mut targets = Vec::with_capacity(hosts.len());
    let mut gateways = Gateways::new();
    for (service, host) in hosts {
        targets.push(match reference.section {
            None => Target::Service(service.clone()),
            Some(section) => {
                let by_number = || host.port(section.parse().ok()?);
                let port = host.port_named(section).or_else(by_number).ok_or_else(|| {
                    let (kind, name) = (reference.kind, reference.name);
                    missing(format!("{kind} {name} has no port {:?}", section.as_str()))
                })?;
                Target::ServicePort(ServicePort {
                    service: service.clone(),
                    port: port.number,
                })
            }
        });
        gateways.extend(gateways_of_service(lowering, service, reaches));
    }
    Ok((targets, gateways))
}

fn gateway(
    lowering: &Lowering<'_, '_>,
    reference: &TargetReference<'_>,
    name: NamespacedName,
) -> Result<Found, (StatusReason, String)> {
    let facts = lowering.lookups.gateways.get(lowering.fetch, &name);
    let facts = facts.ok_or_else(|| missing(format!("there is no Gateway {name} that is served here")))?;
    let gateways = Gateways::from([name.clone()]);
    let target = match reference.section {
        None => Target::Gateway(name),
        Some(section) if facts.transparent.contains(section) => {
            let message = format!(
                "listener {:?} of Gateway {name} takes tunnels, where services decide: attach the policy to the Gateway, \
                 without sectionName",
                section.as_str()
            );
            return Err((StatusReason::UnsupportedValue, message));
        }
        Some(section) if facts.listeners.contains(section) => Target::Listener(name, section.clone()),
        Some(section) => {
            return Err(missing(format!(
                "Gateway {name} has no listener {:?}",
                section.as_str()
            )));
        }
    };
    Ok((vec![target], gateways))
}

/// All gateways of a class; only the root namespace may speak for them.
fn gateway_class(
    lowering: &Lowering<'_, '_>,
    reference: &TargetReference<'_>,
) -> Result<Found, (StatusReason, String)> {
    let root = &lowering.config.root_namespace;
    if lowering.name.namespace != *root {
        let message = format!("only policies of namespace {root} can be attached to a GatewayClass");
        return Err(missing(message));
    }
    let of_class = lowering.lookups.gateways.of_class(lowering.fetch, reference.name);
    let gateways: Gateways = of_class.into_iter().map(|(name, _)| name.clone()).collect();
    Ok((gateways.iter().cloned().map(Target::Gateway).collect(), gateways))
}

fn route(
    lowering: &Lowering<'_, '_>,
    reference: &TargetReference<'_>,
    name: NamespacedName,
) -> Result<Found, (StatusReason, String)> {
    let object = ObjectRef {
        kind: reference.kind.clone(),
        name,
    };
    let mut found = false;
    let mut named = reference.section.is_none();
    let mut gateways = Gateways::new();
    for routes in lowering.lookups.routes.iter() {
        for facts in routes.of_object(lowering.fetch, &object) {
            found = true;
            named |= reference
                .section
                .is_some_and(|section| facts.rules.contains(section));
            gateways.extend(facts.gateways.iter().cloned());
        }
    }
    match (found, reference.section) {
        (false, _) => Err(missing(format!("there is no {object} that is attached anywhere"))),
        (true, Some(section)) if !named => {
            Err(missing(format!("{object} has no rule {:?}", section.as_str())))
        }
        (true, Some(section)) => Ok((vec![Target::RouteRule(object, section.clone())], gateways)),
        (true, None) => Ok((vec![Target::Route(object)], gateways)),
    }
}

fn missing(message: String) -> (StatusReason, String) {
    (StatusReason::TargetNotFound, message)
}

fn parent(lowering: &Lowering<'_, '_>, reference: &TargetReference<'_>) -> Parent {
    Parent {
        group: reference.group.clone(),
        kind: reference.kind.clone(),
        namespace: match reference.kind.as_str() {
            "GatewayClass" => Strng::default(),
            _ => lowering.name.namespace.clone(),
        },
        name: reference.name.clone(),
        section_name: reference.section.cloned(),
        port: None,
    }
}

/// Routes that policies can be attached to.
const ROUTES: [&str; 2] = ["HTTPRoute", "GRPCRoute"];
