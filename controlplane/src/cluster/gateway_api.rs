//! The statuses of Gateway API's kinds, and of policies of its shape (GEP-713), in that shape. Pure.
//!
//! `parents` and `ancestors` are lists that are written as a whole, and several controllers have entries in them: an entry
//! is its writer's by `controllerName`. Ours are brought up to date where they stand, others' are left as they are. A Gateway
//! and its class are their controller's alone, but for conditions of types that are not Gateway API's.

use controlplane_index::ObjectStatus;
use controlplane_index::status::{ConditionType, GivenAddress, ListenerStatus, Parent, ParentStatus};
use controlplane_index::waypoint::classes::{CORE_FEATURES, EXTENDED_FEATURES};
use controlplane_k8s_api::{Group, Kind, ObjectKey};
use serde_json::{Map, Value, json};

use super::conditions::{At, Said, list};

/// The `status` that an object is to have, given what is said of it; nothing where it is not ours to say.
#[must_use]
pub fn status(object: &Value, said: &ObjectStatus, at: At<'_>) -> Option<Value> {
    let mut status = match object.get("status") {
        Some(Value::Object(status)) => status.clone(),
        _ => Map::new(),
    };
    match shape_of(said.object.kind)? {
        // Nothing more to say: it is another controller's now.
        Shape::Class if said.conditions.is_empty() => return None,
        Shape::Class => {
            whole(&mut status, said, at);
            let accepted = said.condition(ConditionType::Accepted);
            let features = match accepted.is_some_and(|accepted| accepted.holds) {
                true => features(),
                false => Vec::new(),
            };
            set(&mut status, "supportedFeatures", features);
        }
        Shape::Gateway => {
            // Of another controller, or of another class since.
            let served = said.served.as_ref()?;
            whole(&mut status, said, at);
            let addresses: Vec<Value> = served.addresses.iter().map(address).collect();
            set(&mut status, "addresses", addresses);
            let before = status.remove("listeners");
            let listeners = said.listeners.iter();
            let listeners = listeners.map(|of_one| listener(before.as_ref(), of_one, said, at));
            let listeners = listeners.collect();
            set(&mut status, "listeners", listeners);
        }
        Shape::Route => {
            let before = status.remove("parents").unwrap_or_default();
            let entries = parents(object, said);
            let parents = entries_with(&before, PARENT, entries, said, at);
            // The list must be there, empty or not.
            status.insert("parents".to_owned(), Value::Array(parents));
        }
        Shape::Policy => {
            let before = status.remove("ancestors").unwrap_or_default();
            let own = &said.object.namespace;
            let entries = said.parents.iter().map(|parent| Entry {
                reference: reference(&parent.parent),
                key: key_of(&reference(&parent.parent), own),
                parent,
            });
            let mut ancestors = entries_with(&before, ANCESTOR, entries.collect(), said, at);
            ancestors.truncate(MOST_ANCESTORS);
            status.insert("ancestors".to_owned(), Value::Array(ancestors));
        }
    }
    Some(Value::Object(status))
}

/// Whether a kind's status is of Gateway API's shapes.
#[must_use]
pub fn is_of_this_shape(kind: Kind) -> bool {
    shape_of(kind).is_some()
}

/// What the entries of ours in a status are about: the parents of a route, the ancestors of a policy.
#[must_use]
pub fn entries(object: &ObjectKey, status: &Value) -> Vec<Parent> {
    let (list, field) = match shape_of(object.kind) {
        Some(Shape::Route) => ("parents", PARENT),
        Some(Shape::Policy) => ("ancestors", ANCESTOR),
        Some(Shape::Class | Shape::Gateway) | None => return Vec::new(),
    };
    let all = status[list].as_array().into_iter().flatten();
    let ours = all.filter(|entry| entry["controllerName"] == CONTROLLER);
    ours.map(|entry| key_of(&entry[field], &object.namespace))
        .collect()
}

/// Whether a route's or a policy's parent is one that we answer for, given whether a Gateway of this namespace and name is.
#[must_use]
pub fn is_ours(parent: &Parent, is_served: impl Fn(&str, &str) -> bool) -> bool {
    match (parent.group.as_str(), parent.kind.as_str()) {
        ("" | "core", "Service") | ("networking.istio.io", "ServiceEntry" | "Hostname") => true,
        (group, "Gateway") if group == Group::Gateway.name() => is_served(&parent.namespace, &parent.name),
        _ => false,
    }
}

/// What a status is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Conditions.
    Class,
    /// Conditions, addresses, listeners.
    Gateway,
    /// An entry for each parent.
    Route,
    /// An entry for each ancestor.
    Policy,
}

fn shape_of(kind: Kind) -> Option<Shape> {
    match kind {
        Kind::GatewayClass => Some(Shape::Class),
        Kind::Gateway => Some(Shape::Gateway),
        Kind::HttpRoute | Kind::GrpcRoute | Kind::TlsRoute | Kind::TcpRoute => Some(Shape::Route),
        Kind::BackendTlsPolicy | Kind::RateLimitPolicy | Kind::HealthCheckPolicy | Kind::SessionPolicy => {
            Some(Shape::Policy)
        }
        _ => None,
    }
}

/// Conditions of the object as a whole.
fn whole(status: &mut Map<String, Value>, said: &ObjectStatus, at: At<'_>) {
    let of_gateway_api = |kind: &str| WHOLE.iter().any(|ours| ours.as_str() == kind);
    let ours = Said {
        conditions: &said.conditions,
        observed_generation: said.observed_generation,
    };
    let conditions = list(status.get("conditions"), ours, of_gateway_api, at);
    set(status, "conditions", conditions);
}

