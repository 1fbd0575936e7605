//! Who may be asked about requests, or told of them (Istio reference, "Global Mesh Options", `ExtensionProvider`).

use std::collections::BTreeMap;

use mesh_types::Strng;
use serde::Deserialize;

use crate::value::IstioDuration;

/// Somebody who may be asked or told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ExtensionProviderFields")]
pub struct ExtensionProvider {
    /// What policies call it.
    pub name: Strng,
    /// Who it is.
    pub kind: ProviderKind,
}

/// Somebody who may be asked or told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// Asked by HTTP whether a request may pass.
    ExtAuthzHttp(ExtAuthzHttpProvider),
    /// Asked by gRPC whether a request may pass.
    ExtAuthzGrpc(ExtAuthzGrpcProvider),
    /// Told spans, in Zipkin's form.
    Zipkin(ZipkinProvider),
    /// Told spans, in OpenTelemetry's form.
    OpenTelemetry(OtelTracingProvider),
    /// Asks for metrics itself.
    Prometheus,
    /// Told requests, in a file.
    FileLog(FileLogProvider),
    /// Told requests, in OpenTelemetry's form.
    OtelLog(OtelLogProvider),
    /// Somebody whom we cannot tell or ask; the field's name.
    Unsupported(&'static str),
}

/// Asked by HTTP whether a request may pass.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthzHttpProvider {
    /// `[<namespace>/]<host name>`.
    pub service: Strng,
    /// Its port.
    pub port: u16,
    /// How long an answer may take; 600 s where absent, as upstream has it.
    pub timeout: Option<IstioDuration>,
    /// What stands before the request's own path.
    pub path_prefix: Strng,
    /// Whether requests pass when there is no answer.
    pub fail_open: bool,
    /// Whether the route is chosen anew after it.
    pub clear_route_cache: bool,
    /// The status when there is no answer; 403 where empty.
    pub status_on_error: Strng,
    /// Request headers that are sent along beside those that always are; a `*` at one end.
    pub include_request_headers_in_check: Vec<Strng>,
    /// As above, under its name of old.
    pub include_headers_in_check: Vec<Strng>,
    /// Headers that are sent with these values.
    pub include_additional_headers_in_check: BTreeMap<Strng, Strng>,
    /// How much of the body is sent along.
    pub include_request_body_in_check: Option<ExtAuthzBody>,
    /// Headers of a good answer that the request gets.
    pub headers_to_upstream_on_allow: Vec<Strng>,
    /// Headers of a bad answer that the client gets.
    pub headers_to_downstream_on_deny: Vec<Strng>,
    /// Headers of a good answer that the client gets.
    pub headers_to_downstream_on_allow: Vec<Strng>,
}

/// Asked by gRPC whether a request may pass (`envoy.service.auth.v3`).
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthzGrpcProvider {
    /// `[<namespace>/]<host name>`.
    pub service: Strng,
    /// Its port.
    pub port: u16,
    /// How long an answer may take; 600 s where absent, as upstream has it.
    pub timeout: Option<IstioDuration>,
    /// Whether requests pass when there is no answer.
    pub fail_open: bool,
    /// Whether the route is chosen anew after it.
    pub clear_route_cache: bool,
    /// The status when there is no answer; 403 where empty.
    pub status_on_error: Strng,
    /// How much of the body is sent along.
    pub include_request_body_in_check: Option<ExtAuthzBody>,
}

/// How much of the body is sent along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExtAuthzBody {
    /// So many bytes at most.
    pub max_request_bytes: u32,
    /// Whether the beginning of a longer one will do; otherwise it is refused with 413.
    pub allow_partial_message: bool,
    /// Whether it goes as bytes, and not as text.
    pub pack_as_bytes: bool,
}

/// Told spans, in Zipkin's form.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ZipkinProvider {
    /// `[<namespace>/]<host name>`.
    pub service: Strng,
    /// Its port.
    pub port: u16,
    /// The path; `/api/v2/spans` where empty.
    pub path: Strng,
    /// The longest path in a tag; 256 where 0.
    pub max_tag_length: u32,
    /// Whether trace ids have 64 bits in place of 128.
    #[serde(rename = "enable64bitTraceId")]
    pub enable_64bit_trace_id: bool,
    /// Which headers carry traces.
    pub trace_context_option: ZipkinPropagation,
    /// How long an answer may take.
    pub timeout: Option<IstioDuration>,
    /// Headers that are sent along.
    pub headers: Vec<ProviderHeader>,
}

/// Which headers carry traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum ZipkinPropagation {
    /// B3's.
    #[default]
    #[serde(rename = "USE_B3")]
    B3,
    /// B3's, and W3C's too.
    #[serde(rename = "USE_B3_WITH_W3C_PROPAGATION")]
    B3AndW3c,
}

