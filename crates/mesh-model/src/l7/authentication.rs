//! Which tokens are known, and what becomes of them (Istio, "RequestAuthentication"; RFC 7519).

mod wire;

use std::time::Duration;

use mesh_types::Strng;

/// Rules for tokens. A request without one passes; one whose token no rule accepts is answered with 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authentication {
    /// One for each issuer.
    pub rules: Vec<JwtRule>,
}

/// What is required of an issuer's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtRule {
    /// Claim `iss`.
    pub issuer: Strng,
    /// One of them must be in claim `aud`; any if there are none.
    pub audiences: Vec<Strng>,
    /// Where its keys are.
    pub keys: KeySet,
    /// Where tokens are looked for; `Authorization: Bearer` and query `access_token` if there are no places.
    pub locations: Vec<TokenLocation>,
    /// The header that gets the payload, encoded as it is in the token.
    pub payload_header: Option<Strng>,
    /// Headers that get claims: header, path of the claim.
    pub claim_headers: Vec<(Strng, Vec<Strng>)>,
    /// The token goes on to the destination.
    pub forward: bool,
    /// Claims that are lists in one text (`scope` always is).
    pub space_delimited_claims: Vec<Strng>,
}

/// Where an issuer's keys are (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySet {
    /// Here, as JSON.
    Inline(Strng),
    /// There.
    Remote {
        /// `https` or `http`.
        uri: Strng,
        /// How long fetching may take.
        timeout: Duration,
    },
    /// They cannot be known: no token is accepted.
    Unusable(Strng),
}

/// Where a token is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenLocation {
    /// In a header, behind a prefix.
    Header {
        /// The name, in lower case.
        name: Strng,
        /// The prefix, with its space.
        prefix: Strng,
    },
    /// In a query parameter.
    Query(Strng),
    /// In a cookie.
    Cookie(Strng),
}
