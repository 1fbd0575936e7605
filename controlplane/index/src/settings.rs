//! Labels and annotations that steer the mesh, and whose value is none that it knows: what each is taken for, said where its
//! author looks. Pure.
//!
//! An API server takes any text for them. None is guessed at: a word that is not known is the one that widens nothing.

use controlplane_collections::{Collection, Graph};
use controlplane_k8s_api::core::Namespace;
use controlplane_k8s_api::{Kind, Metadata, ObjectKey};
use mesh_types::Strng;

use crate::derived::{Condition, ConditionReason, Derived};
use crate::lookups::{DATAPLANE_MODE, TRAFFIC_DISTRIBUTION};
use crate::status::{ConditionType, StatusCondition, StatusReason};
use crate::waypoint::binding::{CANARY, FAIL_OPEN, INGRESS, USE_WAYPOINT, USE_WAYPOINT_NAMESPACE};
use crate::waypoint::only::ONLY;
use crate::{assignment, pod, service, service_entry};

/// What is said of those of a Service.
pub(crate) fn of_service(metadata: &Metadata) -> Vec<Condition> {
    unknown(metadata, &[&BINDING, &OF_SERVICES])
}

/// What is said of those of a ServiceEntry.
pub(crate) fn of_service_entry(metadata: &Metadata) -> Vec<Condition> {
    unknown(metadata, &[&BINDING, &OF_SERVICES, &OF_ENTRIES])
}

/// What is said of those of a WorkloadEntry.
pub(crate) fn of_workload_entry(metadata: &Metadata) -> Vec<Condition> {
    unknown(metadata, &[&BINDING, &OF_WORKLOADS])
}

/// What is said of those of a Pod.
#[must_use]
pub fn of_pod(metadata: &Metadata) -> Vec<Condition> {
    unknown(metadata, &[&BINDING, &OF_WORKLOADS, &OF_PODS])
}

/// What is said of those of a Namespace.
fn of_namespace(metadata: &Metadata) -> Vec<Condition> {
    unknown(metadata, &[&BINDING, &OF_SERVICES, &OF_NAMESPACES])
}

/// What is said of those of all Namespaces.
pub(crate) fn add_namespaces(
    graph: &mut Graph,
    namespaces: Collection<Strng, Namespace>,
) -> Collection<Strng, Derived<()>> {
    graph.derive("settings of a Namespace", namespaces, |_, name, namespace| {
        let conditions = of_namespace(&namespace.metadata);
        let status = status(&conditions)?;
        let provenance = ObjectKey {
            kind: Kind::Namespace,
            namespace: Strng::default(),
            name: name.clone(),
        };
        Some(Derived {
            conditions,
            status: vec![status.into()],
            ..Derived::of(provenance, ())
        })
    })
}

/// The condition that says the same in a status; nothing where all are known.
pub(crate) fn status(conditions: &[Condition]) -> Option<StatusCondition> {
    let told = conditions.iter().filter_map(|condition| {
        let reason = match condition.reason {
            ConditionReason::UnknownValue => StatusReason::UnknownValue,
            ConditionReason::ForeignAccount => StatusReason::ForeignAccount,
            _ => return None,
        };
        Some((reason, condition.to_string()))
    });
    let told: Vec<(StatusReason, String)> = told.collect();
    let (reason, _) = told.first()?;
    let all: Vec<&str> = told.iter().map(|(_, text)| text.as_str()).collect();
    let kind = ConditionType::SettingsUnderstood;
    Some(StatusCondition::new(kind, false, *reason, all.join("; ")))
}

/// What Go's `strconv.ParseBool` takes for true and false, as upstream does of labels and annotations.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A label or an annotation.
struct Setting {
    place: Place,
    name: &'static str,
    knows: Knows,
    /// What any other value is taken for.
    otherwise: &'static str,
}

#[derive(Clone, Copy)]
enum Place {
    Label,
    Annotation,
}

/// Which values are known.
enum Knows {
    /// Any but the empty one.
    Names,
    /// Those that Go reads as such.
    Booleans,
    /// These.
    Words(&'static [&'static str]),
    /// These, in any case of letters.
    WordsInAnyCase(&'static [&'static str]),
}

