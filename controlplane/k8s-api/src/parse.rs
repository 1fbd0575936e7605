//! A YAML file's text to objects or errors, document by document: one broken object never hides its neighbours.

use mesh_types::Strng;
use serde::de::DeserializeOwned;

use crate::core::{ConfigMap, ConfigMapFields, Namespace, Node, Pod, Secret, ServiceAccount};
use crate::decode::{self, DecodeError, nearest};
use crate::error::{FieldPath, ParseError, Position, Reason, Segment};
use crate::kinds::{Known, UnknownFields, known};
use crate::mesh::MeshConfigSpec;
use crate::object::{IgnoredObject, Kind, Located, Metadata, Object, ObjectRef, Resource};
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

pub(crate) fn parse_object(tree: &Tree, results: &mut Vec<Result<Located<Object>, ParseError>>) {
    let mut envelope = match Envelope::read(tree) {
        Ok(envelope) => envelope,
        Err(e) => return results.push(Err(*e)),
    };
    let object = match envelope.decode() {
        Ok(object) => object,
        Err(e) => return results.push(Err(*e)),
    };
    let findings = validate::object(&object);
    if findings.violations.is_empty() {
        let mut warnings = std::mem::take(&mut envelope.warnings);
        warnings.extend(findings.warnings.into_iter().map(|v| envelope.violation(v)));
        warnings.sort_by_key(|w| w.at);
        return results.push(Ok(Located {
            at: tree.at,
            value: object,
            warnings,
        }));
    }
    let violations = findings.violations.into_iter();
    results.extend(violations.map(|v| Err(envelope.violation(v))));
}

/// What tells an object's kind and name, read first: every later error can then name the object.
struct Envelope<'a> {
    tree: &'a Tree,
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata,
    /// What was found while decoding, and is no error.
    warnings: Vec<ParseError>,
    /// The `spec`, where it is a text inside the object.
    inner: Option<Inner>,
}

