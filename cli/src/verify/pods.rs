//! How Deployments, DaemonSets and their pods stand. Pure.

use serde_json::Value;

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
    let status = &pod["status"];
    if status["phase"] == "Succeeded"
        || condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
    {
        return None;
    }
    if let Some(scheduled) = condition(pod, "PodScheduled")
        && scheduled["status"] == "False"
    {
        return Some(said("it has no node", &scheduled["message"]));
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
        Some(said(
            &format!("container {name}: {}", what.as_str().unwrap_or("waiting")),
            why,
        ))
    });
    Some(held.unwrap_or_else(|| "its readiness probe has not succeeded".to_owned()))
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = pod["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == kind)
}

fn said(what: &str, why: &Value) -> String {
    match why.as_str().unwrap_or_default().trim() {
        "" => what.to_owned(),
        why => format!("{what}: {}", why.split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

#[cfg(test)]
mod tests;
