//! The mesh's own configuration (Istio reference, "Global Mesh Options"): what has a meaning here, field by field. It is
//! read from a ConfigMap of the root namespace, whose key `mesh` holds it as YAML: `istio`, and `istio-REVISION` for a
//! control plane of another revision than the default. What has no meaning here is told as a warning, as is what does not
//! exist.

mod providers;
mod proxy;

pub use providers::{
    ExtAuthzBody, ExtAuthzGrpcProvider, ExtAuthzHttpProvider, ExtensionProvider, FileLogProvider,
    GrpcSettings, HttpSettings, LogFormat, OtelLogFormat, OtelLogProvider, OtelTracingProvider,
    ProviderHeader, ProviderKind, ZipkinPropagation, ZipkinProvider,
};
pub use proxy::{
    AttemptCount, ConnectionSettings, DebugHeaders, DefaultConfig, ForwardClientCert, MeshTracing,
    ProxyHeaders, RequestId, ServerHeader, Topology, XForwarded,
};

use mesh_types::Strng;
use serde::Deserialize;

use crate::gateway::LabelSelector;
use crate::networking::{ConnectionPool, LocalityLbSetting, OutlierDetection, TcpKeepalive, VsRetry};
use crate::object::Resource;
use crate::value::IstioDuration;

/// The mesh's own configuration.
pub type MeshConfig = Resource<MeshConfigSpec>;

/// Whether one of this name counts for control planes of a revision: a ConfigMap's name says for which it is, as upstream's
/// do; in files it may have any other name, too, and counts for all.
#[must_use]
pub fn is_of_revision(name: &str, revision: &str) -> bool {
    let Some(rest) = name.strip_prefix(CONFIG_MAP) else {
        return true;
    };
    match revision {
        "" | DEFAULT_REVISION => !rest.starts_with('-'),
        other => !rest.is_empty() && rest.strip_prefix('-').is_none_or(|own| own == other),
    }
}

/// Whether a ConfigMap of this name can hold it, for some revision.
pub(crate) fn may_be_config(name: &str) -> bool {
    let rest = name.strip_prefix(CONFIG_MAP);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

const CONFIG_MAP: &str = "istio";
const DEFAULT_REVISION: &str = "default";

/// What a [`MeshConfig`] says. An absent field has the default that is named.
#[derive(Clone, Debug, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MeshConfigSpec {
    /// What identities begin with; `cluster.local` where absent.
    pub trust_domain: Option<Strng>,
    /// What they may begin with as well.
    pub trust_domain_aliases: Vec<Strng>,
    /// Whose policies count everywhere; `istio-system` where absent.
    pub root_namespace: Option<Strng>,
    /// Who else may sign identities.
    pub ca_certificates: Vec<CaCertificates>,
    /// Where access logs go: `/dev/stdout` or a file; nowhere where empty.
    pub access_log_file: Strng,
    /// Their format; Istio's where empty.
    pub access_log_format: Strng,
    /// Whether the format gives text or JSON.
    pub access_log_encoding: AccessLogEncoding,
    /// Whether requests are traced by the default providers; yes where absent.
    pub enable_tracing: Option<bool>,
    /// Who may be asked or told, by name.
    pub extension_providers: Vec<ExtensionProvider>,
    /// Who is, where no Telemetry says.
    pub default_providers: DefaultProviders,
    /// What is tried again, where no route says.
    pub default_http_retry_policy: Option<VsRetry>,
    /// What is done to paths before anything is decided by them.
    pub path_normalization: PathNormalization,
    /// For a connection to come about; 10 s where absent.
    pub connect_timeout: Option<IstioDuration>,
    /// TCP's own liveness check.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// An HBONE connection without a stream for so long ends; Istio's default is 1 h. It has no effect here.
    pub hbone_idle_timeout: Option<IstioDuration>,
    /// How long the client's first bytes are waited for.
    pub protocol_detection_timeout: Option<IstioDuration>,
    /// Which places are preferred, where no DestinationRule says.
    pub locality_lb_setting: Option<LocalityLbSetting>,
    /// What holds for every service, where no DestinationRule says.
    pub default_traffic_policy: DefaultTrafficPolicy,
    /// What becomes of traffic to hosts that nobody knows.
    pub outbound_traffic_policy: OutboundTrafficPolicy,
    /// How often host names are resolved where DNS does not say; 60 s where absent.
    pub dns_refresh_rate: Option<IstioDuration>,
    /// Who sees ServiceEntries.
    pub service_entry_visibility: Option<ServiceEntryVisibility>,
    /// The namespaces that count at all; all where empty.
    pub discovery_selectors: Vec<LabelSelector>,
    /// TLS between proxies.
    #[serde(rename = "meshMTLS")]
    pub mesh_mtls: Option<TlsConfig>,
    /// TLS towards others.
    pub tls_defaults: Option<TlsConfig>,
    /// Settings of proxies.
    pub default_config: DefaultConfig,
}

