//! A finished span, with Envoy's and Istio's tags (Envoy, "Tracing", "What data each trace contains"; Istio, "Telemetry",
//! the tags `istio.*`).

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use mesh_model::l7::telemetry::{TraceTag, Tracing};
use mesh_types::Strng;

use super::SpanContext;
use crate::Needs;
use crate::attributes::HeaderSet;
use crate::format::{InvalidFormat, Template};
use crate::record::{End, Record};

/// A span to report.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Which one it is, and whose child.
    pub context: SpanContext,
    /// What was done: `host:port/*`.
    pub name: Strng,
    /// When it began.
    pub start: SystemTime,
    /// How long it took.
    pub duration: Duration,
    /// Whether it failed.
    pub error: bool,
    /// What else is told.
    pub tags: Vec<(Cow<'static, str>, String)>,
}

/// What is traced, compiled.
#[derive(Clone, Debug)]
pub struct Tracer {
    tracing: Tracing,
    tags: Vec<(Strng, Tag)>,
}

#[derive(Clone, Debug)]
enum Tag {
    Constant(Strng),
    Header(Strng, Strng),
    Formatted(Template),
}

/// Who this proxy is, for tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reporter {
    /// Its node id: `waypoint~ip~pod.namespace~namespace.svc.domain`.
    pub node: Strng,
    /// The canonical service of the waypoint itself.
    pub canonical_service: Strng,
    /// Its revision.
    pub canonical_revision: Strng,
    /// Its namespace.
    pub namespace: Strng,
    /// Its cluster.
    pub cluster: Strng,
    /// The mesh.
    pub mesh: Strng,
}

impl Reporter {
    /// What collectors know it by, as Istio names a proxy: `{canonical service}.{namespace}`.
    #[must_use]
    pub fn service_name(&self) -> String {
        format!("{}.{}", self.canonical_service, self.namespace)
    }
}

impl Tracer {
    /// Compiles what the configuration says; `environment` looks variables up.
    ///
    /// # Errors
    /// Names the tag whose format is none.
    pub fn compile(
        tracing: &Tracing,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, (Strng, InvalidFormat)> {
        let tag = |(name, tag): &(Strng, TraceTag)| {
            let tag = match tag {
                TraceTag::Literal(text) => Tag::Constant(text.clone()),
                TraceTag::Environment(variable, default) => {
                    Tag::Constant(environment(variable).map_or_else(|| default.clone(), Strng::from))
                }
                TraceTag::Header(header, default) => Tag::Header(header.clone(), default.clone()),
                TraceTag::Formatted(text) => {
                    Tag::Formatted(Template::compile(text).map_err(|e| (name.clone(), e))?)
                }
            };
            Ok((name.clone(), tag))
        };
        Ok(Self {
            tags: tracing.tags.iter().map(tag).collect::<Result<_, _>>()?,
            tracing: tracing.clone(),
        })
    }

    /// What the configuration says.
    #[must_use]
    pub fn tracing(&self) -> &Tracing {
        &self.tracing
    }

    /// What it asks for that is not kept otherwise.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let needs = self.tags.iter().map(|(_, tag)| match tag {
            Tag::Constant(_) => Needs::default(),
            Tag::Header(..) => Needs::headers(HeaderSet::Request),
            Tag::Formatted(template) => template.needs(),
        });
        needs.fold(Needs::default(), Needs::and)
    }

    /// Whoever asks says how long a path is: as much as a tag holds of it.
    fn shortened<'p>(&self, path: &'p str) -> &'p str {
        let limit = match self.tracing.path_limit {
            0 => PATH_LIMIT,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        &path[..path.floor_char_boundary(limit)]
    }

    /// The span of a finished request; only what is sampled has one.
    #[must_use]
    pub fn span(&self, record: &Record<'_>, reporter: &Reporter) -> Option<Span> {
        let context = record.trace.filter(|context| context.sampled)?;
        let mut tags = Tags::default();
        if let Some(request) = &record.request {
            tags.put("component", "proxy");
            tags.put("node_id", &*reporter.node);
            tags.some("guid:x-request-id", request.id);
            let path = self.shortened(request.path);
            let url = format!("{}://{}{path}", request.scheme, request.authority);
            tags.put("http.url", url);
            tags.put("http.method", request.method.as_str());
            tags.put("downstream_cluster", "-");
            tags.put("user_agent", request.user_agent.unwrap_or("-"));
            tags.put("http.protocol", record.version().unwrap_or("-"));
            tags.put("peer.address", record.connection.peer.ip().to_string());
            tags.put("request_size", record.received.to_string());
        }
        tags.put("response_size", record.sent.to_string());
        tags.put("response_flags", record.response.flags.to_string());
        if record.request.is_some() {
            tags.put("http.status_code", record.response.code.to_string());
        }
        if let Some(cluster) = record.upstream.cluster {
            tags.put("upstream_cluster", cluster);
            tags.put("upstream_cluster.name", cluster);
        }
        if let Some(address) = record.upstream.address {
            tags.put("upstream_address", address.to_string());
        }
        if let (Some(status), Some(request)) = (record.response.grpc_status, &record.request) {
            tags.put("grpc.path", self.shortened(request.path));
            tags.put("grpc.authority", request.authority);
            tags.put("grpc.status_code", status.to_string());
        }
        let error = record.is_error();
        if error {
            tags.put("error", "true");
        }
        if !self.tracing.no_istio_tags {
            istio(&mut tags, record, reporter);
        }
        for (name, tag) in &self.tags {
            let value = match tag {
                Tag::Constant(text) => text.to_string(),
                Tag::Header(header, default) => {
                    let request = record.request.as_ref();
                    let value = request.and_then(|request| request.header(header));
                    value.map_or_else(|| default.to_string(), Cow::into_owned)
                }
                Tag::Formatted(template) => template.text(record),
            };
            if !value.is_empty() {
                tags.replace(name, value);
            }
        }
        Some(Span {
            context: *context,
            name: operation(record),
            start: record.began,
            duration: record.duration,
            error,
            tags: tags.0,
        })
    }
}

