//! Who may open which stream.

use std::time::Duration;

use controlplane_ca::authenticator::Authenticator;
use controlplane_ca::caller::Caller;
use mesh_grpc::{AuthenticateCaller, ConnectionInfo, Denied};
use mesh_xds::server::debug::Audience;
use mesh_xds::{AdmitNode, NodeInfo};
use tokio::sync::watch;
use tonic::metadata::MetadataMap;

use crate::gateways::GatewayBoard;

/// xDS: everybody in the mesh, as what they are. Who asks for what a gateway serves, which may hold keys and names of
/// others' services, has to run as that gateway does.
#[derive(Clone, Debug)]
pub struct XdsAdmission {
    /// Says who calls.
    pub authenticator: Authenticator,
    /// Says whom gateways' proxies run as.
    pub gateways: GatewayBoard,
    /// The mesh's own namespace, whose accounts are operators'.
    pub root_namespace: String,
}

impl AuthenticateCaller for XdsAdmission {
    type Caller = Caller;

    async fn authenticate(
        &self,
        metadata: &MetadataMap,
        connection: Option<&ConnectionInfo>,
    ) -> Result<Caller, Denied> {
        self.authenticator.authenticate(metadata, connection).await
    }

    fn good_for(&self, metadata: &MetadataMap, connection: Option<&ConnectionInfo>) -> Option<Duration> {
        self.authenticator.good_for(metadata, connection)
    }
}

impl AdmitNode for XdsAdmission {
    fn admit(&self, caller: &Caller, node: &NodeInfo) -> Result<(), Denied> {
        let (namespace, account) = match caller {
            Caller::Token(subject) => (subject.account.namespace.as_str(), subject.account.name.as_str()),
            Caller::Mesh(identity) => (identity.namespace().as_str(), identity.service_account().as_str()),
        };
        if node.namespace != namespace {
            return Err(Denied::NotWhatItSays(format!(
                "{caller} says that it is in namespace {:?}",
                node.namespace
            )));
        }
        if let Some(gateway) = node.gateway() {
            self.admit_to_gateway(caller, account, &gateway)?;
        }
        match caller {
            Caller::Token(subject) if node.node != subject.node => Err(Denied::NotWhatItSays(format!(
                "{caller} says that it is on node {:?}",
                node.node
            ))),
            _ => Ok(()),
        }
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.gateways.changes())
    }

    /// As at istiod: accounts of the mesh's own namespace are told of everybody, others of their own namespace.
    async fn may_look(
        &self,
        metadata: &MetadataMap,
        connection: Option<&ConnectionInfo>,
    ) -> Result<Audience, Denied> {
        let namespace = self.authenticator.onlooker(metadata, connection).await?;
        Ok(if namespace == self.root_namespace {
            Audience::Everybody
        } else {
            Audience::Namespace(namespace)
        })
    }
}

impl XdsAdmission {
    /// The gateway is in the caller's namespace already.
    fn admit_to_gateway(&self, caller: &Caller, account: &str, gateway: &str) -> Result<(), Denied> {
        match self.gateways.account(gateway) {
            Some(own) if own == *account => Ok(()),
            Some(own) => Err(Denied::NotWhatItSays(format!(
                "{caller} says that it is a proxy of gateway {gateway}, whose proxies run as service account {own}"
            ))),
            None => Err(Denied::NotWhatItSays(format!(
                "{caller} says that it is a proxy of gateway {gateway}, and there is no such Gateway"
            ))),
        }
    }
}

#[cfg(test)]
mod tests;