fn set(status: &mut Map<String, Value>, field: &str, values: Vec<Value>) {
    if values.is_empty() {
        status.remove(field);
    } else {
        status.insert(field.to_owned(), Value::Array(values));
    }
}

/// What the Gateways of a class support, in the order that the field asks for.
fn features() -> Vec<Value> {
    let mut names: Vec<&str> = CORE_FEATURES.into_iter().chain(EXTENDED_FEATURES).collect();
    names.sort_unstable();
    names.into_iter().map(|name| json!({"name": name})).collect()
}

fn address(address: &GivenAddress) -> Value {
    match address {
        GivenAddress::Ip(ip) => json!({"type": "IPAddress", "value": ip.to_string()}),
        GivenAddress::Hostname(name) => json!({"type": "Hostname", "value": name.as_str()}),
    }
}

fn listener(before: Option<&Value>, status: &ListenerStatus, said: &ObjectStatus, at: At<'_>) -> Value {
    let before = before.and_then(Value::as_array).into_iter().flatten();
    let before = before.into_iter().find(|b| b["name"] == status.name.as_str());
    let kinds = status.supported_kinds.iter();
    let kinds = kinds.map(|kind| json!({"group": Group::Gateway.name(), "kind": kind}));
    let ours = Said {
        conditions: &status.conditions,
        observed_generation: said.observed_generation,
    };
    json!({
        "name": status.name.as_str(),
        "supportedKinds": kinds.collect::<Vec<_>>(),
        "attachedRoutes": status.attached_routes,
        "conditions": list(before.and_then(|b| b.get("conditions")), ours, |_| true, at),
    })
}

/// What is to be said with respect to one parent.
struct Entry<'a> {
    /// How the entry names it.
    reference: Value,
    key: Parent,
    parent: &'a ParentStatus,
}

/// Each of a route's references that something is to be said of, as the route has it now: once, and not what it had when
/// that was found out.
fn parents<'a>(object: &Value, said: &'a ObjectStatus) -> Vec<Entry<'a>> {
    let mut entries: Vec<Entry<'a>> = Vec::new();
    for reference in object["spec"]["parentRefs"].as_array().into_iter().flatten() {
        let key = key_of(reference, &said.object.namespace);
        let known = entries.iter().any(|entry| entry.key == key);
        let parent = said.parents.iter().find(|parent| parent.parent == key);
        if let Some(parent) = parent.filter(|_| !known) {
            entries.push(Entry {
                reference: reference.clone(),
                key,
                parent,
            });
        }
    }
    entries
}

/// The list as it is to be.
fn entries_with(
    before: &Value,
    field: &str,
    entries: Vec<Entry<'_>>,
    said: &ObjectStatus,
    at: At<'_>,
) -> Vec<Value> {
    let before = before.as_array().map_or(&[][..], Vec::as_slice);
    let own = &said.object.namespace;
    let mut after = Vec::with_capacity(before.len() + entries.len());
    let mut written = vec![false; entries.len()];
    for old in before {
        if old["controllerName"] != CONTROLLER {
            after.push(old.clone());
            continue;
        }
        let key = key_of(&old[field], own);
        let same = entries.iter().position(|entry| entry.key == key);
        if let Some(same) = same.filter(|same| !written[*same]) {
            written[same] = true;
            after.push(entry(field, &entries[same], Some(old), said, at));
        }
    }
    for (entry_of, written) in entries.iter().zip(written) {
        if !written {
            after.push(entry(field, entry_of, None, said, at));
        }
    }
    after
}

fn entry(field: &str, of: &Entry<'_>, before: Option<&Value>, said: &ObjectStatus, at: At<'_>) -> Value {
    let ours = Said {
        conditions: &of.parent.conditions,
        observed_generation: said.observed_generation,
    };
    let conditions = list(before.and_then(|b| b.get("conditions")), ours, |_| true, at);
    json!({"controllerName": CONTROLLER, field: of.reference, "conditions": conditions})
}

/// A reference, with what it does not name filled in.
fn key_of(reference: &Value, own: &str) -> Parent {
    let text = |field: &str, default: &str| reference[field].as_str().unwrap_or(default).into();
    Parent {
        group: text("group", Group::Gateway.name()),
        kind: text("kind", "Gateway"),
        namespace: text("namespace", own),
        name: text("name", ""),
        section_name: reference["sectionName"].as_str().map(Into::into),
        port: reference["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok()),
    }
}

fn reference(parent: &Parent) -> Value {
    let mut reference = json!({
        "group": parent.group.as_str(),
        "kind": parent.kind.as_str(),
        "name": parent.name.as_str(),
    });
    if !parent.namespace.is_empty() {
        reference["namespace"] = json!(parent.namespace.as_str());
    }
    if let Some(section) = &parent.section_name {
        reference["sectionName"] = json!(section.as_str());
    }
    if let Some(port) = parent.port {
        reference["port"] = json!(port);
    }
    reference
}

/// Who writes our entries: Istio's name, by which its tools know them.
pub const CONTROLLER: &str = "istio.io/gateway-controller";
const PARENT: &str = "parentRef";
const ANCESTOR: &str = "ancestorRef";
/// Types of conditions that a class's controller alone has to say of the class and its Gateways.
const WHOLE: [ConditionType; 3] = [
    ConditionType::Accepted,
    ConditionType::Programmed,
    ConditionType::SettingsUnderstood,
];
/// More are not taken (GEP-713).
const MOST_ANCESTORS: usize = 16;

#[cfg(test)]
mod tests;
