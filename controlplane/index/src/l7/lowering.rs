//! What the lowering of every kind of routes shares.

use std::collections::BTreeMap;

use controlplane_collections::{Collection, Fetch};
use controlplane_k8s_api::gateway::ParentRef;
use controlplane_k8s_api::lateen::{ExternalProcessorFilter, FaultFilter};
use controlplane_k8s_api::networking::VirtualService;
use controlplane_k8s_api::{Kind, Metadata, ObjectKey};
use mesh_model::l7::route::Rules;
use mesh_model::l7::{ObjectRef, Route};
use mesh_types::{NamespacedHostname, NamespacedName, Strng};

use super::Scoped;
use super::findings::Findings;
use super::grants::GrantLookups;
use super::hosts::{Host, HostLookups};
use super::listeners::AttachPoint;
use super::parents::{self, Attached, Side};
use crate::age::created;
use crate::config::MeshConfig;
use crate::derived::{Condition, ConditionReason, Derived};
use crate::lookups::{EntryLookups, NamespaceLookups};
use crate::status::{ConditionType, Parent, Stated, StatusCondition, StatusReason};

/// What routes look into.
#[derive(Clone, Copy)]
pub(crate) struct RouteLookups {
    pub(crate) hosts: HostLookups,
    pub(crate) entries: EntryLookups,
    pub(crate) namespaces: NamespaceLookups,
    pub(crate) grants: GrantLookups,
    pub(crate) attach_points: Collection<NamespacedName, Vec<AttachPoint>>,
    pub(crate) faults: Collection<NamespacedName, FaultFilter>,
    pub(crate) processors: Collection<NamespacedName, ExternalProcessorFilter>,
    pub(crate) virtual_services: Collection<NamespacedName, VirtualService>,
}

/// One object on its way to routes.
#[derive(Clone, Copy)]
pub(crate) struct Lowering<'l, 'a> {
    pub(crate) fetch: &'l Fetch<'a>,
    pub(crate) config: &'l MeshConfig,
    pub(crate) lookups: &'l RouteLookups,
    pub(crate) kind: Kind,
    pub(crate) name: &'l NamespacedName,
}

/// A route, by its key.
pub(crate) type LoweredRoute = (Strng, Derived<Scoped<Route>>);

/// The routes of an object of Gateway API: one for each side that it has parents on. `rules` gives the rules for a side.
pub(crate) fn routes(
    lowering: &Lowering<'_, '_>,
    metadata: &Metadata,
    parent_refs: &[ParentRef],
    hostnames: &[Strng],
    rules: impl Fn(Side, &mut Findings) -> Rules,
) -> Vec<LoweredRoute> {
    let mut said = Said::default();
    let mut sides: BTreeMap<Side, (Vec<usize>, Attached)> = BTreeMap::new();
    let mut waypoints_of = Vec::new();
    for (i, parent) in parent_refs.iter().enumerate() {
        let resolved = parents::resolve(lowering, parent, hostnames);
        if let Ok(attached) = &resolved
            && let Some(waypoints) = &attached.waypoints
        {
            waypoints_of.push((i, waypoints.clone()));
        }
        match resolved {
            Ok(attached) => match sides.get_mut(&attached.side) {
                Some((refs, together)) => {
                    refs.push(i);
                    together.parents.extend(attached.parents);
                    together.gateways.extend(attached.gateways);
                }
                None => drop(sides.insert(attached.side, (vec![i], attached))),
            },
            Err(refused) => {
                let field = format!("spec.parentRefs[{i}]");
                let condition = Condition::at(ConditionReason::NotAttached, field, refused.message.clone());
                said.conditions.push(condition);
                let accepted =
                    StatusCondition::new(ConditionType::Accepted, false, refused.reason, refused.message);
                said.state(lowering, parent, accepted);
            }
        }
    }
    let single = sides.len() == 1;
    let mut lowered = Vec::with_capacity(1);
    for (side, (refs, attached)) in sides {
        let mut findings = Findings::default();
        let route = Route {
            object: object(lowering),
            part: if single { Strng::default() } else { part(side) },
            parents: distinct(attached.parents),
            created: created(metadata),
            consumer: (side == Side::Consumer).then(|| lowering.name.namespace.clone()),
            hostnames: match side {
                Side::Gateway => hostnames.iter().map(|h| h.to_ascii_lowercase().into()).collect(),
                Side::Own | Side::Consumer => Vec::new(),
            },
            rules: rules(side, &mut findings),
        };
        for i in refs {
            said.state(
                lowering,
                &parent_refs[i],
                accepted(side, attached.gateways.is_empty()),
            );
            for condition in findings.statuses() {
                said.state(lowering, &parent_refs[i], condition);
            }
        }
        said.conditions.extend(findings.conditions());
        lowered.push((route.key(), Scoped::of(route, attached.gateways)));
    }
    for (i, waypoints) in waypoints_of {
        said.state(lowering, &parent_refs[i], waypoints);
    }
    said.with(lowering, lowered)
}

