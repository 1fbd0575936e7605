//! How Deployments, DaemonSets and their pods stand. Pure.

use std::fmt;

use mesh_kube::ObjectName;
use serde_json::Value;

/// Something of the mesh that is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What it is: a Pod, or what lacks pods.
    pub object: Object,
    /// What keeps it, one line.
    pub why: String,
}

/// What can be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A pod.
    Pod(ObjectName),
    /// A Deployment of which pods cannot be made.
    Deployment(ObjectName),
    /// A DaemonSet of which pods cannot be made.
    DaemonSet(ObjectName),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Pod(name) => ("Pod", name),
            Self::Deployment(name) => ("Deployment", name),
            Self::DaemonSet(name) => ("DaemonSet", name),
        };
        write!(f, "{kind} {name}")
    }
}

impl Object {
    /// The command that says more of it.
    #[must_use]
    pub fn describe(&self) -> String {
        let (kind, name) = match self {
            Self::Pod(name) => ("pod", name),
            Self::Deployment(name) => ("deployment", name),
            Self::DaemonSet(name) => ("daemonset", name),
        };
        format!("kubectl -n {} describe {kind} {}", name.namespace, name.name)
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, why } = self;
        match object {
            Object::Pod(_) => write!(f, "{object} is not ready: {why}"),
            Object::Deployment(_) | Object::DaemonSet(_) => write!(f, "{object}: {why}"),
        }
    }
}

/// What is not ready among Deployments, DaemonSets and pods, and why; `events` are those that warn.
#[must_use]
pub fn waiting(workloads: &[Value], pods: &[Value], events: &[Value]) -> Vec<Waiting> {
    let lacking = workloads.iter().filter_map(|workload| lacking(workload, events));
    let unready = pods.iter().filter_map(|pod| unready(pod, events));
    lacking.chain(unready).collect()
}

/// How many pods a Deployment or DaemonSet wants, and how many of those are ready; nothing for other kinds.
#[must_use]
pub fn wanted_and_ready(object: &Value) -> Option<(u64, u64)> {
    let status = |field: &str| object["status"][field].as_u64().unwrap_or(0);
    match object["kind"].as_str()? {
        "DaemonSet" => Some((status("desiredNumberScheduled"), status("numberReady"))),
        "Deployment" => Some((
            object["spec"]["replicas"].as_u64().unwrap_or(1),
            status("readyReplicas"),
        )),
        _ => None,
    }
}

/// Whether its status is about what its spec says now, and no pod of an earlier one is left to be replaced.
#[must_use]
pub fn is_current(object: &Value) -> bool {
    let status = |field: &str| object["status"][field].as_u64().unwrap_or(0);
    let updated = match object["kind"].as_str() {
        Some("DaemonSet") => status("updatedNumberScheduled") >= status("desiredNumberScheduled"),
        _ => status("updatedReplicas") >= object["spec"]["replicas"].as_u64().unwrap_or(1),
    };
    let generation = object["metadata"]["generation"].as_u64().unwrap_or(0);
    updated && status("observedGeneration") >= generation
}

/// Why a pod is not ready; nothing for one that is, or that is done.
#[must_use]
pub fn why_not_ready(pod: &Value) -> Option<String> {
    let (what, why) = held(pod)?;
    Some(said(&what, why))
}

fn unready(pod: &Value, events: &[Value]) -> Option<Waiting> {
    let (what, why) = held(pod)?;
    let name = name_of(pod);
    let why = why.or_else(|| last_warning(events, |kind, of| kind == "Pod" && of == name.name));
    Some(Waiting {
        why: said(&what, why),
        object: Object::Pod(name),
    })
}

/// What keeps a pod, and what is said of that.
fn held(pod: &Value) -> Option<(String, Option<&str>)> {
    let status = &pod["status"];
    if status["phase"] == "Succeeded"
        || condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
    {
        return None;
    }
    if let Some(scheduled) = condition(pod, "PodScheduled")
        && scheduled["status"] == "False"
    {
        return Some(("it has no node".to_owned(), text(&scheduled["message"])));
    }
    let all = ["initContainerStatuses", "containerStatuses"];
    let mut containers = all.iter().filter_map(|list| status[list].as_array()).flatten();
    let held = containers.find_map(|container| {
        let name = container["name"].as_str().unwrap_or_default();
        let state = &container["state"];
        let (what, why) = if state["waiting"].is_object() {
            (&state["waiting"]["reason"], &state["waiting"]["message"])
        } else if state["terminated"].is_object() && state["terminated"]["exitCode"] != 0 {
            (&state["terminated"]["reason"], &state["terminated"]["message"])
        } else {
            return None;
        };
        let what = what.as_str().unwrap_or("waiting");
        Some((format!("container {name}: {what}"), text(why)))
    });
    Some(held.unwrap_or_else(|| ("its readiness probe has not succeeded".to_owned(), None)))
}

/// A workload of which not all pods were made, as where a quota or an admission rule refuses them: no pod can say so.
fn lacking(workload: &Value, events: &[Value]) -> Option<Waiting> {
    let (wanted, _) = wanted_and_ready(workload)?;
    let status = |field: &str| workload["status"][field].as_u64().unwrap_or(0);
    let name = name_of(workload);
    let (object, made, why) = if workload["kind"] == "DaemonSet" {
        let why = last_warning(events, |kind, of| kind == "DaemonSet" && of == name.name);
        (Object::DaemonSet(name), status("currentNumberScheduled"), why)
    } else {
        let refused = condition(workload, "ReplicaFailure").filter(|failure| failure["status"] == "True");
        let why = refused.and_then(|refused| text(&refused["message"]));
        (Object::Deployment(name), status("replicas"), why)
    };
    if made >= wanted {
        return None;
    }
    Some(Waiting {
        object,
        why: said(&format!("{made} of {wanted} pods could be made"), why),
    })
}

/// What the newest event says about an object; its kind and its name are asked for.
fn last_warning(events: &[Value], is_about: impl Fn(&str, &str) -> bool) -> Option<&str> {
    let about = events.iter().filter(|event| {
        let of = |field: &str| event["involvedObject"][field].as_str().unwrap_or_default();
        is_about(of("kind"), of("name"))
    });
    // RFC 3339 in UTC: later times are greater texts.
    let time = |event: &&Value| {
        let times = ["lastTimestamp", "eventTime"].into_iter();
        times
            .filter_map(|field| event[field].as_str())
            .max()
            .unwrap_or_default()
            .to_owned()
    };
    text(&about.max_by_key(time)?["message"])
}

fn name_of(object: &Value) -> ObjectName {
    let of = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    ObjectName::new(of("namespace"), of("name"))
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = pod["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}

fn said(what: &str, why: Option<&str>) -> String {
    match why {
        None => what.to_owned(),
        Some(why) => format!("{what}: {}", why.split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

#[cfg(test)]
mod tests;
