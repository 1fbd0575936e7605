//! Objects and what happened to them.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::owners::Owners;
use super::{Answer, Query, Target, failure, respond, success};
use crate::resource::ObjectName;

#[derive(Debug, Default)]
pub(super) struct Store {
    /// By the path of their resource.
    objects: BTreeMap<String, BTreeMap<ObjectName, Value>>,
    history: Vec<Happened>,
    version: u64,
    /// What happened up to here is forgotten.
    forgotten: u64,
    owners: Owners,
}

#[derive(Debug)]
struct Happened {
    version: u64,
    resource: String,
    what: &'static str,
    object: Value,
}

impl Store {
    /// Makes of an object what it is to be; what changes is from then on this manager's.
    pub(super) fn put(&mut self, resource: &str, object: Value, manager: &str) {
        let name = name_of(&object);
        let before = self.get(resource, &name).cloned().unwrap_or_default();
        self.owners.updated((resource, &name), &before, &object, manager);
        self.store(resource, object);
    }

    fn store(&mut self, resource: &str, mut object: Value) {
        let name = name_of(&object);
        let before = self.get(resource, &name).cloned();
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let uid = match &before {
            Some(before) => before["metadata"]["uid"].clone(),
            None => json!(format!("uid-{}", self.version)),
        };
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = uid;
        }
        let what = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.note(resource, what, &object);
        let objects = self.objects.entry(resource.to_owned()).or_default();
        objects.insert(name, object);
    }

    pub(super) fn remove(&mut self, resource: &str, name: &ObjectName) -> bool {
        let gone = self
            .objects
            .get_mut(resource)
            .and_then(|objects| objects.remove(name));
        let Some(mut gone) = gone else {
            return false;
        };
        self.owners.forget((resource, name));
        self.version += 1;
        gone["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.note(resource, "DELETED", &gone);
        true
    }

    pub(super) fn get(&self, resource: &str, name: &ObjectName) -> Option<&Value> {
        self.objects.get(resource)?.get(name)
    }

    pub(super) fn forget(&mut self, resource: &str) {
        self.objects.remove(resource);
    }

    pub(super) fn forget_history(&mut self) {
        self.history.clear();
        self.forgotten = self.version;
    }

    pub(super) fn is_forgotten(&self, version: u64) -> bool {
        version < self.forgotten
    }

    /// What happened since a version, in lines, and the version then.
    pub(super) fn since(&self, target: &Target, version: u64) -> (String, u64) {
        let about = |h: &&Happened| h.version > version && h.resource == target.resource;
        let mut text = String::new();
        for happened in self.history.iter().filter(about) {
            if !is_in(target, &name_of(&happened.object)) {
                continue;
            }
            let line = json!({"type": happened.what, "object": happened.object});
            text.push_str(&format!("{line}\n"));
        }
        (text, self.version.max(version))
    }

    pub(super) fn request(&mut self, target: &Target, method: &Method, query: &Query, sent: Value) -> Answer {
        let name = ObjectName::new(
            target.namespace.clone().unwrap_or_default(),
            target.name.clone().unwrap_or_default(),
        );
        match *method {
            Method::GET if target.name.is_none() => self.list(target, query),
            Method::POST => self.create(target, sent),
            Method::PATCH if query.has("fieldManager") && !target.status => {
                self.apply(target, &name, query, &sent)
            }
            _ if self.get(&target.resource, &name).is_none() => {
                failure(404, "NotFound", &format!("{name} not found"))
            }
            Method::PUT => self.replace(target, &name, sent),
            Method::PATCH if query.has("fieldManager") => self.apply_status(target, &name, query, &sent),
            Method::PATCH if self.is_stale(target, &name, &sent) => {
                failure(409, "Conflict", "the object has been modified")
            }
            Method::PATCH => {
                let mut object = self.get(&target.resource, &name).cloned().unwrap_or_default();
                merge(&mut object, &sent);
                self.put(&target.resource, object, WRITER);
                self.answer(target, &name)
            }
            Method::DELETE => self.delete(target, &name, &sent),
            _ => self.answer(target, &name),
        }
    }

    fn list(&self, target: &Target, query: &Query) -> Answer {
        let empty = BTreeMap::new();
        let objects = self.objects.get(&target.resource).unwrap_or(&empty);
        let limit = query.number("limit").unwrap_or(u64::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let after = query.text("continue").and_then(|text| text.split_once('/'));
        let after = after.map(|(namespace, name)| ObjectName::new(namespace, name));
        let labels = query.text("labelSelector").unwrap_or_default();
        let field = query.text("fieldSelector").unwrap_or_default();
        let (phase, one) = (
            field.strip_prefix("status.phase="),
            field.strip_prefix("metadata.name="),
        );
        let chosen = objects.iter().filter(|(name, object)| {
            is_in(target, name)
                && is_selected(object, labels)
                && phase.is_none_or(|phase| object["status"]["phase"] == phase)
                && one.is_none_or(|one| *name.name == *one)
        });
        let mut chosen = chosen.filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
        let page: Vec<(&ObjectName, &Value)> = chosen.by_ref().take(limit).collect();
        let last = page.last().filter(|_| chosen.next().is_some());
        let next = last.map(|(name, _)| format!("{}/{}", name.namespace, name.name));
        let items: Vec<&Value> = page.iter().map(|(_, object)| *object).collect();
        let metadata =
            json!({"resourceVersion": self.version.to_string(), "continue": next.unwrap_or_default()});
        success(&json!({"metadata": metadata, "items": items}))
    }

    fn create(&mut self, target: &Target, mut sent: Value) -> Answer {
        if let Some(namespace) = &target.namespace {
            sent["metadata"]["namespace"] = json!(namespace);
        }
        let name = name_of(&sent);
        if self.get(&target.resource, &name).is_some() {
            return failure(409, "AlreadyExists", &format!("{name} already exists"));
        }
        self.put(&target.resource, sent, WRITER);
        self.answer(target, &name)
    }

    fn replace(&mut self, target: &Target, name: &ObjectName, sent: Value) -> Answer {
        let before = self.get(&target.resource, name).cloned().unwrap_or_default();
        if self.is_stale(target, name, &sent) {
            return failure(409, "Conflict", "the object has been modified");
        }
        let mut object = if target.status {
            before.clone()
        } else {
            sent.clone()
        };
        let status = if target.status { &sent } else { &before };
        if let Some(status) = status.get("status") {
            object["status"] = status.clone();
        }
        self.put(&target.resource, object, WRITER);
        self.answer(target, name)
    }

    /// Server-side apply: of fields that others own and have otherwise, it is a conflict.
    fn apply(&mut self, target: &Target, name: &ObjectName, query: &Query, sent: &Value) -> Answer {
        let manager = query.text("fieldManager").unwrap_or_default();
        let force = query.text("force") == Some("true");
        let of = (target.resource.as_str(), name);
        let before = self.get(&target.resource, name).cloned();
        let mut object = before.clone().unwrap_or_else(|| json!({}));
        let conflicts = self.owners.conflicts(of, &object, sent, manager);
        if !force && !conflicts.is_empty() {
            return owned(&conflicts);
        }
        for path in self.owners.applied(of, sent, manager, force) {
            remove_field(&mut object, &path);
        }
        merge(&mut object, sent);
        // What changes nothing gives no new version.
        if before.as_ref() != Some(&object) {
            self.store(&target.resource, object);
        }
        self.answer(target, name)
    }

    /// The same of a status: its lists are maps ([`keyed`]), and nobody but those who apply owns anything.
    fn apply_status(&mut self, target: &Target, name: &ObjectName, query: &Query, sent: &Value) -> Answer {
        let manager = query.text("fieldManager").unwrap_or_default();
        let mut object = self.get(&target.resource, name).cloned().unwrap_or_default();
        let uid = &sent["metadata"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return failure(409, "Conflict", "the UID in the precondition does not match");
        }
        let before = object.clone();
        let mut status = json!({"fields": keyed(&object["status"])});
        let mut sent = json!({"fields": keyed(&sent["status"])});
        if let Some(fields) = sent["fields"].as_object_mut() {
            // A map without entries sets none.
            fields.retain(|field, value| !(MAPS.contains(&field.as_str()) && *value == json!([])));
        }
        let owned = format!("{}/status", target.resource);
        for path in self.owners.applied((&owned, name), &sent, manager, true) {
            remove_field(&mut status, &path);
        }
        merge(&mut status, &sent);
        object["status"] = listed(&status["fields"]);
        if object != before {
            self.store(&target.resource, object);
        }
        self.answer(target, name)
    }

    /// Whether what is sent goes by another version than there is.
    fn is_stale(&self, target: &Target, name: &ObjectName, sent: &Value) -> bool {
        let version = &sent["metadata"]["resourceVersion"];
        let object = self.get(&target.resource, name);
        !version.is_null() && object.is_some_and(|object| object["metadata"]["resourceVersion"] != *version)
    }

    fn delete(&mut self, target: &Target, name: &ObjectName, options: &Value) -> Answer {
        let uid = &options["preconditions"]["uid"];
        let object = self.get(&target.resource, name);
        if !uid.is_null() && object.is_some_and(|object| object["metadata"]["uid"] != *uid) {
            return failure(409, "Conflict", "the UID in the precondition does not match");
        }
        self.remove(&target.resource, name);
        success(&json!({"kind": "Status", "status": "Success"}))
    }

    fn answer(&self, target: &Target, name: &ObjectName) -> Answer {
        match self.get(&target.resource, name) {
            Some(object) => success(object),
            None => failure(404, "NotFound", &format!("{name} not found")),
        }
    }

    fn note(&mut self, resource: &str, what: &'static str, object: &Value) {
        self.history.push(Happened {
            version: self.version,
            resource: resource.to_owned(),
            what,
            object: object.clone(),
        });
    }
}

/// Only `key=value`, separated by commas; lists are all that heeds it. Of selectors of fields a list heeds `status.phase=`.
fn is_selected(object: &Value, labels: &str) -> bool {
    let mut wanted = labels.split(',').filter_map(|label| label.split_once('='));
    wanted.all(|(key, value)| object["metadata"]["labels"][key] == value)
}

fn is_in(target: &Target, name: &ObjectName) -> bool {
    target
        .namespace
        .as_ref()
        .is_none_or(|namespace| *namespace == name.namespace)
}

fn name_of(object: &Value) -> ObjectName {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
    ObjectName::new(text("namespace"), text("name"))
}

/// The answer to who applies what others own.
fn owned(conflicts: &[(String, String)]) -> Answer {
    let texts = conflicts
        .iter()
        .map(|(field, owner)| format!("conflict with {owner:?}: {field}"));
    let texts: Vec<String> = texts.collect();
    let message = format!(
        "Apply failed with {} conflicts: {}",
        texts.len(),
        texts.join(", ")
    );
    let causes = conflicts
        .iter()
        .zip(&texts)
        .map(|((field, _), text)| json!({"reason": "FieldManagerConflict", "message": text, "field": field}));
    let causes: Vec<Value> = causes.collect();
    let status = json!({"kind": "Status", "status": "Failure", "code": 409, "reason": "Conflict", "message": message,
        "details": {"causes": causes}});
    respond(StatusCode::CONFLICT, status.to_string())
}

/// A value whose lists of conditions and listeners are maps by their keys.
fn keyed(value: &Value) -> Value {
    match value {
        Value::Array(entries) => {
            let key = |entry: &Value| {
                let mut keys = MAP_KEYS.iter();
                keys.find_map(|field| Some(format!("{field}={}", entry.get(field)?.as_str()?)))
            };
            let all: Option<Map<String, Value>> = entries
                .iter()
                .map(|entry| Some((key(entry)?, keyed(entry))))
                .collect();
            all.filter(|all| !all.is_empty())
                .map_or_else(|| value.clone(), Value::Object)
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            Value::Object(fields.map(|(key, value)| (key.clone(), keyed(value))).collect())
        }
        _ => value.clone(),
    }
}

/// The opposite. Of an entry without any field nothing is left, nor of a list without any entry.
fn listed(value: &Value) -> Value {
    let Value::Object(fields) = value else {
        return value.clone();
    };
    let is_key = |key: &String| MAP_KEYS.iter().any(|field| key.starts_with(&format!("{field}=")));
    if !fields.is_empty() && fields.keys().all(is_key) {
        let entries: Vec<Value> = fields
            .values()
            .map(listed)
            .filter(|entry| *entry != json!({}))
            .collect();
        return if entries.is_empty() {
            Value::Null
        } else {
            Value::Array(entries)
        };
    }
    let fields = fields.iter().map(|(key, value)| (key.clone(), listed(value)));
    Value::Object(fields.filter(|(_, value)| !value.is_null()).collect())
}

fn remove_field(object: &mut Value, path: &[String]) {
    let Some((last, above)) = path.split_last() else {
        return;
    };
    let above = above.iter().try_fold(object, |object, key| object.get_mut(key));
    if let Some(Value::Object(fields)) = above {
        fields.remove(last);
    }
}

/// Lists of statuses that are maps.
const MAPS: [&str; 2] = ["conditions", "listeners"];
/// What an entry of a status is known by: conditions by their type, listeners by their name.
const MAP_KEYS: [&str; 2] = ["type", "name"];
/// Who writes without saying who he is.
const WRITER: &str = "writer";

/// RFC 7396; where applying differs from it otherwise, tests do not look.
fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        object.clone_from(patch);
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            if let Some(object) = object.as_object_mut() {
                object.remove(key);
            }
        } else {
            merge(&mut object[key], value);
        }
    }
}