fn unknown(metadata: &Metadata, tables: &[&[Setting]]) -> Vec<Condition> {
    let settings = tables.iter().copied().flatten();
    let said = settings.filter_map(|setting| {
        let (place, all) = match setting.place {
            Place::Label => ("labels", &metadata.labels),
            Place::Annotation => ("annotations", &metadata.annotations),
        };
        let value = all.get(setting.name)?;
        let wrong = setting.knows.complaint(value)?;
        Some(Condition::at(
            ConditionReason::UnknownValue,
            format!("metadata.{place}[{}]", setting.name),
            format!("{wrong}: {}", setting.otherwise),
        ))
    });
    said.collect()
}

impl Knows {
    fn complaint(&self, value: &str) -> Option<String> {
        match self {
            Self::Names => value.is_empty().then(|| "is empty".to_owned()),
            Self::Booleans => match boolean(value) {
                Some(_) => None,
                None => Some(format!("{value:?} is neither true nor false")),
            },
            Self::Words(words) => none_of(value, words, |word| *word == value),
            Self::WordsInAnyCase(words) => none_of(value, words, |word| word.eq_ignore_ascii_case(value)),
        }
    }
}

fn none_of(value: &str, words: &[&str], is: impl Fn(&&str) -> bool) -> Option<String> {
    match (words.iter().any(is), words) {
        (true, _) => None,
        (false, [only]) => Some(format!("{value:?} is not {only}")),
        (false, _) => Some(format!("{value:?} is none of {}", words.join(", "))),
    }
}

const fn label(name: &'static str, knows: Knows, otherwise: &'static str) -> Setting {
    Setting {
        place: Place::Label,
        name,
        knows,
        otherwise,
    }
}

const fn annotation(name: &'static str, knows: Knows, otherwise: &'static str) -> Setting {
    Setting {
        place: Place::Annotation,
        name,
        knows,
        otherwise,
    }
}

const TRUE_OR_FALSE: Knows = Knows::Words(&["true", "false"]);

/// Of whatever may have a waypoint before it.
const BINDING: [Setting; 4] = [
    label(
        USE_WAYPOINT,
        Knows::Names,
        "it asks for no waypoint, nor against the Namespace's (none would)",
    ),
    label(
        USE_WAYPOINT_NAMESPACE,
        Knows::Names,
        "the waypoint of the own namespace is meant",
    ),
    label(CANARY, Knows::Names, "there is no canary"),
    annotation(
        FAIL_OPEN,
        TRUE_OR_FALSE,
        "connections are refused while the waypoint is away",
    ),
];

/// Of services, and of Namespaces for theirs.
const OF_SERVICES: [Setting; 2] = [
    label(
        INGRESS,
        Knows::Booleans,
        "gateways for traffic from outside go past the waypoint",
    ),
    annotation(
        TRAFFIC_DISTRIBUTION,
        Knows::WordsInAnyCase(&service::DISTRIBUTIONS),
        "all endpoints take their share",
    ),
];

const OF_ENTRIES: [Setting; 2] = [
    label(
        service_entry::AUTO_ADDRESSES,
        Knows::WordsInAnyCase(&["true", "false"]),
        "its hosts are given addresses",
    ),
    annotation(
        service_entry::CONNECT_STRATEGY,
        Knows::WordsInAnyCase(&service_entry::CONNECT_STRATEGIES),
        "endpoints are not raced",
    ),
];

const OF_WORKLOADS: [Setting; 1] = [label(
    pod::TUNNEL_LABEL,
    Knows::Words(&["http"]),
    "it does not speak HBONE itself",
)];

const OF_PODS: [Setting; 3] = [
    label(
        DATAPLANE_MODE,
        Knows::Words(&MODES),
        "the Namespace's label counts",
    ),
    annotation(
        assignment::BYPASS_INBOUND,
        Knows::Booleans,
        "what comes in is captured",
    ),
    annotation(
        assignment::DNS_CAPTURE,
        Knows::Booleans,
        "the node's setting counts",
    ),
];

const OF_NAMESPACES: [Setting; 2] = [
    label(
        DATAPLANE_MODE,
        Knows::Words(&MODES),
        "its pods are not in the mesh, but for those that say so themselves",
    ),
    annotation(ONLY, TRUE_OR_FALSE, "nobody but the waypoint is let in"),
];

const MODES: [&str; 2] = ["ambient", "none"];

#[cfg(test)]
mod tests;
