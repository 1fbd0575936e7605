//! Who says what belongs to the mesh, who is told what became of it, and whether the agent comes back when it stops: all
//! that depends on whether it lives in a cluster.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context as _, bail};
use mesh_grpc::{ChannelConfig, Credentials, GrpcChannel, Scheme, Security, TlsTrust, TokenSource};
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource};
use mesh_register::RegisterHandle;
use mesh_tls::TlsSettings;
use mesh_tls::service::{RootSource, client_config};
use mesh_types::NamespacedName;
use serde::Deserialize;
use tokio::time::timeout;

use crate::announce::settling::{Ask, Settling};
use crate::announce::{Annotator, Announcer, Registration};
use crate::config::{Config, MembershipSetting};
use crate::install::ending::{Ending, OwnPod, Owner, ending, unauthorized};
use crate::source::Source;

/// Who says what belongs here, and who is told.
pub struct Membership {
    /// Who says it.
    pub source: Source,
    /// Who is told.
    pub announcer: Announcer,
    /// The registration stream, where there is one.
    pub registrar: Option<RegisterHandle>,
    /// What carries that stream.
    pub driver: Option<Pin<Box<dyn Future<Output = Infallible> + Send>>>,
    /// The DaemonSet that this agent is a pod of, in a cluster.
    pub daemonset: Option<DaemonSet>,
}

/// The DaemonSet that this agent is a pod of.
pub struct DaemonSet {
    client: KubeClient,
    name: ObjectName,
    /// Whether the API server answered when the agent started.
    could_ask: bool,
    /// The Pod that this agent runs in, where it was told.
    own_pod: Option<NamespacedName>,
    /// Who sees the pods of this node.
    annotator: Annotator,
    always_leave: bool,
}

