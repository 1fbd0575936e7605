//! SessionPolicy: what keeps a client at its endpoint.

use mesh_types::Strng;
use serde::Deserialize;

use crate::gateway::{CookieLifetime, PolicyTarget};
use crate::object::Resource;
use crate::value::GatewayDuration;

/// What keeps a client at its endpoint.
pub type SessionPolicy = Resource<SessionPolicySpec>;

/// What a [`SessionPolicy`] says.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "SessionPolicyFields")]
pub struct SessionPolicySpec {
    /// What it is for: Services, ServiceEntries, routes, or sections of them.
    pub target_refs: Vec<PolicyTarget>,
    /// What carries the session.
    pub carrier: SessionCarrier,
    /// How long a session lasts; without end where absent.
    pub absolute_timeout: Option<GatewayDuration>,
    /// How long it lasts without a request; without end where absent.
    pub idle_timeout: Option<GatewayDuration>,
}

/// What carries a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionCarrier {
    /// A cookie.
    Cookie(SessionCookieSpec),
    /// A header, of answers and of the requests that follow.
    Header(SessionHeader),
}

/// A cookie.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
pub struct SessionCookieSpec {
    /// Its name.
    pub name: Strng,
    /// How long the client keeps it.
    #[serde(default)]
    pub lifetime: CookieLifetime,
}

/// A header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SessionHeader {
    /// Its name.
    pub name: Strng,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SessionPolicyFields {
    target_refs: Vec<PolicyTarget>,
    /// A cookie carries the session.
    cookie: Option<SessionCookieSpec>,
    /// A header of answers and of the requests that follow carries it.
    header: Option<SessionHeader>,
    absolute_timeout: Option<GatewayDuration>,
    idle_timeout: Option<GatewayDuration>,
}

impl Default for SessionCarrier {
    fn default() -> Self {
        Self::Cookie(SessionCookieSpec::default())
    }
}

impl TryFrom<SessionPolicyFields> for SessionPolicySpec {
    type Error = &'static str;

    fn try_from(fields: SessionPolicyFields) -> Result<Self, &'static str> {
        let carrier = match (fields.cookie, fields.header) {
            (Some(cookie), None) => SessionCarrier::Cookie(cookie),
            (None, Some(header)) => SessionCarrier::Header(header),
            _ => return Err("needs exactly one of cookie and header"),
        };
        Ok(Self {
            target_refs: fields.target_refs,
            carrier,
            absolute_timeout: fields.absolute_timeout,
            idle_timeout: fields.idle_timeout,
        })
    }
}
