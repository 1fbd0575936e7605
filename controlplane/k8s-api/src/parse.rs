//! A YAML file's text to objects or errors, document by document: one broken object never hides its neighbours.

use mesh_types::Strng;
use serde::de::DeserializeOwned;

use crate::core::{Namespace, Node, Pod};
use crate::decode::{self, DecodeError, nearest};
use crate::error::{FieldPath, ParseError, Position, Reason};
use crate::object::{IgnoredObject, IgnoredReason, Kind, Located, Metadata, Object, ObjectRef};
use crate::security::{AuthorizationPolicy, PeerAuthentication};
use crate::service::{EndpointSlice, Service};
use crate::tree::{Tree, Value};
use crate::validate::{self, Violation};

/// Reads every object of a file: YAML documents divided by `---`, each an object or a `List` of objects. An object
/// with several faults gives several errors; JSON is YAML too.
#[must_use]
pub fn parse(text: &str) -> Vec<Result<Located<Object>, ParseError>> {
    let mut results = Vec::new();
    for (first_line, document) in documents(text) {
        match Tree::parse(document, first_line) {
            Ok(tree) if matches!(tree.value, Value::Null) => {}
            Ok(tree) => parse_tree(&tree, &mut results),
            Err(e) => results.push(Err(ParseError {
                at: e.at,
                object: None,
                field: e.field,
                reason: e.reason,
            })),
        }
    }
    results
}

/// The documents of a file with the lines that they begin in. `---` and `...` at a line's start are borders even inside
/// a block scalar (YAML 1.2.2, section 9.1.2, `c-forbidden`), so dividing the text here is exact.
fn documents(text: &str) -> impl Iterator<Item = (u64, &str)> {
    let mut starts = vec![(1, 0)];
    let mut offset = 0;
    // Directives (`%YAML`) belong to the document behind the border that follows them.
    let mut directives = false;
    for (line, content) in (1..).zip(text.split_inclusive('\n')) {
        let begins = is_border(content, "---");
        if begins && offset > 0 && !directives {
            starts.push((line, offset));
        }
        directives = !begins && (content.starts_with('%') || (directives && is_blank(content)));
        offset += content.len();
        if is_border(content, "...") {
            starts.push((line + 1, offset));
        }
    }
    let ends: Vec<usize> = starts.iter().skip(1).map(|s| s.1).chain([text.len()]).collect();
    starts
        .into_iter()
        .zip(ends)
        .map(|((line, from), to)| (line, &text[from..to]))
}

fn is_border(line: &str, mark: &str) -> bool {
    let rest = line.strip_prefix(mark);
    rest.is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with([' ', '\t']))
}

fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

fn parse_tree(tree: &Tree, results: &mut Vec<Result<Located<Object>, ParseError>>) {
    if tree.text("kind") == Some("List") && tree.text("apiVersion") == Some("v1") {
        if let Some(Value::List(items)) = tree.field("items").map(|t| &t.value) {
            items.iter().for_each(|item| parse_object(item, results));
        }
        return;
    }
    parse_object(tree, results);
}

fn parse_object(tree: &Tree, results: &mut Vec<Result<Located<Object>, ParseError>>) {
    let (object, violations) = match Envelope::read(tree).and_then(|e| Ok((e.decode()?, e))) {
        Ok((object, envelope)) => {
            let violations = validate::object(&object);
            if violations.is_empty() {
                results.push(Ok(Located {
                    at: tree.at,
                    value: object,
                }));
                return;
            }
            (Box::new(envelope.reference()), violations)
        }
        Err(e) => return results.push(Err(*e)),
    };
    results.extend(violations.into_iter().map(|Violation { field, reason }| {
        Err(ParseError {
            at: tree.position_of(&field),
            object: Some(object.clone()),
            field,
            reason: Reason::Invalid(reason),
        })
    }));
}

/// What tells an object's kind and name, read first: every later error can then name the object.
struct Envelope<'a> {
    tree: &'a Tree,
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata,
}

/// What an `apiVersion` and `kind` stand for.
enum Known {
    Kind(Kind),
    Ignored(IgnoredReason),
}

