//! A kind as an OpenAPI schema. Every mapping keeps fields that are not named (`x-kubernetes-preserve-unknown-fields`):
//! what somebody wrote is never pruned silently, it is told of in the object's status, and in a policy it counts as an error.

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::constraints::{self, Constraint};
use crate::kinds::Crd;
use crate::sources::Sources;
use crate::trace::{Object, Shape};

/// Where a kind's status says how it fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In conditions of its own.
    Conditions,
    /// For each object that it is attached to (GEP-713, `PolicyStatus`).
    OfAncestors,
}

/// The whole object's schema.
///
/// # Errors
/// Fails when a field has no description in the sources.
pub fn of(crd: &Crd, sources: &Sources) -> Result<Value> {
    let writer = Writer {
        sources,
        constraints: constraints::all(),
    };
    let mut spec = writer.schema(&(crd.spec)())?;
    let kind = crd.kind.as_str();
    spec["description"] = json!(sources.doc(&format!("{kind}Spec"))?);
    if let Some(add) = constraints::of_spec(crd.kind) {
        merge(&mut spec, &add);
    }
    let mut status = match crd.status {
        Status::Conditions => json!({ "properties": conditions_and_generation() }),
        Status::OfAncestors => json!({ "properties": ancestors() }),
    };
    if let Some(read) = crd.read_status {
        merge(&mut status, &writer.schema(&read())?);
    }
    merge(&mut status, &open_object());
    status["description"] = json!("What became of it; written by the control plane.");
    let mut whole = json!({
        "description": sources.doc(kind)?,
        "type": "object",
        PRESERVE: true,
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "spec": spec,
            "status": status,
        },
    });
    if crd.needs_spec {
        whole["required"] = json!(["spec"]);
    }
    Ok(whole)
}

const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";

struct Writer<'a> {
    sources: &'a Sources,
    constraints: Vec<Constraint>,
}

impl Writer<'_> {
    fn schema(&self, shape: &Shape) -> Result<Value> {
        Ok(match shape {
            Shape::Text => json!({ "type": "string" }),
            Shape::Formed(name) => json!({ "type": "string", "pattern": pattern(name) }),
            Shape::Boolean => json!({ "type": "boolean" }),
            Shape::Integer { least, greatest } => integer(*least, *greatest),
            Shape::Number => json!({ "type": "number", "format": "double" }),
            Shape::Any => json!({
                "x-kubernetes-int-or-string": true,
                "anyOf": [{ "type": "integer" }, { "type": "string" }],
            }),
            Shape::Word(words) => json!({ "type": "string", "enum": words }),
            Shape::List(item) => json!({ "type": "array", "items": self.schema(item)? }),
            Shape::Map(value) => json!({ "type": "object", "additionalProperties": self.schema(value)? }),
            Shape::Object(object) => self.object(object)?,
            Shape::Choice(object) => {
                let mut schema = self.object(object)?;
                let each = object
                    .fields
                    .iter()
                    .map(|(name, _)| json!({ "required": [name] }));
                merge(&mut schema, &json!({ "oneOf": each.collect::<Vec<_>>() }));
                schema
            }
        })
    }

    fn object(&self, object: &Object) -> Result<Value> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for (name, shape) in &object.fields {
            let source = self.sources.field(object, name)?;
            let mut schema = self.schema(shape)?;
            schema["description"] = json!(source.doc);
            if source.filled {
                schema["minItems"] = json!(1);
            }
            for constraint in self.constraints_on(object, Some(name)) {
                merge(&mut schema, &constraint.add);
            }
            if source.required {
                required.push(*name);
            }
            properties.insert((*name).to_owned(), schema);
        }
        let mut schema = open_object();
        schema["properties"] = Value::Object(properties);
        if !required.is_empty() {
            required.sort_unstable();
            schema["required"] = json!(required);
        }
        for constraint in self.constraints_on(object, None) {
            merge(&mut schema, &constraint.add);
        }
        Ok(schema)
    }

    /// Types of one name are told apart by their fields.
    fn constraints_on<'a>(
        &'a self,
        object: &'a Object,
        field: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Constraint> {
        self.constraints
            .iter()
            .filter(move |c| c.on == object.name && c.field == field)
    }
}

fn open_object() -> Value {
    json!({ "type": "object", PRESERVE: true })
}

fn integer(least: i64, greatest: Option<i64>) -> Value {
    let format = match greatest {
        Some(greatest) if i32::try_from(greatest).is_ok() => "int32",
        _ => "int64",
    };
    let mut schema = json!({ "type": "integer", "format": format });
    if least > i64::MIN {
        schema["minimum"] = json!(least);
    }
    if let Some(greatest) = greatest {
        schema["maximum"] = json!(greatest);
    }
    schema
}

fn pattern(name: &str) -> &'static str {
    match name {
        "GatewayDuration" => "^([0-9]{1,5}(h|m|s|ms)){1,4}$",
        _ => "^(0|(([0-9]+(\\.[0-9]*)?|\\.[0-9]+)(h|m|s|ms|us|µs|μs|ns))+)$",
    }
}

/// Mappings are joined and lists appended; what is said twice, the later says.
fn merge(into: &mut Value, add: &Value) {
    match (into, add) {
        (Value::Object(into), Value::Object(add)) => {
            for (key, value) in add {
                match into.get_mut(key) {
                    Some(there) => merge(there, value),
                    None => drop(into.insert(key.clone(), value.clone())),
                }
            }
        }
        (Value::Array(into), Value::Array(add)) => into.extend(add.iter().cloned()),
        (into, add) => *into = add.clone(),
    }
}

fn conditions_and_generation() -> Value {
    json!({
        "conditions": conditions(),
        "observedGeneration": {
            "description": "The generation of the object that this is about.",
            "x-kubernetes-int-or-string": true,
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
        },
    })
}

/// Kubernetes' own (`meta/v1 Condition`), as a list by type, so that several may write their own.
fn conditions() -> Value {
    json!({
        "description": "How it fares.",
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            PRESERVE: true,
            "required": ["type"],
            "properties": {
                "type": { "type": "string", "description": "What is said." },
                "status": { "type": "string", "description": "True, False or Unknown." },
                "reason": { "type": "string", "description": "Why, in one word." },
                "message": { "type": "string", "description": "Why, in a sentence." },
                "lastTransitionTime": {
                    "type": "string",
                    "format": "date-time",
                    "description": "When the status changed last.",
                },
                "observedGeneration": {
                    "description": "The generation of the object that this is about.",
                    "x-kubernetes-int-or-string": true,
                    "anyOf": [{ "type": "integer" }, { "type": "string" }],
                },
            },
        },
    })
}

/// Gateway API, `PolicyStatus`.
fn ancestors() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!({
        "ancestors": {
            "description": "How it fares at each object that it is attached to.",
            "type": "array",
            "maxItems": 16,
            "x-kubernetes-list-type": "atomic",
            "items": {
                "type": "object",
                PRESERVE: true,
                "required": ["ancestorRef", "controllerName"],
                "properties": {
                    "ancestorRef": {
                        "description": "The object.",
                        "type": "object",
                        PRESERVE: true,
                        "required": ["name"],
                        "properties": {
                            "group": text("Its API group."),
                            "kind": text("Its kind."),
                            "namespace": text("Its namespace."),
                            "name": text("Its name."),
                            "sectionName": text("A section of it."),
                        },
                    },
                    "controllerName": text("Who says so."),
                    "conditions": conditions(),
                },
            },
        },
    })
}
