//! All objects together: does each do what its author meant? Pure.
//!
//! The judge is the derivation that the control plane itself runs, so that nothing is found here which will not be so
//! there. Codes are Istio's where its analysis has one for the matter (Istio, "Configuration Analysis Messages"); those
//! that begin with `LAT` are ours.
//!
//! # Layout
//! - this file: what the derivation says, and selectors. [`code`]: what messages are about.
//! - `objects`: what the derivation has no reason to say, and an author should know; of annotations in `annotations`, of
//!   Services and whom they choose in `services`. [`live`]: what only a running mesh shows. [`cluster`]: asks one.
//!   [`contexts`]: what differs between clusters.

mod annotations;
pub mod cluster;
pub(crate) mod code;
pub mod contexts;
pub mod live;
mod objects;
mod services;

use std::collections::BTreeMap;
use std::path::PathBuf;

use controlplane_index::{Condition, ConditionReason, Index, MeshConfig, ObjectChange};
use controlplane_k8s_api::{Labels, Object};
use serde_json::json;

pub use code::{Code, Level, UnknownCode};

use crate::args::AnalyzeArgs;
use crate::output::{Table, View};
use crate::validate::{Validated, or_dash};

/// What was found, the gravest first.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    messages: Vec<Message>,
    objects: usize,
}

/// Something that an author should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub code: Code,
    /// The object.
    pub object: String,
    /// The file, and the place in it.
    pub place: String,
    /// Why, one line.
    pub text: String,
}

impl AnalyzeArgs {
    /// What is looked at; nothing where it is the cluster.
    #[must_use]
    pub fn sources(&self) -> Vec<PathBuf> {
        [self.files.as_slice(), &self.named].concat()
    }

    /// What holds for the whole mesh, whose own namespace this is.
    #[must_use]
    pub fn config(&self, system: &str) -> MeshConfig {
        MeshConfig {
            root_namespace: self.root_namespace.as_deref().unwrap_or(system).into(),
            ..MeshConfig::default()
        }
    }
}

/// Looks at everything.
#[must_use]
pub fn analyze(validated: &Validated, config: &MeshConfig) -> Analysis {
    let mut messages: Vec<Message> = validated
        .faults
        .iter()
        .map(|fault| Message {
            code: if fault.is_error {
                Code::SchemaValidationError
            } else {
                Code::SchemaWarning
            },
            object: fault.object.clone(),
            place: fault.place.clone(),
            text: match fault.field.as_str() {
                "" => fault.message.clone(),
                field => format!("{field}: {}", fault.message),
            },
        })
        .collect();
    let objects: Vec<&Object> = validated
        .objects
        .iter()
        .map(|(_, object)| &object.value)
        .collect();
    let places: BTreeMap<String, String> = validated
        .objects
        .iter()
        // What a cluster has is in no file.
        .filter(|(file, _)| !file.is_empty())
        .map(|(file, object)| {
            (
                object.value.reference().to_string(),
                format!("{file}:{}", object.at),
            )
        })
        .collect();
    let said = derived(&objects, config)
        .into_iter()
        .chain(selectors(&objects, config))
        .chain(objects::judge(&objects, config))
        .chain(annotations::judge(&objects))
        .chain(services::judge(&objects, &validated.makers));
    messages.extend(said.map(|(code, object, text)| Message {
        code,
        place: places.get(&object).cloned().unwrap_or_default(),
        object,
        text,
    }));
    let mut analysis = Analysis {
        messages,
        objects: objects.len(),
    };
    analysis.sort();
    analysis
}

/// A code, an object and what is to be said of it.
pub type Said = (Code, String, String);

/// What the control plane would say.
fn derived(objects: &[&Object], config: &MeshConfig) -> Vec<Said> {
    let mut index = Index::new(config.clone());
    index.apply(objects.iter().map(|&object| ObjectChange::Set(object.clone())));
    let conditions = index.conditions().into_iter();
    let mut said: Vec<Said> = conditions
        .filter_map(|(object, condition)| {
            let code = of_condition(&condition)?;
            Some((code, object.reference().to_string(), condition.to_string()))
        })
        .collect();
    for status in index.statuses() {
        let object = status.object.reference().to_string();
        // Conditions say more than a status does, where both are there.
        if said.iter().any(|(_, named, _)| *named == object) {
            continue;
        }
        let parents = status.parents.iter().flat_map(|parent| &parent.conditions);
        for condition in status.conditions.iter().chain(parents) {
            if condition.is_negative() {
                let text = format!("{} ({}): {}", condition.kind, condition.reason, condition.message);
                said.push((Code::NegativeConditionStatus, object.clone(), text));
            }
        }
    }
    said
}

