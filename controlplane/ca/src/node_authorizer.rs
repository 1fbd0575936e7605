//! May this caller have a certificate for that identity? (control-plane.md, 2.11; upstream does not compare the trust
//! domain, we do.)

use std::collections::BTreeSet;

use mesh_types::{Identity, TrustDomain};

use crate::caller::{Caller, ServiceAccount};
use crate::token::TokenSubject;

/// Whom the authorizer trusts.
#[derive(Clone, Debug)]
pub struct NodePolicy {
    /// The mesh's own.
    pub trust_domain: TrustDomain,
    /// The accounts whose bearers may ask for the identities of their node's workloads: node proxies.
    pub trusted_node_accounts: BTreeSet<ServiceAccount>,
}

/// What runs where, as the index knows it.
pub trait NodeWorkloads {
    /// Whether a workload that has not ended, of this namespace and service account, is bound to the node.
    fn runs(&self, node: &str, namespace: &str, service_account: &str) -> bool;

    /// How many identities the node's workloads have.
    fn identities(&self, node: &str) -> usize;

    /// Whether the pod that a token is bound to still is that pod: of that uid and account, on that node.
    fn is_current(&self, caller: &TokenSubject) -> bool;
}

/// Why a certificate is refused. The words are for the log: on the wire all are the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// An identity of another mesh.
    #[error("{wanted} is not of the trust domain {ours}")]
    TrustDomain {
        /// What was asked for.
        wanted: Identity,
        /// The mesh's own.
        ours: TrustDomain,
    },
    /// Only node proxies speak for others.
    #[error("{account} may not ask for the identities of others; trusted are: {trusted}")]
    NotANodeProxy {
        /// Who asked.
        account: ServiceAccount,
        /// Who may.
        trusted: String,
    },
    /// The node has no workload of that identity: not yet, or not at all. Asking again may help.
    #[error("no workload of {wanted} runs on node {node}")]
    NotOnNode {
        /// What was asked for.
        wanted: Identity,
        /// The caller's node.
        node: String,
    },
    /// The pod that the token is bound to is gone, or another one.
    #[error("the token of {account} is bound to pod {pod}, which is not that pod any more")]
    PodGone {
        /// Who asked.
        account: ServiceAccount,
        /// The pod.
        pod: String,
    },
    /// A certificate renews itself and nothing else.
    #[error("the certificate of {own} cannot ask for {wanted}")]
    NotOwnIdentity {
        /// Who asked.
        own: Identity,
        /// What was asked for.
        wanted: Identity,
    },
    /// The caller's own account has no identity.
    #[error("service account {0} has no SPIFFE identity")]
    NoIdentity(ServiceAccount),
}

impl Default for NodePolicy {
    /// Trust domain `cluster.local`, node proxies run as `istio-system/ztunnel` (the chart's default).
    fn default() -> Self {
        Self {
            trust_domain: TrustDomain::default(),
            trusted_node_accounts: ServiceAccount::new("istio-system", "ztunnel")
                .into_iter()
                .collect(),
        }
    }
}

/// The identity that the caller gets a certificate for: the impersonated one, or its own where it asks for none.
///
/// # Errors
/// See [`Refusal`].
pub fn authorize(
    policy: &NodePolicy,
    workloads: &(impl NodeWorkloads + ?Sized),
    caller: &Caller,
    impersonated: Option<&Identity>,
) -> Result<Identity, Refusal> {
    if let Some(wanted) = impersonated.filter(|w| *w.trust_domain() != policy.trust_domain) {
        return Err(Refusal::TrustDomain {
            wanted: wanted.clone(),
            ours: policy.trust_domain.clone(),
        });
    }
    match caller {
        Caller::Mesh(own) => for_certificate(policy, own, impersonated),
        Caller::Token(subject) => for_token(policy, workloads, subject, impersonated),
    }
}

fn for_certificate(
    policy: &NodePolicy,
    own: &Identity,
    impersonated: Option<&Identity>,
) -> Result<Identity, Refusal> {
    if *own.trust_domain() != policy.trust_domain {
        return Err(Refusal::TrustDomain {
            wanted: own.clone(),
            ours: policy.trust_domain.clone(),
        });
    }
    match impersonated {
        Some(wanted) if wanted != own => Err(Refusal::NotOwnIdentity {
            own: own.clone(),
            wanted: wanted.clone(),
        }),
        _ => Ok(own.clone()),
    }
}

fn for_token(
    policy: &NodePolicy,
    workloads: &(impl NodeWorkloads + ?Sized),
    subject: &TokenSubject,
    impersonated: Option<&Identity>,
) -> Result<Identity, Refusal> {
    let account = &subject.account;
    if let Some(pod) = subject.pod.as_ref().filter(|_| !workloads.is_current(subject)) {
        return Err(Refusal::PodGone {
            account: account.clone(),
            pod: pod.name.clone(),
        });
    }
    let own = Identity::new(
        policy.trust_domain.clone(),
        account.namespace.as_str(),
        account.name.as_str(),
    )
    .map_err(|_| Refusal::NoIdentity(account.clone()))?;
    let Some(wanted) = impersonated.filter(|w| **w != own) else {
        return Ok(own);
    };
    if !policy.trusted_node_accounts.contains(account) {
        let trusted: Vec<_> = policy
            .trusted_node_accounts
            .iter()
            .map(ToString::to_string)
            .collect();
        return Err(Refusal::NotANodeProxy {
            account: account.clone(),
            trusted: trusted.join(", "),
        });
    }
    if !workloads.runs(&subject.node, wanted.namespace(), wanted.service_account()) {
        return Err(Refusal::NotOnNode {
            wanted: wanted.clone(),
            node: subject.node.clone(),
        });
    }
    Ok(wanted.clone())
}

#[cfg(test)]
mod tests;
