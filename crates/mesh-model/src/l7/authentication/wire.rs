//! Rules for tokens on the wire: `lateen.l7.v1.Authentication`.

use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::Strng;

use super::{Authentication, JwtRule, KeySet, TokenLocation};
use crate::invalid::{FieldProblem, InField, Problem, items};
use crate::l7::wire::{Wire, check, list, list_to_wire, required, string, strings};

impl Wire for Authentication {
    type Message = pb::Authentication;

    fn from_wire(m: &pb::Authentication) -> Result<Self, FieldProblem> {
        Ok(Self {
            rules: list("rules", &m.rules)?,
        })
    }

    fn to_wire(&self) -> pb::Authentication {
        pb::Authentication {
            rules: list_to_wire(&self.rules),
        }
    }
}

impl Wire for JwtRule {
    type Message = pb::JwtRule;

    fn from_wire(m: &pb::JwtRule) -> Result<Self, FieldProblem> {
        let lists = &m.space_delimited_claims;
        Ok(Self {
            issuer: check::text(&m.issuer).field("issuer")?,
            audiences: check::each("audiences", &m.audiences, check::text)?,
            keys: keys(m)?,
            locations: list("locations", &m.locations)?,
            payload_header: check::maybe("payload_header", m.payload_header.as_ref(), check::header)?,
            claim_headers: items("claim_headers", &m.claim_headers, claim_header)?,
            forward: m.forward,
            space_delimited_claims: check::each("space_delimited_claims", lists, check::text)?,
        })
    }

    fn to_wire(&self) -> pb::JwtRule {
        use pb::jwt_rule::Keys;
        let keys = match &self.keys {
            KeySet::Inline(json) => Keys::Inline(json.to_string()),
            KeySet::Remote { uri, timeout } => Keys::Remote(pb::RemoteKeys {
                uri: uri.to_string(),
                timeout: Some(timeout.to_wire()),
            }),
            KeySet::Unusable(reason) => Keys::Unusable(reason.to_string()),
        };
        let claim_header = |(header, claim): &(Strng, Vec<Strng>)| pb::ClaimHeader {
            header: header.to_string(),
            claim: Some(claim.to_wire()),
        };
        pb::JwtRule {
            issuer: self.issuer.to_string(),
            audiences: strings(&self.audiences),
            keys: Some(keys),
            locations: list_to_wire(&self.locations),
            payload_header: string(self.payload_header.as_ref()),
            claim_headers: self.claim_headers.iter().map(claim_header).collect(),
            forward: self.forward,
            space_delimited_claims: strings(&self.space_delimited_claims),
        }
    }
}

fn keys(m: &pb::JwtRule) -> Result<KeySet, FieldProblem> {
    use pb::jwt_rule::Keys;
    Ok(match m.keys.as_ref().ok_or(Problem::Missing).field("keys")? {
        Keys::Inline(json) => KeySet::Inline(check::text(json).field("inline")?),
        Keys::Remote(m) => KeySet::Remote {
            uri: check::uri(&m.uri).field("remote.uri")?,
            timeout: required("timeout", m.timeout.as_ref()).field("remote")?,
        },
        Keys::Unusable(reason) => KeySet::Unusable(reason.into()),
    })
}

fn claim_header(m: &pb::ClaimHeader) -> Result<(Strng, Vec<Strng>), FieldProblem> {
    let header = check::header(&m.header).field("header")?;
    Ok((header, required("claim", m.claim.as_ref())?))
}

impl Wire for TokenLocation {
    type Message = pb::TokenLocation;

    fn from_wire(m: &pb::TokenLocation) -> Result<Self, FieldProblem> {
        use pb::token_location::Location;
        match m.location.as_ref().ok_or(Problem::Missing).field("location")? {
            Location::Header(m) => Ok(Self::Header {
                name: check::header(&m.name).field("header.name")?,
                prefix: check::header_value(&m.prefix).field("header.prefix")?,
            }),
            Location::Query(name) => check::text(name).map(Self::Query).field("query"),
            Location::Cookie(name) => check::token(name).map(Self::Cookie).field("cookie"),
        }
    }

    fn to_wire(&self) -> pb::TokenLocation {
        use pb::token_location::Location;
        let location = match self {
            Self::Header { name, prefix } => Location::Header(pb::TokenHeader {
                name: name.to_string(),
                prefix: prefix.to_string(),
            }),
            Self::Query(name) => Location::Query(name.to_string()),
            Self::Cookie(name) => Location::Cookie(name.to_string()),
        };
        pb::TokenLocation {
            location: Some(location),
        }
    }
}
