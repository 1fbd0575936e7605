//! Answers the other replicas.

use controlplane_ca::authenticator::Authenticator;
use controlplane_ca::caller::Caller;
use mesh_grpc::{AuthenticateCaller, ConnectionInfo, Denied};
use mesh_proto::lateen::delivery::v1 as wire;
use mesh_proto::lateen::delivery::v1::deliveries_server::{Deliveries as Serve, DeliveriesServer};
use mesh_types::Identity;
use mesh_xds::server::Delivery;
use tonic::{Request, Response, Status};

use crate::delivery::{DeliveryBoard, Told, object};

/// The service.
#[derive(Clone, Debug)]
pub struct DeliveryServer {
    board: DeliveryBoard,
    authenticator: Authenticator,
    /// Who replicas are.
    replica: Identity,
}

impl DeliveryServer {
    /// Tells what is on a board to whoever shows a certificate of this identity.
    #[must_use]
    pub fn new(board: DeliveryBoard, authenticator: Authenticator, replica: Identity) -> Self {
        Self {
            board,
            authenticator,
            replica,
        }
    }

    /// The service for a tonic server.
    #[must_use]
    pub fn into_service(self) -> DeliveriesServer<Self> {
        DeliveriesServer::new(self)
    }
}

#[tonic::async_trait]
impl Serve for DeliveryServer {
    async fn get(&self, request: Request<wire::GetRequest>) -> Result<Response<wire::GetResponse>, Status> {
        let connection = request.extensions().get::<ConnectionInfo>();
        let caller = self
            .authenticator
            .authenticate(request.metadata(), connection)
            .await
            .map_err(|denied| denied.to_status())?;
        if caller != Caller::Mesh(self.replica.clone()) {
            let denied = Denied::NotWhatItSays(format!("{caller} is no replica of the control plane"));
            tracing::warn!("deliveries are not told: {denied}");
            return Err(denied.to_status());
        }
        Ok(Response::new(self.board.own().into()))
    }
}

impl From<Told> for wire::GetResponse {
    fn from(told: Told) -> Self {
        let deliveries = told.deliveries.into_iter();
        let delivery = |(object, delivery): (controlplane_k8s_api::ObjectKey, Delivery)| wire::Delivery {
            kind: object.kind.as_str().to_owned(),
            namespace: object.namespace.to_string(),
            name: object.name.to_string(),
            content: delivery.content,
            proxies: delivery.proxies,
            delivered: delivery.delivered,
            refused: delivery.refused,
        };
        Self {
            instance: told.instance,
            deliveries: deliveries.map(delivery).collect(),
        }
    }
}

impl From<wire::GetResponse> for Told {
    /// Kinds that only a newer replica knows are left out.
    fn from(response: wire::GetResponse) -> Self {
        let deliveries = response.deliveries.into_iter();
        let delivery = |said: wire::Delivery| {
            let object = controlplane_k8s_api::ObjectKey {
                kind: object::kind_of(&said.kind)?,
                namespace: said.namespace.into(),
                name: said.name.into(),
            };
            let delivery = Delivery {
                content: said.content,
                proxies: said.proxies,
                delivered: said.delivered,
                refused: said.refused,
            };
            Some((object, delivery))
        };
        Self {
            instance: response.instance,
            deliveries: deliveries.filter_map(delivery).collect(),
        }
    }
}