/// Told spans, in OpenTelemetry's form: by gRPC, or by HTTP when that is given.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OtelTracingProvider {
    /// `[<namespace>/]<host name>`.
    pub service: Strng,
    /// Its port.
    pub port: u16,
    /// The longest path in a tag; 256 where 0.
    pub max_tag_length: u32,
    /// By HTTP.
    pub http: Option<HttpSettings>,
    /// About gRPC.
    pub grpc: Option<GrpcSettings>,
}

/// How somebody is told by HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct HttpSettings {
    /// The path.
    pub path: Strng,
    /// How long an answer may take.
    pub timeout: Option<IstioDuration>,
    /// Headers that are sent along.
    pub headers: Vec<ProviderHeader>,
}

/// How somebody is told by gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcSettings {
    /// How long an answer may take.
    pub timeout: Option<IstioDuration>,
    /// Headers that are sent along.
    pub initial_metadata: Vec<ProviderHeader>,
}

/// A header that is sent along; its value is given, or is that of a variable of the proxy's environment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderHeader {
    /// Its name.
    pub name: Strng,
    /// Its value.
    #[serde(default)]
    pub value: Option<Strng>,
    /// The variable.
    #[serde(default)]
    pub env_name: Option<Strng>,
}

/// Told requests, in a file.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileLogProvider {
    /// The file; `/dev/stdout` where empty.
    pub path: Strng,
    /// The format; Istio's text where absent.
    pub log_format: Option<LogFormat>,
    /// Whether what is empty is left out.
    pub omit_empty_values: bool,
}

/// The format of a log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// A line of text.
    Text(Strng),
    /// A JSON object; its values have operators.
    Labels(BTreeMap<Strng, Strng>),
}

/// Told requests, in OpenTelemetry's form.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OtelLogProvider {
    /// `[<namespace>/]<host name>`.
    pub service: Strng,
    /// Its port.
    pub port: u16,
    /// What the log is called.
    pub log_name: Strng,
    /// The format.
    pub log_format: OtelLogFormat,
}

/// The format of a log in OpenTelemetry's form.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct OtelLogFormat {
    /// The record's text.
    pub text: Strng,
    /// Its attributes; their values have operators.
    pub labels: BTreeMap<Strng, Strng>,
}

/// A provider that we cannot tell or ask: whatever it says is accepted.
#[derive(Default, Deserialize)]
struct Unsupported {}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExtensionProviderFields {
    name: Strng,
    envoy_ext_authz_http: Option<ExtAuthzHttpProvider>,
    envoy_ext_authz_grpc: Option<ExtAuthzGrpcProvider>,
    zipkin: Option<ZipkinProvider>,
    opentelemetry: Option<OtelTracingProvider>,
    prometheus: Option<Unsupported>,
    envoy_file_access_log: Option<FileLogProvider>,
    envoy_otel_als: Option<OtelLogProvider>,
    lightstep: Option<serde::de::IgnoredAny>,
    datadog: Option<serde::de::IgnoredAny>,
    stackdriver: Option<serde::de::IgnoredAny>,
    opencensus: Option<serde::de::IgnoredAny>,
    skywalking: Option<serde::de::IgnoredAny>,
    envoy_http_als: Option<serde::de::IgnoredAny>,
    envoy_tcp_als: Option<serde::de::IgnoredAny>,
    sds: Option<serde::de::IgnoredAny>,
}

impl TryFrom<ExtensionProviderFields> for ExtensionProvider {
    type Error = String;

    fn try_from(fields: ExtensionProviderFields) -> Result<Self, String> {
        let unsupported = [
            ("lightstep", fields.lightstep.is_some()),
            ("datadog", fields.datadog.is_some()),
            ("stackdriver", fields.stackdriver.is_some()),
            ("opencensus", fields.opencensus.is_some()),
            ("skywalking", fields.skywalking.is_some()),
            ("envoyHttpAls", fields.envoy_http_als.is_some()),
            ("envoyTcpAls", fields.envoy_tcp_als.is_some()),
            ("sds", fields.sds.is_some()),
        ];
        let unsupported = unsupported.into_iter().filter(|(_, there)| *there);
        let kinds = [
            fields.envoy_ext_authz_http.map(ProviderKind::ExtAuthzHttp),
            fields.envoy_ext_authz_grpc.map(ProviderKind::ExtAuthzGrpc),
            fields.zipkin.map(ProviderKind::Zipkin),
            fields.opentelemetry.map(ProviderKind::OpenTelemetry),
            fields.prometheus.map(|_| ProviderKind::Prometheus),
            fields.envoy_file_access_log.map(ProviderKind::FileLog),
            fields.envoy_otel_als.map(ProviderKind::OtelLog),
        ];
        let kinds = kinds.into_iter().flatten();
        let mut kinds = kinds.chain(unsupported.map(|(name, _)| ProviderKind::Unsupported(name)));
        let (Some(kind), None) = (kinds.next(), kinds.next()) else {
            return Err(format!(
                "{:?} needs exactly one kind of provider",
                fields.name.as_str()
            ));
        };
        Ok(Self {
            name: fields.name,
            kind,
        })
    }
}
