//! Each object by itself: is it what its kind asks for? Pure.

use std::collections::BTreeSet;

use controlplane_k8s_api::{IgnoredReason, Located, Object, ParseError, parse};
use serde_json::{Value, json};

use crate::files::Source;
use crate::objects;
use crate::output::{Table, View};

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Validated {
    /// The objects that are as their kinds ask for, with the file that each stands in.
    pub objects: Vec<(String, Located<Object>)>,
    /// What is wrong, and what probably is.
    pub faults: Vec<Fault>,
    /// What makes Pods, as it is written: the mesh itself needs none of it.
    pub makers: Vec<Value>,
}

/// Something that is wrong with one object, or probably is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, and the place in it: `policies.yaml:3:5`.
    pub place: String,
    /// The object: `AuthorizationPolicy shop/web`.
    pub object: String,
    /// The field; empty for the object as a whole.
    pub field: String,
    /// Why, one line.
    pub message: String,
    /// The object will be refused; otherwise its author should know.
    pub is_error: bool,
}

/// Reads everything.
#[must_use]
pub fn validate(sources: &[Source]) -> Validated {
    let mut found = Validated::default();
    for source in sources {
        for result in parse(&source.text) {
            match result {
                Ok(object) => found.take(&source.name, object),
                Err(error) => found.faults.push(Fault::of(&source.name, &error, true)),
            }
        }
        if MAKERS.iter().any(|kind| source.text.contains(kind)) {
            // What is no YAML was told above.
            let written = objects::read(&source.text).unwrap_or_default();
            found.makers.extend(written.into_iter().filter(is_maker));
        }
    }
    found
}

/// Whether this makes Pods.
#[must_use]
pub fn is_maker(object: &Value) -> bool {
    object["apiVersion"] == "apps/v1" && MAKERS.iter().any(|kind| object["kind"] == *kind)
}

const MAKERS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

impl Validated {
    /// These and, of the others, those that are not among these.
    #[must_use]
    pub fn over(mut self, others: Self) -> Self {
        let named: BTreeSet<String> = self
            .objects
            .iter()
            .map(|(_, object)| object.value.reference().to_string())
            .collect();
        let others_objects = others.objects.into_iter();
        self.objects.extend(
            others_objects.filter(|(_, object)| !named.contains(&object.value.reference().to_string())),
        );
        let known: BTreeSet<String> = self.makers.iter().map(objects::shown).collect();
        let others_makers = others.makers.into_iter();
        self.makers
            .extend(others_makers.filter(|maker| !known.contains(&objects::shown(maker))));
        let others_faults = others.faults.into_iter();
        self.faults
            .extend(others_faults.filter(|fault| !named.contains(&fault.object)));
        self
    }

    /// Whether nothing was said at all, not even wrongly: whoever wrote such a file meant something else.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.faults.is_empty()
    }

    /// Whether some object will be refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.faults.iter().any(|fault| fault.is_error)
    }

    /// For people and programs.
    #[must_use]
    pub fn view(&self) -> View {
        let mut table = Table::new(["LEVEL", "PLACE", "OBJECT", "FIELD", "MESSAGE"]).or(format!(
            "{} objects, nothing is wrong with them",
            self.objects.len()
        ));
        for fault in &self.faults {
            table.row([
                fault.level().to_owned(),
                fault.place.clone(),
                fault.object.clone(),
                or_dash(&fault.field),
                fault.message.clone(),
            ]);
        }
        let faults = self.faults.iter().map(|fault| {
            json!({
                "level": fault.level(),
                "place": fault.place,
                "object": fault.object,
                "field": fault.field,
                "message": fault.message,
            })
        });
        View {
            table,
            data: json!({ "objects": self.objects.len(), "faults": faults.collect::<Vec<_>>() }),
        }
    }

    fn take(&mut self, file: &str, object: Located<Object>) {
        let warnings = object.warnings.iter();
        self.faults
            .extend(warnings.map(|warning| Fault::of(file, warning, false)));
        if let Object::Ignored(ignored) = &object.value
            && ignored.reason != IgnoredReason::NotNeeded
        {
            self.faults.push(Fault {
                place: format!("{file}:{}", object.at),
                object: ignored.object.to_string(),
                field: String::new(),
                message: ignored.reason.to_string(),
                is_error: false,
            });
        }
        self.objects.push((file.to_owned(), object));
    }
}

impl Fault {
    pub(crate) fn of(file: &str, error: &ParseError, is_error: bool) -> Self {
        Self {
            place: format!("{file}:{}", error.at),
            object: error.object.as_ref().map(ToString::to_string).unwrap_or_default(),
            field: error.field.to_string(),
            message: error.reason.to_string(),
            is_error,
        }
    }

    fn level(&self) -> &'static str {
        if self.is_error { "error" } else { "warning" }
    }
}

pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

#[cfg(test)]
mod tests;
