//! Which rights roles give to whom, and which of them were used. Pure.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::audit::{Asked, What};

/// A right: one verb on one resource. Rules of roles are lists of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Whose, as `NAMESPACE/NAME` of a service account.
    pub account: String,
    /// What may be done.
    pub verb: String,
    /// The group; empty for the core's.
    pub group: String,
    /// The plural, with its part: `pods/status`.
    pub resource: String,
    /// The only namespace, where it is a Role's.
    pub namespace: Option<String>,
    /// The only names, where there are such.
    pub names: Vec<String>,
}

/// What requests say about rights.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Requests that no right covers.
    pub uncovered: BTreeSet<String>,
    /// Requests that were refused although a right covers them, and though no API server was starting.
    pub refused: BTreeSet<String>,
    /// Rights that nobody used.
    pub unused: Vec<Right>,
}

/// The rights that roles and their bindings give to service accounts. A role that nobody is bound to gives none.
#[must_use]
pub fn rights(objects: &[Value]) -> Vec<Right> {
    let mut rights = Vec::new();
    let bindings = objects
        .iter()
        .filter(|o| matches!(o["kind"].as_str(), Some("RoleBinding" | "ClusterRoleBinding")));
    for binding in bindings {
        let namespace = match binding["kind"] == "RoleBinding" {
            true => binding["metadata"]["namespace"].as_str(),
            false => None,
        };
        let role = objects.iter().find(|role| {
            let wanted = &binding["roleRef"];
            let same_place =
                role["kind"] == "ClusterRole" || role["metadata"]["namespace"].as_str() == namespace;
            role["kind"] == wanted["kind"] && role["metadata"]["name"] == wanted["name"] && same_place
        });
        let rules = role.map_or(&Value::Null, |role| &role["rules"]);
        for subject in list(&binding["subjects"]) {
            if subject["kind"] != "ServiceAccount" {
                continue;
            }
            let account = format!("{}/{}", text(&subject["namespace"]), text(&subject["name"]));
            rights.extend(
                list(rules)
                    .iter()
                    .flat_map(|rule| of_rule(rule, &account, namespace)),
            );
        }
    }
    rights.sort();
    rights.dedup();
    rights
}

fn of_rule(rule: &Value, account: &str, namespace: Option<&str>) -> Vec<Right> {
    let mut rights = Vec::new();
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            for verb in texts(&rule["verbs"]) {
                rights.push(Right {
                    account: account.to_owned(),
                    verb,
                    group: group.clone(),
                    resource: resource.clone(),
                    namespace: namespace.map(str::to_owned),
                    names: texts(&rule["resourceNames"]),
                });
            }
        }
    }
    rights
}

/// Holds what was asked against what may be asked.
#[must_use]
pub fn judge(rights: &[Right], asked: &[Asked]) -> Judgement {
    let mut judgement = Judgement::default();
    let mut used = vec![false; rights.len()];
    for request in asked {
        let What::Resource { .. } = &request.what else {
            continue;
        };
        let mut covered = false;
        for (right, used) in rights.iter().zip(&mut used) {
            if right.covers(request) {
                covered = true;
                *used |= request.granted;
            }
        }
        if !covered && !is_everybodys(request) {
            judgement.uncovered.insert(request.to_string());
        }
        if covered && !request.granted && !request.starting {
            judgement.refused.insert(request.to_string());
        }
    }
    let unused = rights.iter().zip(&used).filter(|(_, used)| !**used);
    judgement.unused = unused.map(|(right, _)| right.clone()).collect();
    judgement
}

impl Right {
    fn covers(&self, request: &Asked) -> bool {
        let What::Resource {
            group,
            resource,
            namespace,
            name,
        } = &request.what
        else {
            return false;
        };
        let verb =
            self.verb == request.verb || self.verb == "create" && request.verb == "patch" && request.made;
        let here = self.namespace.is_none() || self.namespace == *namespace;
        // What is made has no name yet when it is judged.
        let named = self.names.is_empty()
            || self.verb != "create" && name.as_ref().is_some_and(|name| self.names.contains(name));
        self.account == request.account
            && verb
            && self.group == *group
            && self.resource == *resource
            && here
            && named
    }

    /// `get secrets`, `list routes.example.com`.
    fn short(&self) -> String {
        match self.group.as_str() {
            "" => format!("{} {}", self.verb, self.resource),
            group => format!("{} {}.{group}", self.verb, self.resource),
        }
    }
}

/// What Kubernetes gives every account by itself (`system:basic-user`): to ask about oneself.
fn is_everybodys(request: &Asked) -> bool {
    matches!(
        &request.what,
        What::Resource { group, resource, .. }
            if (group == "authorization.k8s.io" && resource.starts_with("selfsubject"))
                || (group == "authentication.k8s.io" && resource == "selfsubjectreviews")
    )
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.account, self.short())?;
        if let Some(namespace) = &self.namespace {
            write!(f, " in {namespace}")?;
        }
        if !self.names.is_empty() {
            write!(f, " named {}", self.names.join(", "))?;
        }
        Ok(())
    }
}

/// Without the names of objects: many are asked for in the same way.
impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.account, self.verb)?;
        match &self.what {
            What::Path(path) => f.write_str(path),
            What::Resource {
                group,
                resource,
                namespace,
                ..
            } => {
                f.write_str(resource)?;
                if !group.is_empty() {
                    write!(f, ".{group}")?;
                }
                match namespace {
                    Some(namespace) => write!(f, " in {namespace}"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(|v| text(v).to_owned()).collect()
}

#[cfg(test)]
mod tests;
