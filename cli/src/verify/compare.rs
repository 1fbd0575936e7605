//! An object that was rendered, beside the live one: whether everything that was rendered is so. Pure.
//!
//! An API server adds defaults, drops what is empty and writes quantities in its own way; none of that is a difference.

use std::fmt;

use serde_json::Value;

/// A field that is not as it was rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its path: `spec.template.spec.containers[istio-proxy].image`.
    pub field: String,
    /// As it was rendered.
    pub rendered: String,
    /// As it is.
    pub live: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is {} and was rendered as {}",
            self.field, self.live, self.rendered
        )
    }
}

/// What is not as it was rendered.
#[must_use]
pub fn differences(rendered: &Value, live: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    let Value::Object(fields) = rendered else {
        return found;
    };
    for (key, value) in fields {
        match key.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                for part in ["labels", "annotations"] {
                    compare(
                        &format!("metadata.{part}"),
                        &value[part],
                        &live["metadata"][part],
                        &mut found,
                    );
                }
            }
            _ => compare(key, value, &live[key], &mut found),
        }
    }
    found
}

fn compare(field: &str, rendered: &Value, live: &Value, found: &mut Vec<Difference>) {
    match (rendered, live) {
        // Nothing was said about it.
        (Value::Null, _) => {}
        (Value::Object(wanted), Value::Object(_)) => {
            for (key, value) in wanted {
                compare(&format!("{field}.{key}"), value, &live[key], found);
            }
        }
        (Value::Array(wanted), Value::Array(there)) => match (by_name(wanted), by_name(there)) {
            (Some(wanted), Some(there)) => compare_named(field, &wanted, &there, found),
            _ if wanted.len() == there.len() => {
                for (at, (value, live)) in wanted.iter().zip(there).enumerate() {
                    compare(&format!("{field}[{at}]"), value, live, found);
                }
            }
            _ => note(field, rendered, live, found),
        },
        _ if is_nothing(rendered) && is_nothing(live) => {}
        _ if is_same(rendered, live) => {}
        _ => note(field, rendered, live, found),
    }
}

type Named<'a> = Vec<(&'a str, &'a Value)>;

/// Containers, ports, volumes and variables are lists whose order says nothing.
fn by_name(list: &[Value]) -> Option<Named<'_>> {
    list.iter()
        .map(|item| Some((item["name"].as_str()?, item)))
        .collect()
}

fn compare_named(field: &str, wanted: &Named<'_>, there: &Named<'_>, found: &mut Vec<Difference>) {
    for (name, value) in wanted {
        let live = there
            .iter()
            .find(|(other, _)| other == name)
            .map_or(&Value::Null, |(_, live)| *live);
        let field = format!("{field}[{name}]");
        if live.is_null() {
            note(&field, value, live, found);
        } else {
            compare(&field, value, live, found);
        }
    }
    for (name, live) in there {
        if !wanted.iter().any(|(other, _)| other == name) {
            note(&format!("{field}[{name}]"), &Value::Null, live, found);
        }
    }
}

/// What an API server leaves out.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(yes) => !yes,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.iter().all(is_nothing),
        Value::Object(fields) => fields.values().all(is_nothing),
    }
}

fn is_same(rendered: &Value, live: &Value) -> bool {
    if rendered == live {
        return true;
    }
    matches!((quantity(rendered), quantity(live)), (Some(a), Some(b)) if (a - b).abs() <= a.abs() * 1e-9)
}

/// A quantity (Kubernetes, `resource.Quantity`), in its unit.
fn quantity(value: &Value) -> Option<f64> {
    let text = match value {
        Value::Number(number) => return number.as_f64(),
        Value::String(text) => text.as_str(),
        _ => return None,
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    Some(digits.parse::<f64>().ok()? * factor)
}

fn note(field: &str, rendered: &Value, live: &Value, found: &mut Vec<Difference>) {
    found.push(Difference {
        field: field.to_owned(),
        rendered: brief(rendered),
        live: brief(live),
    });
}

/// A value in one short piece.
fn brief(value: &Value) -> String {
    let text = match value {
        Value::Null => return "nothing".to_owned(),
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start}…")
}

const LONGEST: usize = 60;

#[cfg(test)]
mod tests;
