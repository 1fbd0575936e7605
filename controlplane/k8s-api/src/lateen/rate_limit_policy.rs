//! RateLimitPolicy: how many requests there may be.

use mesh_types::Strng;
use serde::Deserialize;

use crate::gateway::{BackendObjectRef, PolicyTarget};
use crate::object::Resource;
use crate::value::GatewayDuration;

/// How many requests there may be.
pub type RateLimitPolicy = Resource<RateLimitPolicySpec>;

/// What a [`RateLimitPolicy`] says: limits that each proxy counts, limits that a service counts, or both. A request
/// that exceeds one is answered with 429.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitPolicySpec {
    /// What it is for: Services, ServiceEntries, Gateways, routes, or sections of them.
    pub target_refs: Vec<PolicyTarget>,
    /// Limits that each proxy counts for itself.
    pub local: Option<LocalRateLimit>,
    /// Limits that a service counts.
    pub global: Option<GlobalRateLimit>,
}

/// Limits that each proxy counts for itself.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct LocalRateLimit {
    /// Every one that a request counts for must have room.
    pub limits: Vec<LocalLimit>,
}

/// A bucket of tokens for each combination of the descriptor's values; a request takes one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LocalLimit {
    /// An expression (CEL, `docs/attributes.md`): only requests of which it is true count here.
    #[serde(default)]
    pub when: Option<Strng>,
    /// What tells the buckets apart; one for all where empty. Requests that lack an entry, or whose value does not
    /// match, do not count here.
    #[serde(default)]
    pub by: Vec<DescriptorEntry>,
    /// So many tokens come back …
    pub requests: u32,
    /// … in so long.
    pub interval: GatewayDuration,
    /// How many there may be at once; `requests` where absent.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// A part of a descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "DescriptorEntryFields")]
pub struct DescriptorEntry {
    /// What a rate-limit service knows it by.
    pub key: Strng,
    /// Where its value comes from.
    pub source: DescriptorSource,
    /// What the value must be; anything where absent.
    pub value: Option<TextMatch>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DescriptorSource {
    /// The request, or its connection.
    Attribute(DescriptorAttribute),
    /// A header.
    Header(Strng),
    /// A claim of the request's token; dots lead into it.
    Claim(Strng),
    /// It is always this.
    Constant(Strng),
    /// What an expression gives (CEL, `docs/attributes.md`), a text.
    Expression(Strng),
}

/// What a request or its connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum DescriptorAttribute {
    /// The path, without the query.
    Path,
    /// The method.
    Method,
    /// The host.
    Authority,
    /// The client's identity.
    SourcePrincipal,
    /// The client's namespace.
    SourceNamespace,
    /// The client's address.
    RemoteAddress,
}

/// What a text must be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TextMatch {
    /// This one.
    Exact(Strng),
    /// One that begins so.
    Prefix(Strng),
    /// One that ends so.
    Suffix(Strng),
    /// One that matches as a whole (RE2).
    Regex(Strng),
}

/// Limits that a service counts, for all proxies together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "GlobalFields")]
pub struct GlobalRateLimit {
    /// Who counts, and what.
    pub counted: CountedBy,
    /// What no answer means.
    pub failure_mode: FailureMode,
    /// How long an answer may take; 100 ms where absent.
    pub timeout: Option<GatewayDuration>,
}

/// Who counts, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CountedBy {
    /// The mesh's own rate-limit service, by these limits (`limits`).
    Mesh(Vec<GlobalLimit>),
    /// Another one, by limits of its own (`backendRef`, `domain`, `descriptors`).
    Backend(RateLimitBackend),
}

/// So many requests in each window, for each combination of the descriptor's values.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GlobalLimit {
    /// What it is called; its place in the list where absent. What is counted is counted by this name: a limit that has
    /// one may move in the list.
    #[serde(default)]
    pub name: Option<Strng>,
    /// An expression (CEL, `docs/attributes.md`): only requests of which it is true count here.
    #[serde(default)]
    pub when: Option<Strng>,
    /// What is counted apart; all together where empty. Requests that lack an entry, or whose value does not match, do
    /// not count here.
    #[serde(default)]
    pub by: Vec<DescriptorEntry>,
    /// So many …
    pub requests: u32,
    /// … in each of these.
    pub unit: LimitUnit,
}

/// A window of time: a whole multiple of the unit since 1970, so that a day begins at midnight UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
pub enum LimitUnit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// Seven days; they begin on Thursday.
    Week,
    /// Thirty days.
    Month,
    /// 365 days.
    Year,
}

