//! Leaves fields of an object to those who own them, by the paths that an API server names them with (structured-merge-diff,
//! "Path"). Pure.

use serde_json::Value;

/// Takes fields out of what is to be applied; nothing where one of them is not to be found in it.
#[must_use]
pub fn without(object: &Value, fields: &[String]) -> Option<Value> {
    let mut object = object.clone();
    for field in fields {
        take(&mut object, field)?;
    }
    Some(object)
}

/// Takes the field at a path such as `.spec.template.spec.containers[name="proxy"].image`.
fn take(value: &mut Value, path: &str) -> Option<()> {
    let (step, rest) = step(value, path)?;
    if rest.is_empty() {
        return match (value, step) {
            (Value::Object(fields), Step::Field(key)) => fields.remove(&key).map(drop),
            (Value::Array(items), Step::Item(at)) => {
                items.remove(at);
                Some(())
            }
            _ => None,
        };
    }
    let below = match step {
        Step::Field(key) => value.get_mut(&key)?,
        Step::Item(at) => value.get_mut(at)?,
    };
    take(below, rest)
}

enum Step {
    Field(String),
    Item(usize),
}

/// The first step of a path, and the rest. Names are not quoted and may have dots: of those that the object has, the longest
/// that fits is meant.
fn step<'p>(value: &Value, path: &'p str) -> Option<(Step, &'p str)> {
    match value {
        Value::Object(fields) => {
            let named = path.strip_prefix('.')?;
            let fitting = fields.keys().filter(|key| {
                let rest = named.strip_prefix(key.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            });
            let key = fitting.max_by_key(|key| key.len())?;
            Some((Step::Field(key.clone()), &named[key.len()..]))
        }
        Value::Array(items) => {
            let (selector, rest) = bracketed(path)?;
            let at = match selector.strip_prefix('=') {
                // Of a set: the item itself.
                Some(text) => {
                    let wanted: Value = serde_json::from_str(text).ok()?;
                    items.iter().position(|item| *item == wanted)?
                }
                None => position(items, selector)?,
            };
            Some((Step::Item(at), rest))
        }
        _ => None,
    }
}

/// The item with these values of its key's fields: `containerPort=80,protocol="TCP"`; or its number.
fn position(items: &[Value], selector: &str) -> Option<usize> {
    if let Ok(number) = selector.parse::<usize>() {
        return (number < items.len()).then_some(number);
    }
    let mut wanted: Vec<(&str, Value)> = Vec::new();
    let mut rest = selector;
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<Value>();
        let value = values.next()?.ok()?;
        wanted.push((key, value));
        rest = after[values.byte_offset()..].trim_start_matches(',');
    }
    let is_meant = |item: &Value| wanted.iter().all(|(key, value)| item.get(*key) == Some(value));
    items.iter().position(is_meant)
}

/// What stands in brackets, and what follows; brackets within quotes are text.
fn bracketed(path: &str) -> Option<(&str, &str)> {
    let inside = path.strip_prefix('[')?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in inside.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ']' if !quoted => return Some((&inside[..at], &inside[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
