//! Who has heard that a pod has left the mesh. A node agent that has taken the pod's annotation away asks this, and removes
//! the pod's rules when everybody has heard, or when its patience is over ([`mesh_register::settled`]).
//!
//! Heard is three things at every replica: it publishes the pod as one outside of the mesh, or not at all; and each of its
//! streams that follows workloads has accepted that, or something later. A proxy that is connected to no replica is not
//! counted: nobody knows of it.
//!
//! # Layout
//! - this file: how this replica stands ([`is_plain`], pure), who may ask, and what all say together. [`peers`]: asking the
//!   other replicas.

pub mod peers;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use controlplane_ca::caller::{Caller, ServiceAccount};
use mesh_grpc::Denied;
use mesh_proto::istio::workload::address::Type;
use mesh_proto::istio::workload::{Address, TunnelProtocol};
use mesh_register::settled::{Answer, MAX_MISSING, Question, Settle, Standing};
use mesh_types::{Identity, WorkloadUid};
use mesh_xds::{AdmitNode, ResourceCache, TypeUrl, XdsServer};
use prost::Message as _;
use tokio::time::{Instant, sleep, sleep_until};

use peers::Peers;

/// Answers agents for all replicas, and replicas for this one.
#[derive(Debug)]
pub struct Settling<A, P> {
    /// This replica's proxies.
    pub own: Own<A>,
    /// The other replicas.
    pub peers: P,
    /// Who node agents are.
    pub agents: BTreeSet<ServiceAccount>,
    /// Who replicas are.
    pub replica: Identity,
}

/// This replica's proxies.
#[derive(Debug)]
pub struct Own<A> {
    /// Which run of which replica.
    pub instance: Arc<str>,
    /// The first part of the names of workloads.
    pub cluster_id: String,
    /// What is published.
    pub cache: ResourceCache,
    /// Who follows it.
    pub xds: XdsServer<A>,
}

/// Whose proxies somebody is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of all replicas.
    AllReplicas,
    /// Those of the replica that is asked.
    ThisReplica,
}

impl<A: AdmitNode, P: Peers> Settle for Settling<A, P> {
    type Caller = Caller;
    type Scope = Scope;

    fn scope(&self, caller: &Caller) -> Result<Scope, Denied> {
        match caller {
            Caller::Token(subject) if self.agents.contains(&subject.account) => Ok(Scope::AllReplicas),
            Caller::Mesh(identity) if *identity == self.replica => Ok(Scope::ThisReplica),
            _ => Err(Denied::NotWhatItSays(format!(
                "{caller} is neither a node agent (REGISTRATION_ACCOUNTS) nor a replica of the control plane"
            ))),
        }
    }

    async fn await_plain(&self, scope: Scope, question: Question) -> Answer {
        let until = Instant::now() + question.wait;
        let own = self.own.heard_by(&question, until);
        if scope == Scope::ThisReplica {
            return own.await;
        }
        let among_replicas = Question {
            wait: question.wait.saturating_sub(MOMENT),
            ..question.clone()
        };
        let (own, others) = tokio::join!(own, self.peers.ask(among_replicas));
        merged(own, others)
    }
}

impl<A: AdmitNode> Own<A> {
    /// How it stands when everybody here has heard, or at this time.
    async fn heard_by(&self, question: &Question, until: Instant) -> Answer {
        let (mut published, mut stands) = (self.cache.changes(), self.xds.stands());
        loop {
            // Marked before looking: what changes meanwhile is looked at again.
            published.mark_unchanged();
            stands.mark_unchanged();
            let standing = self.standing(question);
            if standing.is_settled() || until <= Instant::now() {
                return Answer {
                    instance: self.instance.to_string(),
                    standing,
                };
            }
            tokio::select! {
                Ok(()) = published.changed() => {}
                Ok(()) = stands.changed() => {}
                () = sleep_until(until) => {}
            }
            // What many proxies answer at once is one look.
            sleep(PAUSE).await;
        }
    }

    fn standing(&self, question: &Question) -> Standing {
        let pod = &question.workload;
        let uid = WorkloadUid::of_pod(&self.cluster_id, &pod.namespace, &pod.name);
        let (published, change) = self.cache.published(TypeUrl::ADDRESS, uid.as_str());
        let is_known = self.cache.is_ready() && is_plain(published.as_deref(), &question.addresses);
        // Of what is not published nobody can have heard.
        let change = if is_known { change } else { u64::MAX };
        let heard = self.xds.heard(TypeUrl::ADDRESS, change, MAX_MISSING);
        Standing {
            behind: u32::from(!is_known),
            silent: 0,
            proxies: heard.proxies,
            acknowledged: heard.acknowledged,
            missing: heard.missing,
        }
    }
}

/// Whether what is published of a pod's name is nothing that is reached by mutual TLS at these addresses. What is not
/// understood may be.
fn is_plain(published: Option<&[u8]>, addresses: &[IpAddr]) -> bool {
    let Some(published) = published else {
        return true;
    };
    let Ok(Address {
        r#type: Some(Type::Workload(workload)),
    }) = Address::decode(published)
    else {
        return false;
    };
    let is_of_it = |octets: &[u8]| addresses.iter().any(|ip| is_same(*ip, octets));
    let is_another = !addresses.is_empty()
        && !workload.addresses.is_empty()
        && !workload.addresses.iter().any(|octets| is_of_it(octets));
    is_another
        || matches!(
            TunnelProtocol::try_from(workload.tunnel_protocol),
            Ok(TunnelProtocol::None)
        )
}

fn is_same(ip: IpAddr, octets: &[u8]) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets() == octets,
        IpAddr::V6(ip) => ip.octets() == octets,
    }
}

/// What this replica and the others say; one that says nothing has not heard. Whoever says it twice counts once.
fn merged(own: Answer, others: Vec<Option<Answer>>) -> Answer {
    let mut instances = vec![own.instance.clone()];
    let mut standing = own.standing;
    for other in others {
        let Some(other) = other else {
            standing = standing.and(Standing::silent());
            continue;
        };
        if !instances.contains(&other.instance) {
            standing = standing.and(other.standing);
            instances.push(other.instance);
        }
    }
    Answer {
        instance: own.instance,
        standing,
    }
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// The way to another replica and back.
const MOMENT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
