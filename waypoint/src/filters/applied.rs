//! What policies want of the filters at one place, compiled together.

use mesh_model::l7::authorization::Authorizer;
use mesh_model::l7::{Policy, PolicyKind};

use super::jwt::rules::TokenRules;
use super::not_enforced::NotEnforced;

/// What policies want of the filters at one place.
#[derive(Debug, Default)]
pub struct Applied {
    /// Which requests may pass.
    pub authorizer: Authorizer,
    /// Which tokens are known.
    pub tokens: TokenRules,
    /// What is wanted and not done here.
    pub not_enforced: NotEnforced,
}

impl Applied {
    /// Of the policies that are attached to a place, each once.
    #[must_use]
    pub fn compile<'p>(policies: impl IntoIterator<Item = &'p Policy>) -> Self {
        let policies: Vec<_> = policies.into_iter().collect();
        let authorizations = policies.iter().filter_map(|policy| match &policy.kind {
            PolicyKind::Authorization(authorization) => Some((&policy.object, authorization)),
            _ => None,
        });
        let tokens = policies.iter().filter_map(|policy| match &policy.kind {
            PolicyKind::Authentication(authentication) => Some(authentication),
            _ => None,
        });
        Self {
            authorizer: Authorizer::compile(authorizations),
            tokens: TokenRules::compile(tokens),
            not_enforced: NotEnforced::among(&policies),
        }
    }
}
