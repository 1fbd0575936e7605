//! The same in the words of Gateway API, for kinds whose status is of its shapes: routes and policies say it at each parent
//! that they name, Gateways and GatewayClasses of ours as a whole. Pure.
//!
//! What an object names can be read even where the rest of it cannot; nobody is left to wait for a status that never comes.

use std::collections::HashSet;

use controlplane_index::status::{
    ConditionType, ObjectStatus, Parent, ParentStatus, ServedGateway, StatusCondition, StatusReason,
};
use controlplane_index::waypoint::classes::CLASSES;
use controlplane_k8s_api::Kind;
use controlplane_kube::{Counts, Remark};
use mesh_types::Strng;

use super::{message, wrong};

/// What is ours to speak of: other controllers' Gateways may be parents of the same routes.
#[derive(Debug)]
pub(super) struct Ours {
    classes: HashSet<Strng>,
    /// By namespace and name.
    gateways: HashSet<(Strng, Strng)>,
}

impl Ours {
    /// Whatever a status speaks of (of others' classes and Gateways none does), and what is not understood itself.
    pub(super) fn of(remarks: &[Remark], statuses: &[ObjectStatus]) -> Self {
        let spoken_of = |kind| {
            let objects = statuses.iter().map(|status| &status.object);
            objects.filter(move |object| object.kind == kind)
        };
        let broken = remarks.iter().filter(|remark| is_our_class(remark));
        let classes = spoken_of(Kind::GatewayClass).chain(broken.map(|remark| &remark.object));
        let mut ours = Self {
            classes: classes.map(|class| class.name.clone()).collect(),
            gateways: HashSet::new(),
        };
        let broken = remarks
            .iter()
            .filter(|remark| remark.object.kind == Kind::Gateway && ours.has(remark));
        let gateways = spoken_of(Kind::Gateway).chain(broken.map(|remark| &remark.object));
        ours.gateways = gateways
            .map(|gateway| (gateway.namespace.clone(), gateway.name.clone()))
            .collect();
        ours
    }

    fn has(&self, remark: &Remark) -> bool {
        match remark.object.kind {
            Kind::GatewayClass => is_our_class(remark),
            _ => remark
                .readable
                .made_by
                .as_ref()
                .is_some_and(|class| self.classes.contains(class)),
        }
    }

    fn has_parent(&self, parent: &Parent) -> bool {
        parent.kind != "Gateway"
            || self
                .gateways
                .contains(&(parent.namespace.clone(), parent.name.clone()))
    }
}

/// Says it in the status of an object of such a kind.
pub(super) fn say(remark: &Remark, ours: &Ours, status: &mut ObjectStatus) {
    let is_whole = matches!(remark.object.kind, Kind::Gateway | Kind::GatewayClass);
    match remark.counts {
        _ if is_whole && !ours.has(remark) => {}
        Counts::Rest => of_rest(remark, is_whole, status),
        Counts::LastGood | Counts::Strictest | Counts::Nothing => {
            // It is what the object says now that is refused.
            status.observed_generation = remark.readable.generation;
            status.uid.clone_from(&remark.readable.uid);
            match remark.object.kind {
                Kind::Gateway => of_gateway(remark, status),
                Kind::GatewayClass => {
                    let invalid = refused(ConditionType::Accepted, StatusReason::Invalid, message(remark));
                    status.conditions = vec![invalid];
                }
                _ => of_parents(remark, ours, status),
            }
        }
    }
}

/// Fields that are not known here, and without effect.
fn of_rest(remark: &Remark, is_whole: bool, status: &mut ObjectStatus) {
    if is_whole {
        let accepted = |condition: &&mut StatusCondition| condition.kind == ConditionType::Accepted;
        status
            .conditions
            .iter_mut()
            .filter(accepted)
            .for_each(|accepted| {
                accepted.message = format!("{}; without effect: {}", accepted.message, wrong(remark));
            });
        return;
    }
    for parent in &mut status.parents {
        let partially = |condition: &&mut StatusCondition| condition.kind == ConditionType::PartiallyInvalid;
        match parent.conditions.iter_mut().find(partially) {
            Some(known) => known.message = format!("{}; {}", known.message, wrong(remark)),
            None => parent.conditions.push(StatusCondition::new(
                ConditionType::PartiallyInvalid,
                true,
                StatusReason::UnsupportedValue,
                message(remark),
            )),
        }
    }
}

/// What an earlier content became is still there, and where it was: addresses and listeners stay.
fn of_gateway(remark: &Remark, status: &mut ObjectStatus) {
    let (accepted, programmed) = (ConditionType::Accepted, ConditionType::Programmed);
    let invalid = StatusReason::Invalid;
    status.conditions = vec![
        refused(accepted, invalid, message(remark)),
        refused(programmed, invalid, message(remark)),
    ];
    for listener in &mut status.listeners {
        let conditions = listener.conditions.iter_mut();
        conditions
            .filter(|condition| condition.kind == programmed)
            .for_each(|condition| {
                *condition = refused(
                    programmed,
                    invalid,
                    "its Gateway is not understood; what it said before is served".to_owned(),
                );
            });
    }
    status.served.get_or_insert_with(ServedGateway::default);
}

fn of_parents(remark: &Remark, ours: &Ours, status: &mut ObjectStatus) {
    let reason = match remark.object.kind {
        Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute | Kind::TcpRoute => StatusReason::UnsupportedValue,
        _ => StatusReason::Invalid,
    };
    let said = refused(ConditionType::Accepted, reason, message(remark));
    let own = &remark.object.namespace;
    let mut parents: Vec<Parent> = remark
        .readable
        .attached_to
        .iter()
        .map(|parent| Parent::of(parent, own))
        .filter(|parent| ours.has_parent(parent))
        .collect();
    parents.sort();
    parents.dedup();
    let of_one = |parent| ParentStatus {
        parent,
        conditions: vec![said.clone()],
    };
    status.parents = parents.into_iter().map(of_one).collect();
}

fn refused(kind: ConditionType, reason: StatusReason, message: String) -> StatusCondition {
    StatusCondition::new(kind, false, reason, message)
}

fn is_our_class(remark: &Remark) -> bool {
    let controller = remark.readable.made_by.as_deref();
    remark.object.kind == Kind::GatewayClass
        && CLASSES.iter().any(|class| controller == Some(class.controller))
}

#[cfg(test)]
mod tests;