/// How the API server refuses to say whether it is there.
enum Refusal {
    /// 401: the token is not good, since its Pod or its account is gone.
    Unauthorized,
    /// 403: the account has no right to it.
    Forbidden,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deletable {
    metadata: DeletableMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeletableMetadata {
    deletion_timestamp: Option<String>,
}

impl Membership {
    /// As the configuration says.
    ///
    /// # Errors
    /// Fails when the control plane or the API server cannot be reached as configured; one that is away is no error.
    pub async fn of(config: &Config) -> anyhow::Result<Self> {
        match config.membership {
            MembershipSetting::Registration => registration(config),
            MembershipSetting::Kubernetes => kubernetes(config).await,
        }
    }
}

impl DaemonSet {
    /// What is to become of the mesh on this node, now that the agent stops.
    pub async fn ending(&self) -> Ending {
        let owner = match self.ask().await {
            Ok(owner) => owner,
            Err(_) if !self.could_ask => Owner::NeverAllowed,
            Err(Refusal::Forbidden) => Owner::RightsTakenAway,
            Err(Refusal::Unauthorized) => unauthorized(self.own_pod().await),
        };
        tracing::info!(?owner, daemonset = %self.name, "the agent stops");
        ending(owner, self.always_leave)
    }

    async fn ask(&self) -> Result<Owner, Refusal> {
        for _ in 0..ATTEMPTS {
            let found = self.client.find::<Deletable>(&DAEMON_SET, &self.name);
            match timeout(DEADLINE, found).await {
                Ok(Ok(Some(found))) if found.metadata.deletion_timestamp.is_some() => {
                    return Ok(Owner::BeingDeleted);
                }
                Ok(Ok(Some(_))) => return Ok(Owner::Present),
                Ok(Ok(None)) => return Ok(Owner::Gone),
                Ok(Err(KubeError::Unauthorized(_))) => return Err(Refusal::Unauthorized),
                Ok(Err(KubeError::Forbidden(_))) => return Err(Refusal::Forbidden),
                Ok(Err(error)) => tracing::warn!(%error, "whether the agent's DaemonSet is there is unknown"),
                Err(_) => tracing::warn!(
                    "the API server does not say in time whether the agent's DaemonSet is there"
                ),
            }
        }
        Ok(Owner::Unknown)
    }

    /// What the watch of this node's pods says, which outlives the token that it began with. That the pod is gone is heard there at
    /// about the time when the kubelet hears of it and ends the agent, so it is waited for.
    async fn own_pod(&self) -> OwnPod {
        let Some(name) = &self.own_pod else {
            return OwnPod::Unknown;
        };
        match timeout(HEARD, self.annotator.gone(name)).await {
            Ok(()) => OwnPod::Gone,
            Err(_) => OwnPod::There,
        }
    }
}

/// To the control plane. It is dialled when it is first used; roots and token are read then, and again each time.
fn control_plane(config: &Config) -> anyhow::Result<GrpcChannel> {
    let roots = RootSource::from_setting(&config.root_ca);
    let settings = TlsSettings::default();
    let security = match config.control_plane.scheme() {
        Scheme::Https => Security::Tls(TlsTrust::new(move || client_config(&roots, &settings))),
        Scheme::Http => Security::Plaintext,
    };
    let credentials = Credentials::new(TokenSource::parse(&config.token)).with_cluster(&config.cluster_id)?;
    Ok(mesh_grpc::channel(ChannelConfig {
        address: config.control_plane.clone(),
        server_name: config.server_name.clone(),
        security,
        credentials,
    })?)
}

fn registration(config: &Config) -> anyhow::Result<Membership> {
    let channel = control_plane(config)?;
    let client = mesh_register::ClientConfig {
        instance: instance(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let (registrar, assignments, driver) = mesh_register::client(client, channel);
    Ok(Membership {
        source: Source::registration(assignments, &registrar),
        announcer: Announcer::Registration(Registration {
            registrar: registrar.clone(),
            settle: config.cluster.settle(),
        }),
        registrar: Some(registrar),
        driver: Some(Box::pin(driver)),
        daemonset: None,
    })
}

async fn kubernetes(config: &Config) -> anyhow::Result<Membership> {
    let cluster = &config.cluster;
    let Some(node) = config.node_name.as_deref().filter(|name| !name.is_empty()) else {
        bail!("the node's name is missing: NODE_NAME must be spec.nodeName of the agent's pod");
    };
    let client = KubeClient::connect(&cluster.access())
        .await
        .context("the API server")?;
    let mut settling = Settling::blindly(cluster.settle());
    if let Some(patience) = cluster.unenroll_ack() {
        let channel = control_plane(config)?;
        settling = settling.asking(Ask { channel, patience });
    }
    let annotator = Annotator::new(client.clone(), settling);
    let mut daemonset = DaemonSet {
        client: client.clone(),
        name: ObjectName::new(cluster.pod_namespace.as_str(), cluster.daemonset.as_str()),
        could_ask: true,
        own_pod: cluster.own_pod(),
        annotator: annotator.clone(),
        always_leave: cluster.always_leave,
    };
    daemonset.could_ask = matches!(
        daemonset.ask().await,
        Ok(Owner::Present | Owner::BeingDeleted | Owner::Gone)
    );
    Ok(Membership {
        source: Source::api_server(&client, node, cluster.rules(), annotator.clone()),
        announcer: Announcer::Annotation(annotator),
        registrar: None,
        driver: None,
        daemonset: Some(daemonset),
    })
}

/// Tells this process from its predecessor; it need not be secret.
fn instance() -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    format!("{:x}-{:x}", now.as_nanos(), std::process::id())
}

static DAEMON_SET: Resource = Resource::namespaced("apps", "v1", "daemonsets", "DaemonSet");
const ATTEMPTS: usize = 3;
/// All attempts together are to end before the runtime's patience does.
const DEADLINE: Duration = Duration::from_secs(2);
/// Longer than an event is under way.
const HEARD: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
