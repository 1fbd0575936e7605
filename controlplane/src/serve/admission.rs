//! Who may open which stream.

use std::time::Duration;

use controlplane_ca::authenticator::Authenticator;
use controlplane_ca::caller::Caller;
use mesh_grpc::{AuthenticateCaller, ConnectionInfo, Denied};
use mesh_xds::{AdmitNode, NodeInfo};
use tonic::metadata::MetadataMap;

/// xDS: everybody in the mesh, as what they are (control-plane.md, 2.10).
#[derive(Clone, Debug)]
pub struct XdsAdmission(pub Authenticator);

impl AuthenticateCaller for XdsAdmission {
    type Caller = Caller;

    async fn authenticate(
        &self,
        metadata: &MetadataMap,
        connection: Option<&ConnectionInfo>,
    ) -> Result<Caller, Denied> {
        self.0.authenticate(metadata, connection).await
    }

    fn good_for(&self, metadata: &MetadataMap, connection: Option<&ConnectionInfo>) -> Option<Duration> {
        self.0.good_for(metadata, connection)
    }
}

impl AdmitNode for XdsAdmission {
    fn admit(&self, caller: &Caller, node: &NodeInfo) -> Result<(), Denied> {
        let namespace = match caller {
            Caller::Token(subject) => subject.account.namespace.as_str(),
            Caller::Mesh(identity) => identity.namespace(),
        };
        if node.namespace != namespace {
            return Err(Denied::Forbidden(format!(
                "{caller} says that it is in namespace {:?}",
                node.namespace
            )));
        }
        match caller {
            Caller::Token(subject) if node.node != subject.node => Err(Denied::Forbidden(format!(
                "{caller} says that it is on node {:?}",
                node.node
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
