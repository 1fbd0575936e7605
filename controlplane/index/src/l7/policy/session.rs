//! A SessionPolicy becomes what keeps a client at its endpoint.

use controlplane_k8s_api::gateway::CookieLifetime;
use controlplane_k8s_api::lateen::{SessionCarrier as CarrierSpec, SessionPolicySpec};
use mesh_model::l7::session::{Session, SessionCarrier};

use super::text;
use crate::derived::{Condition, ConditionReason};

/// What a policy says; nothing where its cookie or header can be none.
pub(super) fn session(spec: &SessionPolicySpec, conditions: &mut Vec<Condition>) -> Option<Session> {
    let absolute_timeout = spec.absolute_timeout.map(|timeout| timeout.0);
    let (field, name, carrier) = match &spec.carrier {
        CarrierSpec::Cookie(cookie) => {
            let permanent = cookie.lifetime == CookieLifetime::Permanent && absolute_timeout.is_some();
            let name = text::header(&cookie.name).map(|_| cookie.name.clone());
            ("spec.cookie.name", name, SessionCarrier::Cookie { permanent })
        }
        CarrierSpec::Header(header) => (
            "spec.header.name",
            text::changeable_header(&header.name),
            SessionCarrier::Header,
        ),
    };
    match name {
        Ok(name) => Some(Session {
            name,
            carrier,
            absolute_timeout,
            idle_timeout: spec.idle_timeout.map(|timeout| timeout.0),
        }),
        Err(why) => {
            let message = format!("{why}; nothing keeps clients at their endpoints");
            conditions.push(Condition::at(ConditionReason::Invalid, field, message));
            None
        }
    }
}

#[cfg(test)]
mod tests;
