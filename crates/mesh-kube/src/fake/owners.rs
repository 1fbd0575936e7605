//! Who set which field: what server-side apply goes by (Kubernetes, "Server-Side Apply"). Lists are one field each.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::resource::ObjectName;

/// Managers of fields, by object.
#[derive(Debug, Default)]
pub(super) struct Owners(BTreeMap<(String, ObjectName), Fields>);

type Fields = BTreeMap<Vec<String>, String>;

impl Owners {
    /// Somebody made of an object what it is now: what changed is his.
    pub(super) fn updated(&mut self, of: (&str, &ObjectName), before: &Value, after: &Value, manager: &str) {
        let (before, after) = (leaves(before), leaves(after));
        let fields = self.0.entry((of.0.to_owned(), of.1.clone())).or_default();
        fields.retain(|path, _| after.contains_key(path));
        for (path, value) in after {
            if before.get(&path) != Some(&value) {
                fields.insert(path, manager.to_owned());
            }
        }
    }

    /// The fields that somebody would set to something else than those who own them, each with its owner.
    pub(super) fn conflicts(
        &self,
        of: (&str, &ObjectName),
        now: &Value,
        applied: &Value,
        manager: &str,
    ) -> Vec<(String, String)> {
        let Some(fields) = self.0.get(&(of.0.to_owned(), of.1.clone())) else {
            return Vec::new();
        };
        let now = leaves(now);
        let differing = leaves(applied)
            .into_iter()
            .filter(|(path, value)| now.get(path) != Some(value));
        let owned = differing.filter_map(|(path, _)| {
            let owner = fields.get(&path).filter(|owner| *owner != manager)?;
            Some((format!(".{}", path.join(".")), owner.clone()))
        });
        owned.collect()
    }

    /// Somebody applied this. Says which fields he applied before and does not now: they go.
    pub(super) fn applied(
        &mut self,
        of: (&str, &ObjectName),
        applied: &Value,
        manager: &str,
        force: bool,
    ) -> Vec<Vec<String>> {
        let fields = self.0.entry((of.0.to_owned(), of.1.clone())).or_default();
        let applied = leaves(applied);
        let left = fields
            .iter()
            .filter(|(path, owner)| *owner == manager && !applied.contains_key(*path));
        let left: Vec<Vec<String>> = left.map(|(path, _)| path.clone()).collect();
        left.iter().for_each(|path| drop(fields.remove(path)));
        for path in applied.into_keys() {
            let owner = fields.entry(path).or_insert_with(|| manager.to_owned());
            if force {
                manager.clone_into(owner);
            }
        }
        left
    }

    pub(super) fn forget(&mut self, of: (&str, &ObjectName)) {
        self.0.remove(&(of.0.to_owned(), of.1.clone()));
    }
}

/// Every field that holds something, but what the API server itself writes.
fn leaves(object: &Value) -> BTreeMap<Vec<String>, Value> {
    let mut found = BTreeMap::new();
    collect(object, &mut Vec::new(), &mut found);
    let ours = |path: &[String]| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        !matches!(
            path.as_slice(),
            ["apiVersion" | "kind" | "status", ..]
                | ["metadata", "name" | "namespace" | "uid" | "resourceVersion", ..]
        )
    };
    found.retain(|path, _| ours(path));
    found
}

fn collect(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, Value>) {
    let Value::Object(fields) = value else {
        found.insert(path.clone(), value.clone());
        return;
    };
    for (key, value) in fields {
        path.push(key.clone());
        collect(value, path, found);
        path.pop();
    }
}
