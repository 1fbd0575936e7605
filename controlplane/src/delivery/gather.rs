//! Asks the other replicas, for as long as writing statuses is this one's duty.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use controlplane_ca::issuer::Issuer;
use mesh_grpc::{ChannelConfig, Credentials, GrpcChannel, Security, TlsTrust, TokenSource};
use mesh_kube::{KubeClient, Resource, Selection};
use mesh_proto::lateen::delivery::v1::GetRequest;
use mesh_proto::lateen::delivery::v1::deliveries_client::DeliveriesClient;
use mesh_tls::{TlsSettings, csr, pem, provider};
use mesh_types::Identity;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

use crate::cluster::duties;
use crate::delivery::{DeliveryBoard, Told, merged};

/// Where the other replicas are: behind the control plane's own Service.
#[derive(Clone, Debug)]
pub struct Replicas {
    /// The Service's namespace.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The port that replicas listen on where the Service does not say.
    pub port: u16,
}

/// Asks one replica.
pub trait AskReplica: Send + Sync + 'static {
    /// What it tells of its proxies.
    fn ask(&self, replica: SocketAddr) -> impl Future<Output = Result<Told>> + Send;
}

/// Keeps the board as all replicas together know it: a round when the duty begins, and one each half minute; says in `changed` when a
/// round brought something new. What was known is taken down when the duty ends: another one asks then. Runs for good.
///
/// # Errors
/// Never; the type is the supervisor's.
pub async fn keep(
    client: KubeClient,
    replicas: Replicas,
    board: DeliveryBoard,
    ask: impl AskReplica,
    changed: Arc<watch::Sender<u64>>,
    mut ours: watch::Receiver<bool>,
) -> Result<(), Infallible> {
    loop {
        duties::begins(&mut ours).await;
        tokio::select! {
            () = duties::ends(&mut ours) => {}
            () = gather(&client, &replicas, &board, &ask, &changed) => {}
        }
        board.clear();
    }
}

/// Round after round, for as long as nobody ends it.
async fn gather(
    client: &KubeClient,
    replicas: &Replicas,
    board: &DeliveryBoard,
    ask: &impl AskReplica,
    changed: &watch::Sender<u64>,
) {
    // Proxies of a replica that was here before it are still on their way to this one.
    if let Some(since) = board.since() {
        sleep_until(since + ROUND).await;
    }
    loop {
        match round(client, replicas, board, ask).await {
            Ok(true) => changed.send_modify(|changed| *changed += 1),
            Ok(false) => {}
            // Half of the truth would look like a loss: what was said stays.
            Err(e) => tracing::warn!("how far configuration came is not known: {e:#}"),
        }
        sleep(ROUND).await;
    }
}

/// One round; says whether it brought anything new.
async fn round(
    client: &KubeClient,
    replicas: &Replicas,
    board: &DeliveryBoard,
    ask: &impl AskReplica,
) -> Result<bool> {
    let addresses = replicas.find(client).await?;
    let mut others = Vec::with_capacity(addresses.len());
    for address in addresses {
        let asked = timeout(ANSWER, ask.ask(address)).await;
        let told = asked.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        others.push(told.with_context(|| format!("replica {address}"))?);
    }
    Ok(board.pin_up(merged(board.own(), others)))
}

impl Replicas {
    /// Every replica that takes proxies, this one among them.
    ///
    /// # Errors
    /// Fails when the API server does not say.
    pub async fn find(&self, client: &KubeClient) -> Result<Vec<SocketAddr>> {
        let slices = Selection::all(SLICES.clone()).in_namespace(&self.namespace);
        let slices = slices.with_labels(format!("kubernetes.io/service-name={}", self.service));
        let slices: Vec<Slice> = client.list(&slices).await?;
        let addresses = slices.into_iter().flat_map(|slice| {
            let port = slice.port().unwrap_or(self.port);
            let endpoints = slice.endpoints.into_iter().flatten();
            let ready = endpoints.filter(|endpoint| endpoint.conditions.ready != Some(false));
            ready.filter_map(move |endpoint| {
                let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
                Some(SocketAddr::new(address, port))
            })
        });
        Ok(addresses.collect())
    }
}

