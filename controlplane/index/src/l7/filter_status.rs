//! What the authors of filters by reference are told: FaultFilter, ExternalProcessorFilter. What a rule that names one does
//! is said of the rule's route.

use std::sync::Arc;

use controlplane_collections::{Collection, Graph};
use controlplane_k8s_api::{Kind, ObjectKey};
use mesh_types::NamespacedName;

use super::destinations::service_port;
use super::graph::L7Inputs;
use super::lowering::{Lowering, RouteLookups};
use super::parents::Side;
use crate::config::MeshConfig;
use crate::derived::Derived;
use crate::status::{ConditionType, StatusCondition, StatusReason, Statuses};

/// The statuses of all filters by reference.
#[derive(Clone, Copy)]
pub(super) struct FilterStatuses([Collection<NamespacedName, Derived<()>>; 2]);

impl FilterStatuses {
    pub(super) fn new(
        graph: &mut Graph,
        config: &Arc<MeshConfig>,
        inputs: L7Inputs,
        lookups: RouteLookups,
    ) -> Self {
        let mesh = config.clone();
        let faults = graph.derive("status of FaultFilter", inputs.faults, move |fetch, name, _| {
            let lowering = Lowering {
                fetch,
                config: &mesh,
                lookups: &lookups,
                kind: Kind::FaultFilter,
                name,
            };
            Some(said(&lowering, vec![accepted()]))
        });
        let mesh = config.clone();
        let processors = graph.derive(
            "status of ExternalProcessorFilter",
            inputs.processors,
            move |fetch, name, filter| {
                let lowering = Lowering {
                    fetch,
                    config: &mesh,
                    lookups: &lookups,
                    kind: Kind::ExternalProcessorFilter,
                    name,
                };
                // As a route for services sees it; what a Gateway's needs beside that, its own status says.
                let resolved = match service_port(&lowering, Side::Own, &filter.spec.backend_ref) {
                    Ok(_) => (
                        true,
                        StatusReason::ResolvedRefs,
                        "its service is there".to_owned(),
                    ),
                    Err((reason, message)) => (false, reason, format!("spec.backendRef: {message}")),
                };
                let (holds, reason, message) = resolved;
                let resolved = StatusCondition::new(ConditionType::ResolvedRefs, holds, reason, message);
                Some(said(&lowering, vec![accepted(), resolved]))
            },
        );
        Self([faults, processors])
    }

    pub(super) fn statuses(&self, graph: &Graph, into: &mut Statuses) {
        for statuses in self.0 {
            crate::index::collected::collect_statuses(graph, statuses, into);
        }
    }
}

fn said(lowering: &Lowering<'_, '_>, conditions: Vec<StatusCondition>) -> Derived<()> {
    let provenance = ObjectKey {
        kind: lowering.kind,
        namespace: lowering.name.namespace.clone(),
        name: lowering.name.name.clone(),
    };
    Derived {
        status: conditions.into_iter().map(Into::into).collect(),
        ..Derived::of(provenance, ())
    }
}

fn accepted() -> StatusCondition {
    let message = "rules of its namespace may name it";
    StatusCondition::new(ConditionType::Accepted, true, StatusReason::Accepted, message)
}

#[cfg(test)]
mod tests;
