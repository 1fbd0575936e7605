//! What the client holds and answers; no IO, no clock. It outlives streams: on a new one it says what it holds, so that
//! only differences are sent.
//!
//! ```text
//! open() -> first requests          one per type, with the versions held
//! receive(response) -> Apply(batch, pending) -> answer(pending, outcome) -> ACK or NACK
//!                   -> Answer(ACK)  a type that nobody asked for
//! ```

use std::collections::{BTreeMap, HashSet};

use mesh_proto::envoy::config::core::v3::Node;
use mesh_proto::envoy::service::discovery::v3::{
    self as wire, DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use mesh_proto::google::rpc::Status;
use serde::Serialize;

use crate::node::NodeInfo;
use crate::refusal;
use crate::resource::{Batch, Rejected, Resource, TypeUrl};

/// Who the client is and what it follows.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Who it is.
    pub node: NodeInfo,
    /// What it follows, all of each type, in the order of their references: policies before addresses.
    pub types: Vec<TypeUrl>,
}

/// The client's side of the protocol.
#[derive(Clone, Debug)]
pub struct ClientSession {
    node: Node,
    types: Vec<Followed>,
}

/// What to do with a response.
#[derive(Debug)]
#[must_use]
pub enum Received {
    /// Apply the batch, then [`ClientSession::answer`] with the outcome.
    Apply(Batch, Pending),
    /// Nothing to apply; send this.
    Answer(Box<DeltaDiscoveryRequest>),
}

/// A response that is being applied.
#[derive(Debug)]
#[must_use]
pub struct Pending {
    index: usize,
    nonce: String,
    versions: Vec<(String, String)>,
    removed: Vec<String>,
    rejected: Vec<Rejected>,
}

/// What a client holds, for dumps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientStatus {
    /// A stream is open.
    pub connected: bool,
    /// Why the last stream ended.
    pub last_error: Option<String>,
    /// Each type that is followed.
    pub types: Vec<TypeStatus>,
}

/// What a client holds of one type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypeStatus {
    /// The type.
    pub type_url: TypeUrl,
    /// How many resources are held.
    pub held: usize,
    /// A response was accepted in full at least once.
    pub acked: bool,
    /// What was refused last, if the last response was not accepted in full.
    pub refused: Option<String>,
}

#[derive(Clone, Debug)]
struct Followed {
    type_url: TypeUrl,
    held: BTreeMap<String, String>,
    acked: bool,
    refused: Option<String>,
}

impl ClientSession {
    /// A client that holds nothing yet.
    #[must_use]
    pub fn new(config: &ClientConfig) -> Self {
        let followed = |type_url: &TypeUrl| Followed {
            type_url: *type_url,
            held: BTreeMap::new(),
            acked: false,
            refused: None,
        };
        Self {
            node: Node::from(&config.node),
            types: config.types.iter().map(followed).collect(),
        }
    }

    /// The first requests of a new stream, one for each type: an empty subscription means all of it.
    #[must_use]
    pub fn open(&self) -> Vec<DeltaDiscoveryRequest> {
        let first = |followed: &Followed| DeltaDiscoveryRequest {
            node: Some(self.node.clone()),
            type_url: followed.type_url.as_str().to_owned(),
            initial_resource_versions: followed.held.clone(),
            ..Default::default()
        };
        self.types.iter().map(first).collect()
    }