impl<'a> Envelope<'a> {
    fn read(tree: &'a Tree) -> Result<Self, Box<ParseError>> {
        let fault = |at: Position, field: &str, reason| {
            Box::new(ParseError {
                at,
                object: Some(Box::new(named(tree))),
                field: if field.is_empty() {
                    FieldPath::default()
                } else {
                    FieldPath::from(field)
                },
                reason,
            })
        };
        if !matches!(tree.value, Value::Map(_)) {
            let expected = "an object with apiVersion, kind and metadata".to_owned();
            let found = "something else".to_owned();
            return Err(fault(tree.at, "", Reason::WrongType { found, expected }));
        }
        let (Some(api_version), Some(kind)) = (tree.text("apiVersion"), tree.text("kind")) else {
            let field = if tree.text("kind").is_some() {
                "apiVersion"
            } else {
                "kind"
            };
            return Err(fault(tree.at, field, Reason::Missing));
        };
        let Some(metadata) = tree.field("metadata") else {
            return Err(fault(tree.at, "metadata", Reason::Missing));
        };
        let metadata: Metadata = decode::lenient(metadata).map_err(|mut e| {
            e.path
                .prepend(crate::error::Segment::Field("metadata".to_owned()));
            let at = e.at.unwrap_or(tree.at);
            Box::new(ParseError {
                field: e.path,
                ..*fault(at, "", e.reason)
            })
        })?;
        Ok(Self {
            tree,
            api_version,
            kind,
            metadata,
        })
    }

    fn decode(&self) -> Result<Object, Box<ParseError>> {
        let kind =
            match known(self.api_version, self.kind).map_err(|(field, reason)| self.fault(field, reason))? {
                Known::Kind(kind) => kind,
                Known::Ignored(reason) => {
                    return Ok(Object::Ignored(IgnoredObject {
                        object: self.reference(),
                        api_version: self.api_version.into(),
                        reason,
                    }));
                }
            };
        let metadata = self.metadata_of(kind);
        Ok(match kind {
            Kind::Namespace => Object::Namespace(Namespace { metadata }),
            Kind::Node => Object::Node(Node { metadata }),
            Kind::Pod => Object::Pod(Pod {
                metadata,
                spec: self.part("spec")?,
                status: self.part("status")?,
            }),
            Kind::Service => Object::Service(Service {
                metadata,
                spec: self.part("spec")?,
            }),
            Kind::EndpointSlice => Object::EndpointSlice(EndpointSlice {
                metadata,
                spec: decode::lenient(self.tree).map_err(|e| self.located(e, None))?,
            }),
            Kind::AuthorizationPolicy => Object::AuthorizationPolicy(AuthorizationPolicy {
                metadata,
                spec: self.strict_part("spec")?,
            }),
            Kind::PeerAuthentication => Object::PeerAuthentication(PeerAuthentication {
                metadata,
                spec: self.strict_part("spec")?,
            }),
        })
    }

    /// A core kind's `spec` or `status`: what it does not know, it ignores.
    fn part<T: DeserializeOwned + Default>(&self, name: &'static str) -> Result<T, Box<ParseError>> {
        match self.tree.field(name) {
            Some(tree) => decode::lenient(tree).map_err(|e| self.located(e, Some(name))),
            None => Ok(T::default()),
        }
    }

    /// A policy's `spec`; beside it nothing unknown may stand (a `spce` must not leave a policy empty).
    fn strict_part<T: DeserializeOwned + Default>(&self, name: &'static str) -> Result<T, Box<ParseError>> {
        let Value::Map(entries) = &self.tree.value else {
            return Ok(T::default());
        };
        if let Some(entry) = entries.iter().find(|e| !TOP_LEVEL.contains(&e.key.as_str())) {
            return Err(Box::new(ParseError {
                at: entry.key_at,
                object: Some(Box::new(self.reference())),
                field: FieldPath::default().field(&entry.key),
                reason: Reason::UnknownField {
                    nearest: nearest(&entry.key, &TOP_LEVEL),
                },
            }));
        }
        match self.tree.field(name) {
            Some(tree) => decode::strict(tree).map_err(|e| self.located(e, Some(name))),
            None => Ok(T::default()),
        }
    }

    fn metadata_of(&self, kind: Kind) -> Metadata {
        let mut metadata = self.metadata.clone();
        if !kind.is_namespaced() {
            metadata.namespace = Strng::default();
        } else if metadata.namespace.is_empty() {
            metadata.namespace = Strng::from(DEFAULT_NAMESPACE);
        }
        metadata
    }

    fn reference(&self) -> ObjectRef {
        let namespace = match known(self.api_version, self.kind) {
            Ok(Known::Kind(kind)) => self.metadata_of(kind).namespace,
            _ => self.metadata.namespace.clone(),
        };
        ObjectRef {
            kind: self.kind.into(),
            namespace,
            name: self.metadata.name.clone(),
        }
    }

