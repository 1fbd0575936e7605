//! Why a token is not accepted, in Envoy's words: clients and tests read them.

use http::StatusCode;

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotYet,
    Expired,
    Format,
    HeaderBase64,
    HeaderJson,
    AlgorithmMissing,
    AlgorithmUnknown,
    KeyId,
    PayloadBase64,
    PayloadJson,
    Issuer,
    Subject,
    IssuedAt,
    NotBefore,
    Expires,
    Id,
    Audience,
    SignatureBase64,
    UnknownIssuer,
    OtherAudience,
    Signature,
    Several,
    NoValidKeys,
    NoKey,
    NotFetched,
}

impl Refusal {
    /// What the client is told.
    pub(crate) fn message(self) -> &'static str {
        self.texts().0
    }

    /// For logs.
    pub(crate) fn details(self) -> &'static str {
        self.texts().1
    }

    /// Who has no valid token must show another one (401); one that is for somebody else is no mistake of its own (403).
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::OtherAudience => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    fn texts(self) -> (&'static str, &'static str) {
        macro_rules! texts {
            ($($refusal:ident: $message:literal, $details:literal;)*) => {
                match self {
                    $(Self::$refusal => ($message, concat!("jwt_authn_access_denied{", $details, "}")),)*
                }
            };
        }
        texts! {
            NotYet: "Jwt not yet valid", "Jwt_not_yet_valid";
            Expired: "Jwt is expired", "Jwt_is_expired";
            Format: "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
                "Jwt_is_not_in_the_form_of_Header.Payload.Signature_with_two_dots_and_3_sections";
            HeaderBase64: "Jwt header is an invalid Base64url encoded", "Jwt_header_is_an_invalid_Base64url_encoded";
            HeaderJson: "Jwt header is an invalid JSON", "Jwt_header_is_an_invalid_JSON";
            AlgorithmMissing: "Jwt header [alg] field is required and must be a string",
                "Jwt_header_[alg]_field_is_required_and_must_be_a_string";
            AlgorithmUnknown: "Jwt header [alg] is not supported", "Jwt_header_[alg]_is_not_supported";
            KeyId: "Jwt header [kid] field is not a string", "Jwt_header_[kid]_field_is_not_a_string";
            PayloadBase64: "Jwt payload is an invalid Base64url encoded",
                "Jwt_payload_is_an_invalid_Base64url_encoded";
            PayloadJson: "Jwt payload is an invalid JSON", "Jwt_payload_is_an_invalid_JSON";
            Issuer: "Jwt payload [iss] field is not a string", "Jwt_payload_[iss]_field_is_not_a_string";
            Subject: "Jwt payload [sub] field is not a string", "Jwt_payload_[sub]_field_is_not_a_string";
            IssuedAt: "Jwt payload [iat] field is not an integer", "Jwt_payload_[iat]_field_is_not_an_integer";
            NotBefore: "Jwt payload [nbf] field is not an integer", "Jwt_payload_[nbf]_field_is_not_an_integer";
            Expires: "Jwt payload [exp] field is not an integer", "Jwt_payload_[exp]_field_is_not_an_integer";
            Id: "Jwt payload [jti] field is not a string", "Jwt_payload_[jti]_field_is_not_a_string";
            Audience: "Jwt payload [aud] field is not a string or string list",
                "Jwt_payload_[aud]_field_is_not_a_string_or_string_list";
            SignatureBase64: "Jwt signature is an invalid Base64url encoded",
                "Jwt_signature_is_an_invalid_Base64url_encoded";
            UnknownIssuer: "Jwt issuer is not configured", "Jwt_issuer_is_not_configured";
            OtherAudience: "Audiences in Jwt are not allowed", "Audiences_in_Jwt_are_not_allowed";
            Signature: "Jwt verification fails", "Jwt_verification_fails";
            Several: "Found multiple Jwt tokens", "Found_multiple_Jwt_tokens";
            NoValidKeys: "Jwks doesn't have any valid public key", "Jwks_doesn't_have_any_valid_public_key";
            NoKey: "Jwks doesn't have key to match kid or alg from Jwt",
                "Jwks_doesn't_have_key_to_match_kid_or_alg_from_Jwt";
            NotFetched: "Jwks remote fetch is failed", "Jwks_remote_fetch_is_failed";
        }
    }
}

#[cfg(test)]
mod tests;