/// Who else may sign identities.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CaCertificates {
    /// Certificates.
    pub pem: Option<Strng>,
    /// Where a SPIFFE bundle is.
    pub spiffe_bundle_url: Option<Strng>,
    /// Kubernetes signers that they belong to.
    pub cert_signers: Vec<Strng>,
    /// The trust domains whose identities they sign; the mesh's own where empty.
    pub trust_domains: Vec<Strng>,
}

/// Whether a log's format gives text or JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AccessLogEncoding {
    /// Text.
    #[default]
    Text,
    /// JSON.
    Json,
}

/// Who is asked or told, where no Telemetry says; names of [`ExtensionProvider`]s.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultProviders {
    /// Of traces.
    pub tracing: Vec<Strng>,
    /// Of metrics.
    pub metrics: Vec<Strng>,
    /// Of access logs.
    pub access_logging: Vec<Strng>,
}

/// What is done to paths before anything is decided by them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PathNormalization {
    /// How much.
    pub normalization: NormalizationType,
}

/// How much is done to paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NormalizationType {
    /// As `BASE`.
    #[default]
    Default,
    /// Nothing.
    None,
    /// RFC 3986, section 6.
    Base,
    /// Also several slashes become one.
    MergeSlashes,
    /// Also escaped slashes become slashes.
    DecodeAndMergeSlashes,
}

/// What holds for every service, where no DestinationRule says.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultTrafficPolicy {
    /// How many connections and requests there may be.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is left out.
    pub outlier_detection: Option<OutlierDetection>,
}

/// What becomes of traffic to hosts that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct OutboundTrafficPolicy {
    /// What.
    pub mode: OutboundMode,
}

/// What becomes of traffic to hosts that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OutboundMode {
    /// It is refused.
    RegistryOnly,
    /// It passes.
    #[default]
    AllowAny,
    /// It passes, resolved by its host.
    AllowAnyDynamicDns,
}

/// Who sees ServiceEntries: the first policy that fits the entry's namespace says.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntryVisibility {
    /// Where none does.
    pub default_visibility: Visibility,
    /// Whether it is so for sidecars too.
    pub apply_to_sidecars: bool,
    /// In this order.
    pub policies: Vec<VisibilityPolicy>,
}

/// Who sees the ServiceEntries of some namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VisibilityPolicy {
    /// Who.
    pub visibility: Visibility,
    /// Of which: every rule must match.
    pub matching_rules: Vec<VisibilityRule>,
}

/// Of which namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VisibilityRule {
    /// Those with such labels.
    pub namespace_selector: Option<LabelSelector>,
}

/// Who sees a ServiceEntry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Visibility {
    /// As `PUBLIC`.
    #[default]
    VisibilityUnspecified,
    /// Nobody.
    None,
    /// Its own namespace.
    Namespace,
    /// Everybody.
    Public,
}

/// Which TLS.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsConfig {
    /// At least this version.
    pub min_protocol_version: TlsProtocol,
    /// Key exchange groups, by OpenSSL's names.
    pub ecdh_curves: Vec<Strng>,
    /// Cipher suites, by OpenSSL's names.
    pub cipher_suites: Vec<Strng>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum TlsProtocol {
    /// The default.
    #[default]
    #[serde(rename = "TLS_AUTO")]
    Auto,
    /// 1.2.
    #[serde(rename = "TLSV1_2")]
    V12,
    /// 1.3.
    #[serde(rename = "TLSV1_3")]
    V13,
}

#[cfg(test)]
mod tests;
