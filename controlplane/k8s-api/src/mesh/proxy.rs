//! Settings of proxies (Istio reference, "Global Mesh Options", `ProxyConfig`): those that have a meaning here.

use std::collections::BTreeMap;

use mesh_types::Strng;
use serde::Deserialize;

use crate::decode;
use crate::kinds::UnknownFields;
use crate::networking::ClientTls;
use crate::telemetry::CustomTag;
use crate::tree::{Tree, Value};
use crate::value::IstioDuration;

/// Settings of proxies.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultConfig {
    /// Threads; 0 for one on each CPU that may be used.
    pub concurrency: Option<u32>,
    /// Traces.
    pub tracing: Option<MeshTracing>,
    /// Which headers proxies add.
    pub proxy_headers: ProxyHeaders,
    /// Who stands in front of gateways.
    pub gateway_topology: Topology,
    /// How long connections have to end by themselves.
    pub drain_duration: Option<IstioDuration>,
    /// How long they have after the process was told to end.
    pub termination_drain_duration: Option<IstioDuration>,
    /// Limits of connections.
    pub connection_settings: Option<ConnectionSettings>,
    /// Variables that proxies get; read by name.
    pub proxy_metadata: BTreeMap<Strng, Strng>,
}

impl DefaultConfig {
    /// What the annotation `proxy.istio.io/config` says: the same settings, of one proxy. What has no meaning is passed over.
    ///
    /// # Errors
    /// Says what is wrong with the text, with its field.
    pub fn of_annotation(text: &str) -> Result<Self, String> {
        let tree = Tree::parse(text, 0).map_err(|e| e.reason.to_string())?;
        if matches!(tree.value, Value::Null) {
            return Ok(Self::default());
        }
        let spec = decode::decode(&tree, UnknownFields::Warned, &mut Vec::new());
        spec.map_err(|e| format!("{}: {}", e.path, e.reason))
    }
}

/// Traces.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshTracing {
    /// Which share of requests is traced, in per cent.
    pub sampling: Option<f64>,
    /// Further tags of spans.
    pub custom_tags: BTreeMap<Strng, CustomTag>,
    /// The longest path in a tag; 256 where 0.
    pub max_path_tag_length: u32,
    /// TLS towards the collector.
    pub tls_settings: Option<ClientTls>,
    /// Whether spans have the mesh's own tags.
    pub enable_istio_tags: Option<bool>,
}

/// Which headers proxies add.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyHeaders {
    /// What becomes of `x-forwarded-client-cert`.
    pub forwarded_client_cert: ForwardClientCert,
    /// `x-request-id`.
    pub request_id: RequestId,
    /// `server`.
    pub server: ServerHeader,
    /// `x-envoy-attempt-count`.
    pub attempt_count: AttemptCount,
    /// Headers beginning with `x-envoy-`.
    pub envoy_debug_headers: DebugHeaders,
    /// Whether HTTP/1.1 headers keep their letters' case.
    pub preserve_http1_header_case: Option<bool>,
    /// `x-forwarded-host`.
    pub x_forwarded_host: XForwarded,
    /// `x-forwarded-port`.
    pub x_forwarded_port: XForwarded,
}

/// What becomes of `x-forwarded-client-cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ForwardClientCert {
    /// The default of the place.
    #[default]
    Undefined,
    /// It goes.
    Sanitize,
    /// It stays as it is, where the client shows a certificate.
    ForwardOnly,
    /// The client's certificate is added.
    AppendForward,
    /// The client's certificate replaces it.
    SanitizeSet,
    /// It stays as it is.
    AlwaysForwardOnly,
}

/// `x-request-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct RequestId {
    /// Whether it is not added.
    pub disabled: Option<bool>,
}

/// `x-envoy-attempt-count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct AttemptCount {
    /// Whether it is not added.
    pub disabled: Option<bool>,
}

/// Headers beginning with `x-envoy-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct DebugHeaders {
    /// Whether they are not added.
    pub disabled: Option<bool>,
}

/// `server`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ServerHeader {
    /// Whether the service's own is passed on.
    pub disabled: Option<bool>,
    /// What it says; `istio-envoy` where empty.
    pub value: Strng,
}

/// A header that tells what the client asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct XForwarded {
    /// Whether it is added.
    pub enabled: Option<bool>,
}

/// Who stands in front of gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Topology {
    /// How many proxies there are whose `x-forwarded-for` is believed.
    pub num_trusted_proxies: u32,
    /// What becomes of `x-forwarded-client-cert`.
    pub forward_client_cert_details: ForwardClientCert,
}

/// Limits of connections.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionSettings {
    /// Bytes that a connection of a client may hold.
    pub listener_per_connection_buffer_limit_bytes: Option<u32>,
    /// Bytes that a connection to an endpoint may hold.
    pub cluster_per_connection_buffer_limit_bytes: Option<u32>,
    /// A connection without a request for so long ends.
    pub http_idle_timeout: Option<IstioDuration>,
    /// Connections older than this end.
    pub http_max_connection_duration: Option<IstioDuration>,
    /// How long a client has after GOAWAY.
    pub http_drain_timeout: Option<IstioDuration>,
    /// For a whole request to arrive.
    pub http_request_timeout: Option<IstioDuration>,
    /// For its headers to arrive.
    pub http_request_headers_timeout: Option<IstioDuration>,
    /// A stream without a byte for so long ends.
    pub http_stream_idle_timeout: Option<IstioDuration>,
    /// A stream ends after so long.
    pub http_max_stream_duration: Option<IstioDuration>,
    /// Streams at once on one HTTP/2 connection.
    pub http_max_concurrent_streams: Option<u32>,
    /// HTTP/2's window of a stream, in bytes.
    pub http2_initial_stream_window_size: Option<u32>,
    /// HTTP/2's window of a connection, in bytes.
    pub http2_initial_connection_window_size: Option<u32>,
    /// Connections at once on one listener.
    pub listener_connection_limit: Option<u32>,
    /// Connections of clients at once.
    pub global_downstream_connection_limit: Option<u32>,
}
