//! JSON as YAML: keys in order of the alphabet, lists of mappings indented like everybody's.

use serde_json::Value;

/// The text of a value, ending with a line break.
#[must_use]
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0);
    out
}

fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort();
            for (i, key) in keys.into_iter().enumerate() {
                // The first stands behind the dash of its list, or at the line's start.
                if i > 0 || at_line_start(out) {
                    pad(out, indent);
                }
                out.push_str(&scalar(key));
                out.push(':');
                entry(out, &map[key], indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                pad(out, indent);
                out.push_str("- ");
                match item {
                    Value::Object(map) if !map.is_empty() => block(out, item, indent + 2),
                    _ => {
                        out.push_str(&flat(item));
                        out.push('\n');
                    }
                }
            }
        }
        _ => {
            out.push_str(&flat(value));
            out.push('\n');
        }
    }
}

fn entry(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            block(out, value, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(out, value, indent);
        }
        _ => {
            out.push(' ');
            out.push_str(&flat(value));
            out.push('\n');
        }
    }
}

fn at_line_start(out: &str) -> bool {
    out.is_empty() || out.ends_with('\n')
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A value on one line; JSON is YAML, too.
fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text, in quotes unless nobody could take it for anything else.
fn scalar(text: &str) -> String {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let others = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || " _./-".contains(c));
    if first && others && !text.ends_with(' ') && !WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    Value::String(text.to_owned()).to_string()
}

/// What some reader of YAML takes for something else than text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

#[cfg(test)]
mod tests;