impl Slice {
    fn port(&self) -> Option<u16> {
        let mut ports = self.ports.iter().flatten();
        let named = ports.find(|port| port.name.as_deref() == Some(PORT));
        named?.port
    }
}

#[derive(Debug, Deserialize)]
struct Slice {
    /// Go writes an empty list as `null`.
    #[serde(default)]
    endpoints: Option<Vec<Endpoint>>,
    #[serde(default)]
    ports: Option<Vec<Port>>,
}

#[derive(Debug, Deserialize)]
struct Port {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    port: Option<u16>,
}

#[derive(Debug, Deserialize)]
struct Endpoint {
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    conditions: Conditions,
}

#[derive(Debug, Default, Deserialize)]
struct Conditions {
    #[serde(default)]
    ready: Option<bool>,
}

/// Asks over the port that proxies use, with a certificate that only a replica can make itself.
#[derive(Clone, Debug)]
pub struct OverTls {
    /// Signs.
    pub issuer: Arc<Issuer>,
    /// Who replicas are.
    pub replica: Identity,
    /// A name that every replica's certificate carries.
    pub server_name: String,
    /// The serving certificate's own roots (PEM file), where an operator mounted it with some.
    pub further_roots: std::path::PathBuf,
}

impl AskReplica for OverTls {
    async fn ask(&self, replica: SocketAddr) -> Result<Told> {
        let channel = self.channel(replica)?;
        let mut client = DeliveriesClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        let response = client.get(GetRequest {}).await;
        let response =
            response.map_err(|status| anyhow::anyhow!("{}: {}", status.code(), status.message()))?;
        Ok(response.into_inner().into())
    }
}

impl OverTls {
    /// A channel to a replica, as one: good for no longer than [`LIFETIME`].
    ///
    /// # Errors
    /// Fails when no certificate can be made.
    pub fn channel(&self, replica: SocketAddr) -> Result<GrpcChannel> {
        let config = Arc::new(self.client_config(SystemTime::now())?);
        let channel = mesh_grpc::channel(ChannelConfig {
            address: format!("https://{replica}").parse()?,
            server_name: Some(self.server_name.clone()),
            security: Security::Tls(TlsTrust::new(move || Ok::<_, io::Error>(config.clone()))),
            credentials: Credentials::new(TokenSource::Anonymous),
        })?;
        Ok(channel)
    }

    fn client_config(&self, now: SystemTime) -> Result<ClientConfig> {
        let (key, request) = csr::encode(&self.replica)?;
        let request = csr::decode(&request)?;
        let issued = self
            .issuer
            .issue(&self.replica, request.public_key(), LIFETIME, now)?;
        let (roots_pem, chain) = issued.chain.split_last().context("an empty chain")?;
        let mut roots = RootCertStore::empty();
        let further = std::fs::read_to_string(&self.further_roots).unwrap_or_default();
        for root in pem::certificates(roots_pem)?
            .into_iter()
            .chain(pem::certificates(&further).unwrap_or_default())
        {
            roots.add(root)?;
        }
        let key = PrivateKeyDer::try_from(key.expose_pkcs8_der().to_vec()).map_err(anyhow::Error::msg)?;
        let config = ClientConfig::builder_with_provider(provider(&TlsSettings::default()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(pem::certificates(&chain.concat())?, key)?;
        Ok(config)
    }
}

static SLICES: Resource = Resource::namespaced("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice");
/// The name of the port for xDS in the Service, as upstream has it.
const PORT: &str = "https-dns";
/// Changes are written at most this often.
const ROUND: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(5);
/// Of the certificate that a replica shows to another.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// Of 100,000 objects.
const MAX_ANSWER: usize = 32 << 20;

#[cfg(test)]
mod tests;
