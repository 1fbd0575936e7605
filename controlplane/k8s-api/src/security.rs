//! Istio's policy kinds, whole: a field that is not here is an error (`security.istio.io/v1`, Istio reference pages
//! "Authorization Policy" and "PeerAuthentication").

mod condition_key;
mod request_authentication;

use std::collections::BTreeMap;

use mesh_types::Strng;
use serde::{Deserialize, Deserializer};

use crate::object::{Labels, Metadata};
pub use condition_key::ConditionKey;
pub(crate) use condition_key::PLAIN as PLAIN_CONDITION_KEYS;
pub use request_authentication::{
    ClaimToHeader, JwtHeader, JwtKeys, JwtRule, RequestAuthentication, RequestAuthenticationSpec,
};

/// Who may reach a workload.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AuthorizationPolicy {
    /// Metadata.
    pub metadata: Metadata,
    /// The policy.
    pub spec: AuthorizationPolicySpec,
}

/// The policy of an [`AuthorizationPolicy`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct AuthorizationPolicySpec {
    /// The Pods it is for; absent means the whole namespace.
    pub selector: Option<WorkloadSelector>,
    /// The waypoint, Service or Gateway it is for.
    pub target_ref: Option<TargetRef>,
    /// Several of them.
    #[serde(deserialize_with = "filled")]
    pub target_refs: Vec<TargetRef>,
    /// What a match means.
    pub action: Action,
    /// Who decides, when the action is `CUSTOM`.
    pub provider: Option<Provider>,
    /// Any rule may match; none at all means that nothing does.
    pub rules: Vec<Rule>,
}

/// Labels that a Pod must have; `matchLabels` only, unlike Kubernetes' own.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct WorkloadSelector {
    /// The labels.
    pub match_labels: Labels,
}

/// An object that a policy is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TargetRef {
    /// The API group; empty for the core group.
    #[serde(default)]
    pub group: Strng,
    /// The kind.
    pub kind: Strng,
    /// The name.
    pub name: Strng,
    /// Only the policy's own namespace is allowed.
    #[serde(default)]
    pub namespace: Option<Strng>,
}

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// The request passes, if no policy denies it.
    #[default]
    Allow,
    /// The request is refused.
    Deny,
    /// The request is noted.
    Audit,
    /// A provider decides.
    Custom,
}

/// Who decides.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The name in the mesh's configuration.
    pub name: Strng,
}

/// Sources, operations and conditions: one of each, and every condition, must match.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Where it comes from; empty means from anywhere.
    #[serde(deserialize_with = "filled")]
    pub from: Vec<From>,
    /// What it does; empty means anything.
    #[serde(deserialize_with = "filled")]
    pub to: Vec<To>,
    /// Further conditions.
    #[serde(deserialize_with = "filled")]
    pub when: Vec<Condition>,
    /// Nobody knows what it says: it matches nobody where a match lets in, and everybody where a match keeps out.
    #[serde(skip)]
    pub unreadable: bool,
}

/// One item of `from`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// The source.
    pub source: Source,
}

/// One item of `to`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct To {
    /// The operation.
    pub operation: Operation,
}

/// Where a request comes from: every field that is there must match, with any of its values.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Source {
    /// Identities without `spiffe://`.
    #[serde(deserialize_with = "filled")]
    pub principals: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_principals: Vec<Strng>,
    /// Identities of JSON web tokens.
    #[serde(deserialize_with = "filled")]
    pub request_principals: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_request_principals: Vec<Strng>,
    /// Namespaces of the identity.
    #[serde(deserialize_with = "filled")]
    pub namespaces: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_namespaces: Vec<Strng>,
    /// Service accounts, `<namespace>/<name>` or `<name>`.
    #[serde(deserialize_with = "filled")]
    pub service_accounts: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_service_accounts: Vec<Strng>,
    /// Trust domains of the identity.
    #[serde(deserialize_with = "filled")]
    pub trust_domains: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_trust_domains: Vec<Strng>,
    /// Addresses and ranges of the connection's source.
    #[serde(deserialize_with = "filled")]
    pub ip_blocks: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_ip_blocks: Vec<Strng>,
    /// Addresses and ranges of the original client, as trusted headers tell.
    #[serde(deserialize_with = "filled")]
    pub remote_ip_blocks: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_remote_ip_blocks: Vec<Strng>,
}

/// What a request does: every field that is there must match, with any of its values.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Operation {
    /// Host names.
    #[serde(deserialize_with = "filled")]
    pub hosts: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_hosts: Vec<Strng>,
    /// Ports, as text.
    #[serde(deserialize_with = "filled")]
    pub ports: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_ports: Vec<Strng>,
    /// HTTP methods.
    #[serde(deserialize_with = "filled")]
    pub methods: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_methods: Vec<Strng>,
    /// HTTP paths: a text with a `*` at one end, or a template with the segments `{*}` and `{**}`.
    #[serde(deserialize_with = "filled")]
    pub paths: Vec<Strng>,
    /// None of these.
    #[serde(deserialize_with = "filled")]
    pub not_paths: Vec<Strng>,
}

/// A further condition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// The attribute; [`ConditionKey::parse`] reads it.
    pub key: Strng,
    /// Any of these.
    #[serde(default, deserialize_with = "filled")]
    pub values: Vec<Strng>,
    /// None of these.
    #[serde(default, deserialize_with = "filled")]
    pub not_values: Vec<Strng>,
}

/// Whether a workload takes plaintext.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PeerAuthentication {
    /// Metadata.
    pub metadata: Metadata,
    /// The policy.
    pub spec: PeerAuthenticationSpec,
}

/// The policy of a [`PeerAuthentication`].
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct PeerAuthenticationSpec {
    /// The Pods it is for; absent means the whole namespace.
    pub selector: Option<WorkloadSelector>,
    /// For every port.
    pub mtls: Option<MutualTls>,
    /// For single ports of the Pod (not of its Services).
    pub port_level_mtls: BTreeMap<PortKey, MutualTls>,
}

/// A port number as the key of a mapping: YAML may write it as a number or as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey(pub u32);

/// Whether plaintext is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MutualTls {
    /// The mode.
    pub mode: MutualTlsMode,
}

/// The modes of [`MutualTls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MutualTlsMode {
    /// As the next wider policy says.
    #[default]
    Unset,
    /// No mutual TLS; in ambient mode the same as `PERMISSIVE`.
    Disable,
    /// Both.
    Permissive,
    /// Mutual TLS only.
    Strict,
}

impl<'de> Deserialize<'de> for PortKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self)
    }
}

/// A list that has values when it is there: to people an empty list means "none", to Istio's data plane "any".
fn filled<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let values = Vec::<T>::deserialize(deserializer)?;
    if values.is_empty() {
        return Err(serde::de::Error::custom(
            "is an empty list; give a value or leave the field out",
        ));
    }
    Ok(values)
}
