//! RequestAuthentication: whose JSON web tokens are taken (Istio reference, "RequestAuthentication").

use mesh_types::Strng;
use serde::Deserialize;

use super::{TargetRef, WorkloadSelector, filled};
use crate::object::Resource;
use crate::value::IstioDuration;

/// Whose JSON web tokens are taken. A field that does not exist is an error.
pub type RequestAuthentication = Resource<RequestAuthenticationSpec>;

/// What a [`RequestAuthentication`] says.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestAuthenticationSpec {
    /// The Pods it is for; without meaning at waypoints.
    pub selector: Option<WorkloadSelector>,
    /// The waypoint, Service or Gateway it is for.
    pub target_ref: Option<TargetRef>,
    /// Several of them.
    #[serde(deserialize_with = "filled")]
    pub target_refs: Vec<TargetRef>,
    /// Whose tokens are taken. A request without any passes; one with a token that no rule takes does not.
    pub jwt_rules: Vec<JwtRule>,
}

/// Whose tokens are taken, and where they are looked for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "JwtRuleFields")]
pub struct JwtRule {
    /// Who issues them.
    // Empty only where the rule cannot be read.
    pub issuer: Strng,
    /// For whom they must be, one of these; for anybody where empty.
    pub audiences: Vec<Strng>,
    /// The keys.
    pub keys: JwtKeys,
    /// Where a token is looked for; in `Authorization: Bearer` and the parameter `access_token` where all three are
    /// empty.
    pub from_headers: Vec<JwtHeader>,
    /// Parameters of the query.
    pub from_params: Vec<Strng>,
    /// Cookies.
    pub from_cookies: Vec<Strng>,
    /// The header that the service gets the token's content in.
    pub output_payload_to_header: Option<Strng>,
    /// Whether the service gets the token itself.
    pub forward_original_token: bool,
    /// Headers that the service gets single claims in.
    pub output_claim_to_headers: Vec<ClaimToHeader>,
    /// How long fetching the keys may take; 5 s where absent.
    pub timeout: Option<IstioDuration>,
    /// Claims whose text is a list with spaces between, beside `scope`.
    pub space_delimited_claims: Vec<Strng>,
}

/// Where keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKeys {
    /// From a URL.
    Uri(Strng),
    /// Given (RFC 7517, section 5).
    Inline(Strng),
    /// From where the issuer's OpenID configuration says.
    Discovery,
    /// Nobody knows what the rule says: it accepts no token. Nothing that is written reads so.
    Unreadable,
}

/// A header with a token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct JwtHeader {
    /// The header.
    pub name: Strng,
    /// What stands before the token.
    #[serde(default)]
    pub prefix: Strng,
}

/// A header with a claim.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ClaimToHeader {
    /// The header.
    pub header: Strng,
    /// The claim; dots lead into it.
    pub claim: Strng,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JwtRuleFields {
    issuer: Strng,
    #[serde(default, deserialize_with = "filled")]
    audiences: Vec<Strng>,
    /// The keys are fetched from this URL.
    #[serde(default)]
    jwks_uri: Option<Strng>,
    /// The keys (RFC 7517, section 5).
    #[serde(default)]
    jwks: Option<Strng>,
    #[serde(default, deserialize_with = "filled")]
    from_headers: Vec<JwtHeader>,
    #[serde(default, deserialize_with = "filled")]
    from_params: Vec<Strng>,
    #[serde(default, deserialize_with = "filled")]
    from_cookies: Vec<Strng>,
    #[serde(default)]
    output_payload_to_header: Option<Strng>,
    #[serde(default)]
    forward_original_token: bool,
    #[serde(default)]
    output_claim_to_headers: Vec<ClaimToHeader>,
    #[serde(default)]
    timeout: Option<IstioDuration>,
    #[serde(default)]
    space_delimited_claims: Vec<Strng>,
}

impl TryFrom<JwtRuleFields> for JwtRule {
    type Error = &'static str;

    fn try_from(fields: JwtRuleFields) -> Result<Self, &'static str> {
        let given = |text: Option<Strng>| text.filter(|t| !t.is_empty());
        let keys = match (given(fields.jwks_uri), given(fields.jwks)) {
            (Some(_), Some(_)) => return Err("may have only one of jwksUri and jwks"),
            (Some(uri), None) => JwtKeys::Uri(uri),
            (None, Some(keys)) => JwtKeys::Inline(keys),
            (None, None) => JwtKeys::Discovery,
        };
        Ok(Self {
            issuer: fields.issuer,
            audiences: fields.audiences,
            keys,
            from_headers: fields.from_headers,
            from_params: fields.from_params,
            from_cookies: fields.from_cookies,
            output_payload_to_header: given(fields.output_payload_to_header),
            forward_original_token: fields.forward_original_token,
            output_claim_to_headers: fields.output_claim_to_headers,
            timeout: fields.timeout,
            space_delimited_claims: fields.space_delimited_claims,
        })
    }
}