/// A `spec` that is a text inside the object.
struct Inner {
    field: FieldPath,
    tree: Tree,
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
            e.path.prepend(Segment::Field("metadata".to_owned()));
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
            warnings: Vec::new(),
            inner: None,
        })
    }

    fn decode(&mut self) -> Result<Object, Box<ParseError>> {
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
        self.check_top_level(kind)?;
        let metadata = self.metadata_of(kind);
        Ok(match kind {
            Kind::Namespace => Object::Namespace(Namespace { metadata }),
            Kind::Node => Object::Node(Node {
                metadata,
                spec: self.spec(kind)?,
            }),
            Kind::Pod => Object::Pod(Pod {
                metadata,
                spec: self.spec(kind)?,
                status: self.status()?,
            }),
            Kind::Service => Object::Service(Service {
                metadata,
                spec: self.spec(kind)?,
                status: self.status()?,
            }),
            Kind::ServiceAccount => Object::ServiceAccount(ServiceAccount { metadata }),
            Kind::ConfigMap => return self.config_map(metadata),
            Kind::Secret => Object::Secret(Secret {
                metadata,
                content: decode::lenient(self.tree).map_err(|e| self.located(e, None))?,
            }),
            Kind::EndpointSlice => Object::EndpointSlice(EndpointSlice {
                metadata,
                spec: decode::lenient(self.tree).map_err(|e| self.located(e, None))?,
            }),
            Kind::GatewayClass => Object::GatewayClass(self.resource(kind)?),
            Kind::Gateway => Object::Gateway(self.resource_with_status(kind)?),
            Kind::HttpRoute => Object::HttpRoute(self.resource(kind)?),
            Kind::GrpcRoute => Object::GrpcRoute(self.resource(kind)?),
            Kind::TlsRoute => Object::TlsRoute(self.resource(kind)?),
            Kind::TcpRoute => Object::TcpRoute(self.resource(kind)?),
            Kind::ReferenceGrant => Object::ReferenceGrant(self.resource(kind)?),
            Kind::BackendTlsPolicy => Object::BackendTlsPolicy(self.resource(kind)?),
            Kind::ServiceEntry => Object::ServiceEntry(self.resource_with_status(kind)?),
            Kind::WorkloadEntry => Object::WorkloadEntry(self.resource(kind)?),
            Kind::WorkloadGroup => Object::WorkloadGroup(self.resource(kind)?),
            Kind::DestinationRule => Object::DestinationRule(self.resource(kind)?),
            Kind::VirtualService => Object::VirtualService(self.resource(kind)?),
            Kind::ProxyConfig => Object::ProxyConfig(self.resource(kind)?),
            Kind::RequestAuthentication => Object::RequestAuthentication(self.resource(kind)?),
            Kind::Telemetry => Object::Telemetry(self.resource(kind)?),
            Kind::RateLimitPolicy => Object::RateLimitPolicy(self.resource(kind)?),
            Kind::HealthCheckPolicy => Object::HealthCheckPolicy(self.required(kind)?),
            Kind::SessionPolicy => Object::SessionPolicy(self.required(kind)?),
            Kind::FaultFilter => Object::FaultFilter(self.resource(kind)?),
            Kind::ExternalProcessorFilter => Object::ExternalProcessorFilter(self.required(kind)?),
            Kind::MeshConfig => Object::MeshConfig(Box::new(self.resource(kind)?)),
            Kind::AuthorizationPolicy => Object::AuthorizationPolicy(AuthorizationPolicy {
                metadata,
                spec: self.spec(kind)?,
            }),
            Kind::PeerAuthentication => Object::PeerAuthentication(PeerAuthentication {
                metadata,
                spec: self.spec(kind)?,
            }),
        })
    }

    /// A ConfigMap; one that holds the mesh's configuration, of whatever revision, is that.
    fn config_map(&mut self, metadata: Metadata) -> Result<Object, Box<ParseError>> {
        let fields: ConfigMapFields = decode::lenient(self.tree).map_err(|e| self.located(e, None))?;
        if crate::mesh::may_be_config(&metadata.name)
            && let Some(mesh) = self.tree.field("data").and_then(|d| d.field(MESH_CONFIG_KEY))
            && let Value::String(text) = &mesh.value
        {
            let spec = self.mesh_config(text, mesh.at)?;
            return Ok(Object::MeshConfig(Box::new(Resource {
                metadata,
                spec,
                status: (),
            })));
        }
        Ok(Object::ConfigMap(ConfigMap {
            metadata,
            data: fields.data,
        }))
    }

    /// The mesh's configuration, a YAML text inside the object's. `at` is where that text begins.
    fn mesh_config(&mut self, text: &str, at: Position) -> Result<MeshConfigSpec, Box<ParseError>> {
        let whole = FieldPath::from("data").field(MESH_CONFIG_KEY);
        let tree = Tree::parse(text, at.line)
            .map_err(|e| Box::new(self.error(e.at, whole.join(&e.field), e.reason)))?;
        if matches!(tree.value, Value::Null) {
            return Ok(MeshConfigSpec::default());
        }
        let mut warnings = Vec::new();
        let spec = decode::decode(&tree, UnknownFields::Warned, &mut warnings);
        for warning in warnings {
            let warning = self.error(warning.at, whole.join(&warning.path), warning.reason);
            self.warnings.push(warning);
        }
        let spec =
            spec.map_err(|e| Box::new(self.error(e.at.unwrap_or(at), whole.join(&e.path), e.reason)))?;
        self.inner = Some(Inner { field: whole, tree });
        Ok(spec)
    }

    fn resource<S: DeserializeOwned + Default>(
        &mut self,
        kind: Kind,
    ) -> Result<Resource<S>, Box<ParseError>> {
        Ok(Resource {
            metadata: self.metadata_of(kind),
            spec: self.spec(kind)?,
            status: (),
        })
    }

    /// A kind that says nothing without its `spec`, whose default would be something that nobody wrote.
    fn required<S: DeserializeOwned + Default>(
        &mut self,
        kind: Kind,
    ) -> Result<Resource<S>, Box<ParseError>> {
        match self.tree.field("spec") {
            Some(_) => self.resource(kind),
            None => Err(self.fault("spec", Reason::Missing)),
        }
    }

    fn resource_with_status<S, T>(&mut self, kind: Kind) -> Result<Resource<S, T>, Box<ParseError>>
    where
        S: DeserializeOwned + Default,
        T: DeserializeOwned + Default,
    {
        Ok(Resource {
            metadata: self.metadata_of(kind),
            spec: self.spec(kind)?,
            status: self.status()?,
        })
    }

    fn spec<T: DeserializeOwned + Default>(&mut self, kind: Kind) -> Result<T, Box<ParseError>> {
        let Some(tree) = self.tree.field_or_null("spec") else {
            return Ok(T::default());
        };
        let rules = kind.unknown_fields();
        if matches!(tree.value, Value::Null) && rules != UnknownFields::Refused {
            return Ok(T::default());
        }
        let mut warnings = Vec::new();
        let spec = decode::decode(tree, rules, &mut warnings).map_err(|e| self.located(e, Some("spec")));
        for mut warning in warnings {
            warning.path.prepend(Segment::Field("spec".to_owned()));
            let warning = self.error(warning.at, warning.path, warning.reason);
            self.warnings.push(warning);
        }
        spec
    }

    /// Written by controllers of all versions: what it does not know, it ignores.
    fn status<T: DeserializeOwned + Default>(&self) -> Result<T, Box<ParseError>> {
        match self.tree.field("status") {
            Some(tree) => decode::lenient(tree).map_err(|e| self.located(e, Some("status"))),
            None => Ok(T::default()),
        }
    }

    /// Beside a policy's `spec` nothing unknown may stand: a `spce` must not leave a policy empty.
    fn check_top_level(&mut self, kind: Kind) -> Result<(), Box<ParseError>> {
        let (Value::Map(entries), rules) = (&self.tree.value, kind.unknown_fields()) else {
            return Ok(());
        };
        for entry in entries.iter().filter(|e| !TOP_LEVEL.contains(&e.key.as_str())) {
            let reason = Reason::UnknownField {
                nearest: nearest(&entry.key, &TOP_LEVEL),
            };
            let error = self.error(entry.key_at, FieldPath::default().field(&entry.key), reason);
            match rules {
                UnknownFields::Tolerated => {}
                UnknownFields::Warned => self.warnings.push(error),
                UnknownFields::Refused => return Err(Box::new(error)),
            }
        }
        Ok(())
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

    fn error(&self, at: Position, field: FieldPath, reason: Reason) -> ParseError {
        ParseError {
            at,
            object: Some(Box::new(self.reference())),
            field,
            reason,
        }
    }

    fn violation(&self, Violation { field, reason }: Violation) -> ParseError {
        let reason = Reason::Invalid(reason);
        match (&self.inner, field.inside("spec")) {
            (Some(inner), Some(path)) => {
                let at = inner.tree.position_of(&path);
                self.error(at, inner.field.join(&path), reason)
            }
            _ => self.error(self.tree.position_of(&field), field, reason),
        }
    }

    fn fault(&self, field: &'static str, reason: Reason) -> Box<ParseError> {
        let field = FieldPath::from(field);
        Box::new(self.error(self.tree.position_of(&field), field, reason))
    }

    fn located(&self, mut e: DecodeError, part: Option<&'static str>) -> Box<ParseError> {
        if let Some(part) = part {
            e.path.prepend(Segment::Field(part.to_owned()));
        }
        let at = e.at.unwrap_or_else(|| self.tree.position_of(&e.path));
        Box::new(self.error(at, e.path, e.reason))
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

const TOP_LEVEL: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
/// Where Istio keeps the mesh's configuration.
const MESH_CONFIG_KEY: &str = "mesh";
/// What kubectl uses where a namespaced object names no namespace.
const DEFAULT_NAMESPACE: &str = "default";

#[cfg(test)]
mod tests;
