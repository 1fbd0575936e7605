//! The parts together, as the signing service asks for them: may the caller have it, has it asked too often, sign.

use std::time::{Duration, SystemTime};

use mesh_certs::{Issue, Order, Refused};
use mesh_types::Identity;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::budget::Budgets;
use crate::caller::Caller;
use crate::issuer::{IssueError, Issued, Issuer};
use crate::node_authorizer::{self, NodePolicy, NodeWorkloads, Refusal};

/// Issues certificates to those who may have them.
#[derive(Debug)]
pub struct Authority<W> {
    issuer: std::sync::Arc<Issuer>,
    policy: NodePolicy,
    workloads: W,
    budgets: Mutex<Budgets>,
    started: Instant,
}

/// What time it is, on two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// What certificates say.
    pub wall: SystemTime,
    /// Since the authority was made; only goes forward.
    pub uptime: Duration,
}

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotIssued {
    /// The caller may not have it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The signing request names somebody whom the caller does not speak for.
    #[error("{caller} sent a signing request of {requested}")]
    OtherIdentity {
        /// Who asked.
        caller: Identity,
        /// Whose the signing request is.
        requested: Identity,
    },
    /// The caller asked for more certificates than its node can need.
    #[error("{0} asked for too many certificates")]
    TooMany(String),
    /// Signing failed.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl<W: NodeWorkloads> Authority<W> {
    /// An authority that signs with `issuer` what `policy` allows, given what runs where.
    #[must_use]
    pub fn new(issuer: std::sync::Arc<Issuer>, policy: NodePolicy, workloads: W) -> Self {
        Self {
            issuer,
            policy,
            workloads,
            budgets: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// Decides and signs.
    ///
    /// # Errors
    /// See [`NotIssued`].
    pub fn sign(&self, caller: &Caller, order: &Order, now: Moment) -> Result<Issued, NotIssued> {
        let impersonated = order.impersonated.then_some(&order.identity);
        let identity = node_authorizer::authorize(&self.policy, &self.workloads, caller, impersonated)?;
        if identity != order.identity {
            return Err(NotIssued::OtherIdentity {
                caller: identity,
                requested: order.identity.clone(),
            });
        }
        let identities = match caller {
            Caller::Token(subject) => self.workloads.identities(&subject.node),
            Caller::Mesh(_) => 1,
        };
        let who = caller.to_string();
        if !self.budgets.lock().take(&who, identities, now.uptime) {
            return Err(NotIssued::TooMany(who));
        }
        let issued = self
            .issuer
            .issue(&identity, order.request.public_key(), order.lifetime, now.wall)?;
        tracing::info!(
            target: "audit",
            %identity,
            caller = who,
            serial = issued.serial,
            "certificate issued"
        );
        Ok(issued)
    }
}

impl<W: NodeWorkloads + Send + Sync + 'static> Issue for Authority<W> {
    type Caller = Caller;

    async fn issue(&self, caller: &Caller, order: Order) -> Result<Vec<String>, Refused> {
        let now = Moment {
            wall: SystemTime::now(),
            uptime: self.started.elapsed(),
        };
        self.sign(caller, &order, now)
            .map(|issued| issued.chain)
            .map_err(|e| refused(&e))
    }
}

fn refused(reason: &NotIssued) -> Refused {
    let text = reason.to_string();
    match reason {
        // The pod may be known in a moment: the node proxy hears of it before, or after, we do. All refusals look the
        // same to the caller, which learns nothing about other nodes from them.
        NotIssued::Refused(_) | NotIssued::OtherIdentity { .. } => Refused::Forbidden(text),
        NotIssued::TooMany(_) => Refused::Throttled(text),
        NotIssued::Issue(IssueError::TtlTooLong { .. } | IssueError::PublicKey(_)) => Refused::Invalid(text),
        NotIssued::Issue(_) => Refused::Internal(text),
    }
}

#[cfg(test)]
mod tests;
