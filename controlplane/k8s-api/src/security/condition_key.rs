//! The attributes that conditions may ask about (Istio reference, "Authorization Policy Conditions").

use mesh_types::Strng;

/// An attribute of a request or its connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConditionKey {
    /// `source.ip`: the connection's source.
    SourceIp,
    /// `remote.ip`: the original client, as trusted headers tell.
    RemoteIp,
    /// `source.namespace`.
    SourceNamespace,
    /// `source.principal`: the identity without `spiffe://`.
    SourcePrincipal,
    /// `source.serviceAccount`: `<namespace>/<name>`, or a name of the policy's own namespace.
    SourceServiceAccount,
    /// `source.trustDomain`.
    SourceTrustDomain,
    /// `request.auth.principal`: `<iss>/<sub>` of the token.
    RequestPrincipal,
    /// `request.auth.audiences`: `aud` of the token.
    RequestAudiences,
    /// `request.auth.presenter`: `azp` of the token.
    RequestPresenter,
    /// `request.auth.claims[a][b]`: the claim `b` inside the claim `a` of the token.
    RequestClaim(Vec<Strng>),
    /// `request.headers[name]`, in lower case.
    RequestHeader(Strng),
    /// `destination.ip`.
    DestinationIp,
    /// `destination.port`.
    DestinationPort,
    /// `connection.sni`: the host that the TLS handshake names.
    ConnectionSni,
    /// `experimental.envoy.filters.http.ext_authz[name]`: what those who were asked about a request (action CUSTOM) said
    /// of it in `dynamic_metadata`.
    ExternalAuth(Strng),
    /// `experimental.envoy.filters.…`: what a filter of Envoy's says, which there is none of here.
    EnvoyFilter(Strng),
}

/// The attributes without a part in brackets.
pub(crate) const PLAIN: [(&str, ConditionKey); 12] = [
    ("source.ip", ConditionKey::SourceIp),
    ("remote.ip", ConditionKey::RemoteIp),
    ("source.namespace", ConditionKey::SourceNamespace),
    ("source.principal", ConditionKey::SourcePrincipal),
    ("source.serviceAccount", ConditionKey::SourceServiceAccount),
    ("source.trustDomain", ConditionKey::SourceTrustDomain),
    ("request.auth.principal", ConditionKey::RequestPrincipal),
    ("request.auth.audiences", ConditionKey::RequestAudiences),
    ("request.auth.presenter", ConditionKey::RequestPresenter),
    ("destination.ip", ConditionKey::DestinationIp),
    ("destination.port", ConditionKey::DestinationPort),
    ("connection.sni", ConditionKey::ConnectionSni),
];

impl ConditionKey {
    /// The attribute that a condition's `key` names; nothing when there is no such one.
    #[must_use]
    pub fn parse(key: &str) -> Option<Self> {
        if let Some((_, plain)) = PLAIN.iter().find(|(name, _)| *name == key) {
            return Some(plain.clone());
        }
        if let Some(rest) = key.strip_prefix("request.headers") {
            return match brackets(rest)?.as_slice() {
                [name] => Some(Self::RequestHeader(name.to_ascii_lowercase().into())),
                _ => None,
            };
        }
        if let Some(rest) = key.strip_prefix("request.auth.claims") {
            return brackets(rest).map(Self::RequestClaim);
        }
        let filter = key.strip_prefix("experimental.envoy.filters.")?;
        if let Some(rest) = filter.strip_prefix("http.ext_authz")
            && let Some([name]) = brackets(rest).as_deref()
        {
            return Some(Self::ExternalAuth(name.clone()));
        }
        (!filter.is_empty()).then(|| Self::EnvoyFilter(filter.into()))
    }

    /// Whether only a proxy that sees requests can tell: a node proxy cannot.
    #[must_use]
    pub fn is_of_requests(&self) -> bool {
        matches!(
            self,
            Self::RemoteIp
                | Self::RequestPrincipal
                | Self::RequestAudiences
                | Self::RequestPresenter
                | Self::RequestClaim(_)
                | Self::RequestHeader(_)
                | Self::ExternalAuth(_)
                | Self::EnvoyFilter(_)
        )
    }
}

/// `[a][b]`: at least one, none empty.
fn brackets(text: &str) -> Option<Vec<Strng>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(inside) = rest.strip_prefix('[') {
        let (part, behind) = inside.split_once(']')?;
        if part.is_empty() {
            return None;
        }
        parts.push(part.into());
        rest = behind;
    }
    (rest.is_empty() && !parts.is_empty()).then_some(parts)
}
