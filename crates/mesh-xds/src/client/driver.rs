//! Carries a [`ClientSession`] over gRPC and connects again when a stream ends.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use mesh_grpc::{Backoff, GrpcChannel};
use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use mesh_proto::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::{debug, info, warn};

use super::session::{ClientConfig, ClientSession, ClientStatus, Received};
use crate::resource::ApplyBatch;

/// What is known of a running client.
#[derive(Clone, Debug)]
pub struct ClientHandle {
    ready: watch::Receiver<bool>,
    status: Arc<Mutex<ClientStatus>>,
}

/// A client, and the future that runs it: it never ends by itself and is dropped to stop it.
pub fn client<A: ApplyBatch>(
    config: &ClientConfig,
    channel: GrpcChannel,
    apply: A,
) -> (ClientHandle, impl Future<Output = Infallible> + Send + use<A>) {
    let session = ClientSession::new(config);
    let (ready, ready_seen) = watch::channel(false);
    let status = Arc::new(Mutex::new(ClientStatus {
        types: session.status(),
        ..ClientStatus::default()
    }));
    let handle = ClientHandle {
        ready: ready_seen,
        status: status.clone(),
    };
    let driver = Driver {
        session,
        channel,
        apply,
        ready,
        status,
    };
    (handle, driver.run())
}

impl ClientHandle {
    /// Becomes true when each type was accepted in full once, and stays so.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// What is held now.
    #[must_use]
    pub fn status(&self) -> ClientStatus {
        self.status.lock().clone()
    }
}

struct Driver<A> {
    session: ClientSession,
    channel: GrpcChannel,
    apply: A,
    ready: watch::Sender<bool>,
    status: Arc<Mutex<ClientStatus>>,
}

impl<A: ApplyBatch> Driver<A> {
    async fn run(mut self) -> Infallible {
        let mut backoff = Backoff::of_streams();
        loop {
            let begun = Instant::now();
            let ended = self.stream().await;
            backoff.held_for(begun.elapsed());
            let delay = backoff.next_delay(fastrand::f64());
            match &ended {
                Ok(()) => debug!("the xDS stream was closed, next in {delay:?}"),
                Err(status) => warn!(
                    code = ?status.code(),
                    "the xDS stream ended, next in {delay:?}: {}",
                    mesh_grpc::channel::explain(status)
                ),
            }
            {
                let mut status = self.status.lock();
                status.connected = false;
                status.last_error = ended.err().map(|status| mesh_grpc::channel::explain(&status));
            }
            tokio::time::sleep(delay).await;
        }
    }

    async fn stream(&mut self) -> Result<(), Status> {
        let first = self.session.open();
        // Room for the first requests: a server may answer with headers only after it saw them.
        let (requests, outgoing) = mpsc::channel(first.len() + QUEUE);
        for request in first {
            send(&requests, request).await?;
        }
        let mut client = AggregatedDiscoveryServiceClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE);
        let streaming = client
            .delta_aggregated_resources(ReceiverStream::new(outgoing))
            .await?;
        let mut responses = streaming.into_inner();
        self.status.lock().connected = true;
        info!("the xDS stream is open");
        while let Some(response) = responses.message().await? {
            let answer = self.handle(response);
            send(&requests, answer).await?;
            self.publish();
        }
        Ok(())
    }

    fn handle(
        &mut self,
        response: mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryResponse,
    ) -> DeltaDiscoveryRequest {
        match self.session.receive(response) {
            Received::Answer(answer) => {
                warn!(
                    type_url = answer.type_url,
                    "the server sent a type that was not asked for"
                );
                *answer
            }
            Received::Apply(batch, pending) => {
                let (type_url, changed, removed) =
                    (batch.type_url, batch.resources.len(), batch.removed.len());
                let outcome = self.apply.apply(batch);
                let answer = self.session.answer(pending, outcome);
                match &answer.error_detail {
                    None => debug!(%type_url, changed, removed, "applied"),
                    Some(error) => warn!(%type_url, "refused: {}", error.message),
                }
                answer
            }
        }
    }

    fn publish(&self) {
        self.status.lock().types = self.session.status();
        if self.session.is_ready() {
            self.ready
                .send_if_modified(|ready| !std::mem::replace(ready, true));
        }
    }
}

async fn send(
    requests: &mpsc::Sender<DeltaDiscoveryRequest>,
    request: DeltaDiscoveryRequest,
) -> Result<(), Status> {
    // The receiver lives in the request body: gone means that the stream is.
    let closed = |_| Status::unavailable("the stream was closed");
    requests.send(request).await.map_err(closed)
}

/// The largest response: a first push of 100,000 workloads stays below it (upstream's ztunnel allows the same).
const MAX_MESSAGE: usize = 200 * 1024 * 1024;
/// Answers under way; the server has one response outstanding per type.
const QUEUE: usize = 8;
