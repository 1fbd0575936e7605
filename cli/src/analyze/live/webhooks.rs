//! Webhooks of an Istio. This mesh has none, but one that is left of a control plane that is gone fails every request that
//! it is asked about.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_k8s_api::Object;
use serde_json::{Value, json};

use super::super::{Code, Said};
use super::{selects, text};
use crate::validate::Validated;

/// Judges.
pub(super) fn judge(configurations: &[Value], objects: &Validated) -> Vec<Said> {
    let istios: Vec<&Value> = configurations.iter().filter(|found| is_istios(found)).collect();
    let mut said = nobody_there(&istios, objects);
    said.extend(overlapping(&istios));
    said
}

fn hooks(configuration: &Value) -> impl Iterator<Item = &Value> {
    configuration["webhooks"].as_array().into_iter().flatten()
}

fn is_istios(configuration: &Value) -> bool {
    let named = hooks(configuration).any(|hook| text(&hook["name"]).ends_with("istio.io"));
    named || !revisions(configuration).is_empty()
}

/// The revisions that its labels and selectors name.
fn revisions(configuration: &Value) -> BTreeSet<&str> {
    let mut found: BTreeSet<&str> = configuration["metadata"]["labels"][REVISION]
        .as_str()
        .into_iter()
        .collect();
    for hook in hooks(configuration) {
        for selector in [&hook["namespaceSelector"], &hook["objectSelector"]] {
            found.extend(selector["matchLabels"][REVISION].as_str());
            let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
            let named = expressions.filter(|wanted| wanted["key"] == REVISION);
            let values = named.filter_map(|wanted| wanted["values"].as_array());
            found.extend(values.flatten().filter_map(Value::as_str));
        }
    }
    found
}

fn shown(configuration: &Value) -> String {
    format!(
        "{} {}",
        text(&configuration["kind"]),
        text(&configuration["metadata"]["name"])
    )
}

fn nobody_there(configurations: &[&Value], objects: &Validated) -> Vec<Said> {
    let services: BTreeSet<(&str, &str)> = objects
        .objects
        .iter()
        .filter_map(|(_, object)| match &object.value {
            Object::Service(service) => Some((&*service.metadata.namespace, &*service.metadata.name)),
            _ => None,
        })
        .collect();
    let mut said = Vec::new();
    for configuration in configurations {
        for hook in hooks(configuration) {
            let service = &hook["clientConfig"]["service"];
            let (namespace, name) = (text(&service["namespace"]), text(&service["name"]));
            if service.is_null() || services.contains(&(namespace, name)) {
                continue;
            }
            let effect = match text(&hook["failurePolicy"]) {
                "Ignore" => "nothing is done by it",
                _ => "what it is asked about is refused",
            };
            let text = format!(
                "webhooks[{}].clientConfig.service: Service {namespace}/{name} is not there: {effect}; if that control plane is gone, \
                 kubectl delete {} {}",
                text(&hook["name"]),
                text(&configuration["kind"]).to_lowercase(),
                text(&configuration["metadata"]["name"])
            );
            said.push((Code::InvalidWebhook, shown(configuration), text));
        }
    }
    said
}

/// Two that would inject into the same pod.
fn overlapping(configurations: &[&Value]) -> Vec<Said> {
    let injecting = configurations
        .iter()
        .filter(|found| found["kind"] == "MutatingWebhookConfiguration");
    let injecting: Vec<&Value> = injecting.copied().collect();
    let revisions: BTreeSet<&str> = injecting.iter().flat_map(|found| revisions(found)).collect();
    let mut others: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for namespace in labels("istio-injection", ["enabled", "disabled"], &revisions) {
        for pod in labels("sidecar.istio.io/inject", ["true", "false"], &revisions) {
            let mut matching: Vec<(String, String)> = Vec::new();
            for configuration in &injecting {
                let hooks = hooks(configuration).filter(|hook| {
                    selects(&hook["namespaceSelector"], &namespace) && selects(&hook["objectSelector"], &pod)
                });
                matching.extend(hooks.map(|hook| (shown(configuration), text(&hook["name"]).to_owned())));
            }
            for hook in &matching {
                let beside = matching.iter().filter(|other| *other != hook);
                let beside: Vec<String> = beside
                    .map(|(object, name)| format!("{object} ({name})"))
                    .collect();
                if !beside.is_empty() {
                    others.entry(hook.clone()).or_default().extend(beside);
                }
            }
        }
    }
    let said = others.into_iter().map(|((object, name), others)| {
        let others: Vec<String> = others.into_iter().collect();
        let text = format!(
            "webhooks[{name}].namespaceSelector, objectSelector: the same pods are chosen by {}, so that two sidecars may be injected; \
             delete one of them, or give them different revisions",
            others.join(", ")
        );
        (Code::InvalidWebhook, object, text)
    });
    said.collect()
}

/// The labels that tell injectors apart: none, those that switch injection, and both with each revision.
fn labels(switch: &str, positions: [&str; 2], revisions: &BTreeSet<&str>) -> Vec<Value> {
    let mut all = vec![json!({})];
    all.extend(positions.map(|position| json!({ switch: position })));
    let with_revision: Vec<Value> = revisions
        .iter()
        .flat_map(|revision| {
            let base = all.iter().cloned();
            base.map(|mut labels| {
                labels[REVISION] = (*revision).into();
                labels
            })
        })
        .collect();
    all.extend(with_revision);
    all
}

const REVISION: &str = "istio.io/rev";

#[cfg(test)]
mod tests;