/// A rate-limit service on Envoy's wire (`envoy.service.ratelimit.v3`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitBackend {
    /// The service.
    pub backend_ref: BackendObjectRef,
    /// The name space of its descriptors.
    pub domain: Strng,
    /// What is sent; a descriptor of which a request lacks an entry is left out.
    pub descriptors: Vec<GlobalDescriptor>,
}

/// A descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GlobalDescriptor {
    /// An expression (CEL, `docs/attributes.md`): it is sent for requests of which that is true.
    #[serde(default)]
    pub when: Option<Strng>,
    /// Its parts, in this order.
    pub entries: Vec<DescriptorEntry>,
}

/// What no answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize)]
pub enum FailureMode {
    /// The request passes.
    #[default]
    Open,
    /// The request is answered with 500.
    Closed,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DescriptorEntryFields {
    key: Option<Strng>,
    /// The value is this of the request, or of its connection.
    attribute: Option<DescriptorAttribute>,
    /// The value is this header.
    header: Option<Strng>,
    /// The value is this claim of the request's token; dots lead into it.
    claim: Option<Strng>,
    /// The value is always this.
    constant: Option<Strng>,
    /// What an expression gives (CEL, `docs/attributes.md`), a text.
    expression: Option<Strng>,
    value: Option<TextMatch>,
}

impl TryFrom<DescriptorEntryFields> for DescriptorEntry {
    type Error = &'static str;

    fn try_from(fields: DescriptorEntryFields) -> Result<Self, &'static str> {
        let sources = [
            fields.attribute.map(DescriptorSource::Attribute),
            fields.header.map(DescriptorSource::Header),
            fields.claim.map(DescriptorSource::Claim),
            fields.constant.map(DescriptorSource::Constant),
            fields.expression.map(DescriptorSource::Expression),
        ];
        let mut sources = sources.into_iter().flatten();
        let (Some(source), None) = (sources.next(), sources.next()) else {
            return Err("needs exactly one of attribute, header, claim, constant and expression");
        };
        Ok(Self {
            key: fields.key.unwrap_or_else(|| source.key()),
            source,
            value: fields.value,
        })
    }
}

impl DescriptorSource {
    /// What it is known by where nothing else is said.
    fn key(&self) -> Strng {
        match self {
            Self::Attribute(attribute) => match attribute {
                DescriptorAttribute::Path => "path".into(),
                DescriptorAttribute::Method => "method".into(),
                DescriptorAttribute::Authority => "authority".into(),
                DescriptorAttribute::SourcePrincipal => "source_principal".into(),
                DescriptorAttribute::SourceNamespace => "source_namespace".into(),
                DescriptorAttribute::RemoteAddress => "remote_address".into(),
            },
            Self::Header(name) => name.to_ascii_lowercase().into(),
            Self::Claim(name) => name.clone(),
            Self::Constant(_) => "generic_key".into(),
            Self::Expression(_) => "expression".into(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GlobalFields {
    /// Limits that the mesh's own service counts.
    limits: Option<Vec<GlobalLimit>>,
    /// A rate-limit service on Envoy's wire (`envoy.service.ratelimit.v3`).
    backend_ref: Option<BackendObjectRef>,
    /// The name space of its descriptors.
    domain: Option<Strng>,
    /// What it is sent; a descriptor of which a request lacks an entry is left out.
    descriptors: Option<Vec<GlobalDescriptor>>,
    /// What no answer means; the request passes where absent.
    failure_mode: FailureMode,
    /// How long an answer may take.
    timeout: Option<GatewayDuration>,
}

impl TryFrom<GlobalFields> for GlobalRateLimit {
    type Error = &'static str;

    fn try_from(fields: GlobalFields) -> Result<Self, &'static str> {
        let GlobalFields {
            limits,
            backend_ref,
            domain,
            descriptors,
            failure_mode,
            timeout,
        } = fields;
        let counted = match (limits, backend_ref, domain, descriptors) {
            (Some(limits), None, None, None) => CountedBy::Mesh(limits),
            (None, Some(backend_ref), Some(domain), Some(descriptors)) => {
                CountedBy::Backend(RateLimitBackend {
                    backend_ref,
                    domain,
                    descriptors,
                })
            }
            (Some(_), ..) => {
                return Err("needs either limits, or backendRef, domain and descriptors of another service");
            }
            (None, ..) => return Err("needs limits, or all of backendRef, domain and descriptors"),
        };
        Ok(Self {
            counted,
            failure_mode,
            timeout,
        })
    }
}
