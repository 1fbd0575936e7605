//! Strategic merge: a piece of YAML laid over an object (Kubernetes documentation, "Use a strategic merge patch").
//!
//! Mappings are merged field by field, `null` takes a field away. Lists whose elements have a key are merged element by
//! element, all others replaced. `$patch: delete` and `$patch: replace` are understood in mappings and elements; other
//! directives are for programs, and refused. A field keeps its shape: no text stands in a mapping's place, nor a mapping in a
//! text's, since no object of Kubernetes has a field that is now the one and now the other.

use serde_json::{Map, Value};

/// Lays a patch over an object.
///
/// # Errors
/// Says which field cannot be merged.
pub(super) fn merge(base: &mut Value, patch: Value) -> Result<(), String> {
    value(base, patch, "")
}

fn value(base: &mut Value, patch: Value, path: &str) -> Result<(), String> {
    match patch {
        Value::Object(patch) => mapping(base, patch, path),
        Value::Array(patch) => list(base, patch, path),
        scalar => {
            same_shape(base, &scalar, path)?;
            *base = scalar;
            Ok(())
        }
    }
}

/// Whether a value may stand where another one does; anything may where nothing is.
fn same_shape(base: &Value, patch: &Value, path: &str) -> Result<(), String> {
    let (is, wanted) = (shape(patch), shape(base));
    match base.is_null() || patch.is_null() || is == wanted {
        true => Ok(()),
        false => Err(format!("{}: is {is}, where {wanted} belongs", shown(path))),
    }
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Object(_) => "a mapping",
        Value::Array(_) => "a list",
        _ => "a single value",
    }
}

fn mapping(base: &mut Value, mut patch: Map<String, Value>, path: &str) -> Result<(), String> {
    if !base.is_object() {
        same_shape(base, &Value::Object(Map::new()), path)?;
    }
    match directive(&mut patch, path)? {
        Some(Directive::Replace) => *base = Value::Null,
        Some(Directive::Delete) => {
            *base = Value::Null;
            return Ok(());
        }
        None => {}
    }
    if !base.is_object() {
        *base = Value::Object(Map::new());
    }
    for (key, patch) in patch {
        let path = format!("{path}.{key}");
        let Value::Object(fields) = &mut *base else { break };
        if patch.is_null() {
            fields.remove(&key);
            continue;
        }
        let field = fields.entry(key.clone()).or_insert(Value::Null);
        value(field, patch, &path)?;
        // Deleted by a directive.
        if field.is_null() {
            fields.remove(&key);
        }
    }
    Ok(())
}

fn list(base: &mut Value, patch: Vec<Value>, path: &str) -> Result<(), String> {
    if !base.is_array() {
        same_shape(base, &Value::Array(Vec::new()), path)?;
    }
    let field = path.rsplit('.').next().unwrap_or_default();
    let Some(key) = key_of(field, &patch) else {
        *base = Value::Array(patch);
        return Ok(());
    };
    let replaced = patch.iter().any(|element| {
        element.get("$patch").is_some_and(|word| word == "replace") && element.get(key).is_none()
    });
    let mut elements = match base.take() {
        Value::Array(elements) if !replaced => elements,
        _ => Vec::new(),
    };
    for (i, mut patch) in patch.into_iter().enumerate() {
        let path = format!("{path}[{i}]");
        let name = patch.get(key).cloned();
        let Some(name) = name else {
            if replaced && patch["$patch"] == "replace" {
                continue;
            }
            return Err(format!(
                "{}: has no {key}, by which elements are told apart",
                shown(&path)
            ));
        };
        let at = elements.iter().position(|element| element[key] == name);
        let removed = patch["$patch"] == "delete";
        match at {
            Some(at) if removed => drop(elements.remove(at)),
            Some(at) => value(&mut elements[at], patch, &path)?,
            None if removed => {}
            None => {
                let mut new = Value::Null;
                if let Some(fields) = patch.as_object_mut() {
                    fields.remove("$patch");
                }
                value(&mut new, patch, &path)?;
                elements.push(new);
            }
        }
    }
    *base = Value::Array(elements);
    Ok(())
}

enum Directive {
    Replace,
    Delete,
}

/// Takes the directive out of a mapping.
fn directive(patch: &mut Map<String, Value>, path: &str) -> Result<Option<Directive>, String> {
    let word = patch.remove("$patch");
    if let Some(other) = patch.keys().find(|key| key.starts_with('$')) {
        return Err(format!("{}: {other} is not understood", shown(path)));
    }
    match word.as_ref().map(Value::as_str) {
        None | Some(Some("merge")) => Ok(None),
        Some(Some("replace")) => Ok(Some(Directive::Replace)),
        Some(Some("delete")) => Ok(Some(Directive::Delete)),
        Some(_) => Err(format!(
            "{}: $patch is none of merge, replace and delete",
            shown(path)
        )),
    }
}

/// By what the elements of a list are told apart (`patchMergeKey` in the API reference); nothing for lists that are
/// replaced.
fn key_of(field: &str, patch: &[Value]) -> Option<&'static str> {
    match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "secrets"
        | "resourceClaims" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        "hostAliases" => Some("ip"),
        "topologySpreadConstraints" => Some("topologyKey"),
        // Of containers, else of Services.
        "ports" if patch.iter().any(|port| port.get("containerPort").is_some()) => Some("containerPort"),
        "ports" => Some("port"),
        _ => None,
    }
}

fn shown(path: &str) -> &str {
    match path.trim_start_matches('.') {
        "" => "the whole",
        path => path,
    }
}

#[cfg(test)]
mod tests;