/// The code of a condition; nothing for one that is no more than how things are at present.
fn of_condition(condition: &Condition) -> Option<Code> {
    let of_metadata = || {
        let field = condition.field.as_deref();
        field.is_some_and(|field| field.starts_with("metadata."))
    };
    Some(match condition.reason {
        ConditionReason::NoAddress | ConditionReason::NotForNodeProxy => return None,
        ConditionReason::ReferenceUnresolved => Code::ReferencedResourceNotFound,
        ConditionReason::ForeignAccount => Code::InvalidAnnotation,
        ConditionReason::UnknownValue if of_metadata() => Code::InvalidAnnotation,
        ConditionReason::Invalid | ConditionReason::UnknownValue => Code::SchemaValidationError,
        ConditionReason::RuleDropped
        | ConditionReason::RuleBroadened
        | ConditionReason::RuleWithoutEffect
        | ConditionReason::Unsupported
        | ConditionReason::NotAttached => Code::IneffectivePolicy,
        ConditionReason::WaypointUnusable => Code::WaypointUnusable,
        ConditionReason::HostTaken | ConditionReason::AddressTaken | ConditionReason::Conflicted => {
            Code::Conflict
        }
        ConditionReason::UnknownTargetPort => Code::UnknownTargetPort,
        _ => Code::NegativeConditionStatus,
    })
}

/// Selectors that select none of the Pods that are there. Says nothing where there are no Pods at all: they mostly come
/// from elsewhere.
fn selectors(objects: &[&Object], config: &MeshConfig) -> Vec<Said> {
    let pods: Vec<_> = objects
        .iter()
        .filter_map(|object| match object {
            Object::Pod(pod) => Some(&pod.metadata),
            _ => None,
        })
        .collect();
    if pods.is_empty() {
        return Vec::new();
    }
    let unmatched = objects.iter().filter_map(|object| {
        let selector = selector(object)?;
        let namespace = &object.metadata()?.namespace;
        let everywhere = *namespace == config.root_namespace && !matches!(object, Object::Service(_));
        let selects = pods.iter().any(|pod| {
            (everywhere || pod.namespace == *namespace)
                && selector
                    .iter()
                    .all(|(key, value)| pod.labels.get(key) == Some(value))
        });
        let labels: Vec<String> = selector
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        (!selects).then(|| {
            let text = format!("no Pod has the labels {}", labels.join(","));
            (
                Code::NoMatchingWorkloadsFound,
                object.reference().to_string(),
                text,
            )
        })
    });
    unmatched.collect()
}

fn selector(object: &Object) -> Option<&Labels> {
    let labels = match object {
        Object::Service(service) => &service.spec.selector,
        Object::AuthorizationPolicy(policy) => &policy.spec.selector.as_ref()?.match_labels,
        Object::PeerAuthentication(policy) => &policy.spec.selector.as_ref()?.match_labels,
        Object::RequestAuthentication(policy) => &policy.spec.selector.as_ref()?.match_labels,
        Object::Telemetry(telemetry) => &telemetry.spec.selector.as_ref()?.match_labels,
        _ => return None,
    };
    (!labels.is_empty()).then_some(labels)
}

impl Analysis {
    /// Without the messages of some codes.
    #[must_use]
    pub fn without(mut self, codes: &[Code]) -> Self {
        self.messages.retain(|message| !codes.contains(&message.code));
        self
    }

    /// Only messages about objects of the namespaces that are chosen, about these themselves, and about what is in none.
    #[must_use]
    pub fn within(mut self, chosen: impl Fn(&str) -> bool) -> Self {
        self.messages.retain(|message| {
            let (kind, name) = message.object.split_once(' ').unwrap_or(("", ""));
            match name.split_once('/') {
                Some((namespace, _)) => chosen(namespace),
                None => kind != "Namespace" || chosen(name),
            }
        });
        self
    }

    /// Only messages about objects of a namespace, and about the namespace itself; all where none is named.
    #[must_use]
    pub fn about(mut self, namespace: Option<&str>) -> Self {
        if let Some(namespace) = namespace {
            self.messages.retain(|message| {
                let name = message.object.split_once(' ').map_or("", |(_, name)| name);
                name == namespace
                    || name
                        .split_once('/')
                        .is_some_and(|(within, _)| within == namespace)
            });
        }
        self
    }

    /// Adds what was found elsewhere.
    pub fn add(&mut self, said: Vec<Said>) {
        self.messages
            .extend(said.into_iter().map(|(code, object, text)| Message {
                code,
                object,
                place: String::new(),
                text,
            }));
        self.sort();
    }

    fn sort(&mut self) {
        let key = |m: &Message| (m.code.level(), m.place.clone(), m.object.clone(), m.code);
        self.messages.sort_by_key(key);
        self.messages.dedup();
    }

    /// Whether a message is as grave as this.
    #[must_use]
    pub fn reaches(&self, level: Level) -> bool {
        self.messages.iter().any(|message| message.code.level() <= level)
    }

    /// What was found.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// For people and programs.
    #[must_use]
    pub fn view(&self) -> View {
        let mut table = Table::new(["LEVEL", "CODE", "OBJECT", "PLACE", "MESSAGE"])
            .or(format!("{} objects, nothing to be said of them", self.objects));
        for message in &self.messages {
            table.row([
                message.code.level().to_string(),
                message.code.to_string(),
                or_dash(&message.object),
                or_dash(&message.place),
                message.text.clone(),
            ]);
        }
        let messages = self.messages.iter().map(|message| {
            json!({
                "level": message.code.level().to_string(),
                "code": message.code.id(),
                "name": message.code.name(),
                "object": message.object,
                "place": message.place,
                "message": message.text,
            })
        });
        View {
            table,
            data: json!({ "objects": self.objects, "messages": messages.collect::<Vec<_>>() }),
        }
    }
}

#[cfg(test)]
mod provoked;
#[cfg(test)]
mod tests;