/// Envoy's.
const PATH_LIMIT: usize = 256;

/// What was done, as Istio names it: the service with its port, and everything below.
fn operation(record: &Record<'_>) -> Strng {
    match (record.service, &record.request) {
        (Some(service), _) => {
            let port = record.connection.local.port();
            format!("{}:{port}/*", service.hostname).into()
        }
        (None, Some(request)) => format!("{}/*", request.authority).into(),
        (None, None) => record.connection.local.to_string().into(),
    }
}

fn istio(tags: &mut Tags, record: &Record<'_>, reporter: &Reporter) {
    tags.put("istio.canonical_service", &*reporter.canonical_service);
    tags.put("istio.canonical_revision", &*reporter.canonical_revision);
    tags.put("istio.mesh_id", &*reporter.mesh);
    tags.put("istio.namespace", &*reporter.namespace);
    tags.put("istio.cluster_id", &*reporter.cluster);
    for (names, end) in [(&SOURCE, record.source), (&DESTINATION, record.destination)] {
        for (name, value) in names.iter().zip(values(end)) {
            tags.some(name, value);
        }
    }
}

fn values(end: &End) -> [Option<&str>; 9] {
    [
        end.workload.as_deref(),
        end.namespace.as_deref(),
        end.cluster.as_deref(),
        end.canonical_service.as_deref(),
        end.canonical_revision.as_deref(),
        end.canonical_service.as_deref(),
        end.canonical_revision.as_deref(),
        end.kind_name(),
        end.name.as_deref(),
    ]
}

const SOURCE: [&str; 9] = [
    "istio.source_workload",
    "istio.source_namespace",
    "istio.source_cluster_id",
    "istio.source_canonical_service",
    "istio.source_canonical_revision",
    "istio.source_app",
    "istio.source_app_version",
    "istio.source_workload_type",
    "istio.source_instance_name",
];
const DESTINATION: [&str; 9] = [
    "istio.destination_workload",
    "istio.destination_namespace",
    "istio.destination_cluster_id",
    "istio.destination_canonical_service",
    "istio.destination_canonical_revision",
    "istio.destination_app",
    "istio.destination_app_version",
    "istio.destination_workload_type",
    "istio.destination_instance_name",
];

/// Tags, of which those without a value are left out.
#[derive(Default)]
struct Tags(Vec<(Cow<'static, str>, String)>);

impl Tags {
    fn put(&mut self, name: &'static str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.push((Cow::Borrowed(name), value));
        }
    }

    fn some(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// What a user wants counts before what is usual.
    fn replace(&mut self, name: &Strng, value: String) {
        self.0.retain(|(known, _)| known != name.as_str());
        self.0.push((Cow::Owned(name.to_string()), value));
    }
}