    fn fault(&self, field: &'static str, reason: Reason) -> Box<ParseError> {
        let field = FieldPath::from(field);
        Box::new(ParseError {
            at: self.tree.position_of(&field),
            object: Some(Box::new(self.reference())),
            field,
            reason,
        })
    }

    fn located(&self, mut e: DecodeError, part: Option<&'static str>) -> Box<ParseError> {
        if let Some(part) = part {
            e.path.prepend(crate::error::Segment::Field(part.to_owned()));
        }
        Box::new(ParseError {
            at: e.at.unwrap_or_else(|| self.tree.position_of(&e.path)),
            object: Some(Box::new(self.reference())),
            field: e.path,
            reason: e.reason,
        })
    }
}

/// The object as far as it names itself, however broken the rest.
fn named(tree: &Tree) -> ObjectRef {
    let metadata = tree.field("metadata");
    let text = |name| Strng::from(metadata.and_then(|m| m.text(name)).unwrap_or_default());
    let mut object = ObjectRef {
        namespace: text("namespace"),
        name: text("name"),
        ..ObjectRef::default()
    };
    if let Some(kind) = tree.text("kind") {
        object.kind = kind.into();
    }
    object
}

/// What an `apiVersion` and `kind` stand for. Groups that are not ours are none of our business; in ours, a kind that
/// does not exist is a misspelling.
fn known(api_version: &str, kind: &str) -> Result<Known, (&'static str, Reason)> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let (versions, kinds, others): (&[&str], &[Kind], Others) = match group {
        "" => (
            &["v1"],
            &[Kind::Namespace, Kind::Node, Kind::Pod, Kind::Service],
            Others::Listed(&CORE_UNUSED),
        ),
        "discovery.k8s.io" => (&["v1"], &[Kind::EndpointSlice], Others::Listed(&[])),
        "security.istio.io" => (
            &["v1", "v1beta1"],
            &[Kind::AuthorizationPolicy, Kind::PeerAuthentication],
            Others::Unsupported(&["RequestAuthentication"]),
        ),
        _ if UNSUPPORTED_GROUPS.contains(&group) => {
            return Ok(Known::Ignored(IgnoredReason::UnsupportedKind));
        }
        _ => return Ok(Known::Ignored(IgnoredReason::NotNeeded)),
    };
    if !versions.contains(&version) {
        return Err((
            "apiVersion",
            unknown_value(api_version, versions.iter().map(|v| join(group, v)).collect()),
        ));
    }
    if let Some(kind) = kinds.iter().find(|k| k.as_str() == kind) {
        return Ok(Known::Kind(*kind));
    }
    match others {
        Others::Listed(list) if list.contains(&kind) => Ok(Known::Ignored(IgnoredReason::NotNeeded)),
        Others::Unsupported(list) if list.contains(&kind) => {
            Ok(Known::Ignored(IgnoredReason::UnsupportedKind))
        }
        Others::Listed(list) | Others::Unsupported(list) => {
            let names = kinds.iter().map(|k| k.as_str()).chain(list.iter().copied());
            Err(("kind", unknown_value(kind, names.map(str::to_owned).collect())))
        }
    }
}

/// The kinds of a group that are not read.
enum Others {
    Listed(&'static [&'static str]),
    Unsupported(&'static [&'static str]),
}

fn join(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

fn unknown_value(found: &str, known: Vec<String>) -> Reason {
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    Reason::UnknownValue {
        found: found.to_owned(),
        nearest: nearest(found, &names),
        known,
    }
}

const TOP_LEVEL: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
/// What kubectl uses where a namespaced object names no namespace.
const DEFAULT_NAMESPACE: &str = "default";
/// Groups that configure a mesh, but not this one yet.
const UNSUPPORTED_GROUPS: [&str; 4] = [
    "networking.istio.io",
    "telemetry.istio.io",
    "extensions.istio.io",
    "gateway.networking.k8s.io",
];
/// Core kinds that a mesh does not need.
const CORE_UNUSED: [&str; 14] = [
    "Binding",
    "ComponentStatus",
    "ConfigMap",
    "Endpoints",
    "Event",
    "LimitRange",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "PodTemplate",
    "ReplicationController",
    "ResourceQuota",
    "Secret",
    "ServiceAccount",
    "Status",
];

#[cfg(test)]
mod tests;