/// What is to be said about an object; it stands with the first of its routes, or where there is none, alone.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) conditions: Vec<Condition>,
    pub(crate) status: Vec<Stated>,
}

impl Said {
    fn state(&mut self, lowering: &Lowering<'_, '_>, parent: &ParentRef, condition: StatusCondition) {
        self.status.push(Stated {
            parent: Some(Parent::of(parent, &lowering.name.namespace)),
            condition,
        });
    }

    /// The routes, and what is to be said.
    pub(crate) fn with(
        mut self,
        lowering: &Lowering<'_, '_>,
        routes: Vec<(Strng, Option<Scoped<Route>>)>,
    ) -> Vec<LoweredRoute> {
        let provenance = ObjectKey {
            kind: lowering.kind,
            namespace: lowering.name.namespace.clone(),
            name: lowering.name.name.clone(),
        };
        // Two sides may say the same.
        let mut seen: Vec<Condition> = Vec::new();
        for condition in std::mem::take(&mut self.conditions) {
            if !seen.contains(&condition) {
                seen.push(condition);
            }
        }
        self.conditions = seen;
        let routes = match routes.is_empty() {
            true => vec![(object(lowering).to_string().into(), None)],
            false => routes,
        };
        let derived = |(key, value)| {
            let derived = Derived {
                value,
                provenance: provenance.clone(),
                conditions: std::mem::take(&mut self.conditions),
                status: std::mem::take(&mut self.status),
            };
            (key, derived)
        };
        routes.into_iter().map(derived).collect()
    }
}

impl<'a> Lowering<'_, 'a> {
    /// The hosts that a ServiceEntry has, as services.
    pub(crate) fn hosts_of_entry(&self, name: &NamespacedName) -> Vec<(NamespacedHostname, &'a Host)> {
        let facts = self.fetch.get(self.lookups.entries.entries, name);
        let facts = facts.and_then(|d| d.value.as_ref());
        let hosts = facts.into_iter().flat_map(|f| &f.hosts);
        hosts
            .filter_map(|h| Some((h.name.clone(), self.lookups.hosts.get(self.fetch, &h.name)?)))
            .collect()
    }
}

/// The object as routes name it.
pub(crate) fn object(lowering: &Lowering<'_, '_>) -> ObjectRef {
    ObjectRef {
        kind: lowering.kind.as_str().into(),
        name: lowering.name.clone(),
    }
}

/// That a parent takes a route.
fn accepted(side: Side, nobody: bool) -> StatusCondition {
    let message = match (side, nobody) {
        (Side::Own | Side::Consumer, true) => {
            "it is attached to a service that no waypoint serves: it takes effect with one (istio.io/use-waypoint)"
        }
        (Side::Own, false) => "the waypoint carries it out for all clients",
        (Side::Consumer, false) => {
            "the waypoint carries it out for clients of its own namespace, since the service is another one's"
        }
        (Side::Gateway, _) => "the gateway carries it out",
    };
    StatusCondition::new(ConditionType::Accepted, true, StatusReason::Accepted, message)
}

fn part(side: Side) -> Strng {
    match side {
        Side::Own => Strng::default(),
        Side::Consumer => "consumer".into(),
        Side::Gateway => "gateway".into(),
    }
}

/// Each once, in order.
fn distinct<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items.dedup();
    items
}