    /// Takes a response apart.
    pub fn receive(&mut self, response: DeltaDiscoveryResponse) -> Received {
        let found = self
            .types
            .iter()
            .position(|f| f.type_url.as_str() == response.type_url);
        let Some(index) = found else {
            // Refusing it would only make a newer server send it again.
            let answer = answer(response.type_url, response.nonce, &[]);
            return Received::Answer(Box::new(answer));
        };
        let type_url = self.types[index].type_url;
        let mut rejected = Vec::new();
        let mut resources = Vec::with_capacity(response.resources.len());
        let mut names = HashSet::with_capacity(response.resources.len());
        for resource in response.resources {
            match check(type_url, resource) {
                Ok(good) if !names.insert(good.name.clone()) => {
                    rejected.push(reject(&good.name, "the name stands twice"))
                }
                Ok(good) => resources.push(good),
                Err(bad) => rejected.push(bad),
            }
        }
        let (both, removed): (Vec<_>, Vec<_>) = response
            .removed_resources
            .into_iter()
            .partition(|n| names.contains(n));
        rejected.extend(both.iter().map(|n| reject(n, "it is both updated and removed")));
        let versions = resources
            .iter()
            .map(|r| (r.name.clone(), r.version.clone()))
            .collect();
        let pending = Pending {
            index,
            nonce: response.nonce,
            versions,
            removed: removed.clone(),
            rejected,
        };
        let batch = Batch {
            type_url,
            resources,
            removed,
        };
        Received::Apply(batch, pending)
    }

    /// Records what was applied. A refused resource keeps the version that is still held, or is not held at all: the
    /// server sends it again on the next stream.
    #[must_use]
    pub fn answer(&mut self, pending: Pending, outcome: Result<(), Vec<Rejected>>) -> DeltaDiscoveryRequest {
        let followed = &mut self.types[pending.index];
        let mut rejected = pending.rejected;
        rejected.extend(outcome.err().unwrap_or_default());
        let bad: HashSet<&str> = rejected.iter().map(|r| r.name.as_str()).collect();
        for name in &pending.removed {
            followed.held.remove(name);
        }
        for (name, version) in pending.versions {
            if !bad.contains(name.as_str()) {
                followed.held.insert(name, version);
            }
        }
        let request = answer(followed.type_url.as_str().to_owned(), pending.nonce, &rejected);
        followed.acked |= rejected.is_empty();
        followed.refused = request.error_detail.as_ref().map(|status| status.message.clone());
        request
    }

    /// Every type was accepted in full at least once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.types.iter().all(|f| f.acked)
    }

    /// What is held, by type.
    #[must_use]
    pub fn status(&self) -> Vec<TypeStatus> {
        let status = |f: &Followed| TypeStatus {
            type_url: f.type_url,
            held: f.held.len(),
            acked: f.acked,
            refused: f.refused.clone(),
        };
        self.types.iter().map(status).collect()
    }
}

fn check(type_url: TypeUrl, resource: wire::Resource) -> Result<Resource, Rejected> {
    let name = resource.name;
    if name.is_empty() {
        return Err(reject("", "name is empty"));
    }
    let Some(any) = resource.resource else {
        return Err(reject(&name, "resource is missing"));
    };
    if any.type_url != type_url.as_str() {
        return Err(reject(&name, &format!("resource.type_url is {:?}", any.type_url)));
    }
    Ok(Resource {
        name,
        version: resource.version,
        body: any.value,
    })
}

fn reject(name: &str, reason: &str) -> Rejected {
    Rejected {
        name: name.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The nonce alone accepts; an error refuses.
fn answer(type_url: String, nonce: String, rejected: &[Rejected]) -> DeltaDiscoveryRequest {
    let error_detail = (!rejected.is_empty()).then(|| {
        let lines = rejected
            .iter()
            .take(MAX_NAMED)
            .map(|r| format!("{}: {}", r.name, r.reason));
        let mut lines: Vec<_> = lines.collect();
        if rejected.len() > MAX_NAMED {
            lines.push(format!("and {} more", rejected.len() - MAX_NAMED));
        }
        Status {
            code: tonic::Code::InvalidArgument as i32,
            message: lines.join("; "),
            details: refusal::to_details(rejected.iter().map(|r| r.name.as_str())),
        }
    });
    DeltaDiscoveryRequest {
        type_url,
        response_nonce: nonce,
        error_detail,
        ..Default::default()
    }
}

/// A server that sends nothing but garbage is not answered with all of it.
const MAX_NAMED: usize = 100;

#[cfg(test)]
mod tests;
