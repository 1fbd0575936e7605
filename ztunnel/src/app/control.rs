//! The control plane's streams, the certificates, the workers and the node agent, put together.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context;
use mesh_certs::client::CaClientSettings;
use mesh_certs::{CaClient, CertManager, WallClock};
use mesh_dataplane::bootstrap::{Server, connect};
use mesh_dataplane::identities::Patient;
use mesh_dataplane::record::Traffic;
use mesh_dataplane::subscribe::{Subscription, TYPES};
use mesh_net::Netns;
use mesh_net::orig_dst;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::supervise::Tasks;
use mesh_state::{StateReader, mesh};
use mesh_xds::{ClientConfig, ClientHandle, NodeInfo};
use mesh_zds::ZdsClient;
use prometheus::Registry;
use tokio::sync::oneshot;

use crate::admin::{BUILD, Shown};
use crate::config::{Config, ServerConfig};
use crate::dns::Dns;
use crate::local::PATIENCE;
use crate::worker::{self, Settings, WorkerSeed};
use crate::workloads::{Manager, PodStarter, PodTable};

/// What runs on the control thread, and the workers.
pub(super) struct Control {
    state: StateReader,
    certs: CertManager,
    xds: ClientHandle,
    pods: PodTable,
    starter: PodStarter,
}

impl Control {
    /// Starts everything except the node agent's client.
    ///
    /// # Errors
    /// Names what cannot work at all; what may work later is tried for ever.
    pub(super) fn start(
        config: &Config,
        tasks: &Tasks,
        registry: &Registry,
        traffic: &Traffic,
        readiness: &Readiness,
    ) -> anyhow::Result<Self> {
        let (writer, state) = mesh(mesh_state::Settings {
            preferred_namespace: config.pods.preferred_namespace.clone(),
        });
        let xds = start_xds(config, tasks, readiness, Subscription::new(writer))?;
        let certs = start_certificates(config, tasks)?;
        let seed = WorkerSeed {
            state: state.clone(),
            certs: Patient::new(certs.clone()),
            traffic: traffic.clone(),
            hbone: config.hbone.clone(),
            settings: settings(config),
            dns: Dns::new(
                config.dns.cluster_domain.clone(),
                &config.dns.resolv_conf,
                registry,
            ),
            synced: xds.ready(),
        };
        let workers = (0..config.worker_threads).map(|n| {
            let (handle, _thread) = worker::start(n, seed.clone(), tasks)?;
            Ok(handle)
        });
        let workers: Result<Vec<_>, std::io::Error> = workers.collect();
        let starter = PodStarter {
            workers: workers.context("data worker threads")?,
            state: state.clone(),
            synced: xds.ready(),
            cluster: config.node.cluster_id.clone(),
            network: config.node.network.clone(),
            mark: Some(config.pods.mark),
            keepalive: config.pods.keepalive,
            ipv6: config.pods.ipv6,
            dns: config.dns.listen.clone(),
            tasks: tasks.clone(),
        };
        starter.check_rights().map_err(anyhow::Error::msg)?;
        Ok(Self {
            state,
            certs,
            xds,
            pods: PodTable::new(registry),
            starter,
        })
    }

    /// What the admin pages show.
    pub(super) fn shown(&self, config: &Arc<Config>) -> Shown {
        Shown {
            config: config.clone(),
            state: self.state.clone(),
            certs: self.certs.clone(),
            xds: self.xds.clone(),
            pods: self.pods.clone(),
        }
    }

    /// Follows the node agent until the sender is used or dropped; the receiver tells when all pods are drained.
    pub(super) fn serve_pods(
        self,
        config: &Config,
        tasks: &Tasks,
        readiness: &Readiness,
    ) -> (oneshot::Sender<()>, oneshot::Receiver<()>) {
        let (stop, stopping) = oneshot::channel::<()>();
        let (stopped, done) = oneshot::channel();
        let manager = Manager::new(
            self.starter,
            self.certs,
            self.state,
            self.xds.ready(),
            self.pods,
            tasks.clone(),
            readiness.block("workload proxy manager"),
        );
        let mut agent = ZdsClient::new(&config.pods.agent_socket);
        match Netns::current() {
            Ok(own) => agent = agent.refuse(own.id()),
            // Nothing that this process does works without its own namespace; the pods' are another matter.
            Err(error) => {
                tracing::warn!(%error, "this process's network namespace cannot be told from pods'")
            }
        }
        let deadline = config.termination_deadline;
        tasks.critical_local("workload proxy manager", async move {
            let stop = async {
                let _ = stopping.await;
            };
            manager.run(agent, stop, deadline).await;
            let _ = stopped.send(());
            Ok::<_, Infallible>(())
        });
        (stop, done)
    }
}

fn start_xds(
    config: &Config,
    tasks: &Tasks,
    readiness: &Readiness,
    subscription: Subscription,
) -> anyhow::Result<ClientHandle> {
    let channel = connect(
        &server(&config.xds),
        config.token.clone(),
        &config.node.cluster_id,
        &config.tls,
    )
    .context("XDS_ADDRESS")?;
    let mut node = NodeInfo::ztunnel(
        config.node.instance_ip,
        &config.node.pod_name,
        &config.node.pod_namespace,
        &config.node.name,
    );
    node.metadata.extend(config.node.metadata.iter().cloned());
    let node = node.described(BUILD.version, &config.node.cluster_id);
    let types = TYPES.to_vec();
    let (handle, driver) = mesh_xds::client(&ClientConfig { node, types }, channel, subscription);
    tasks.critical("xds client", never_ends(driver));
    let synced = readiness.block("state manager");
    let mut ready = handle.ready();
    tasks.spawn("state manager", async move {
        if ready.wait_for(|ready| *ready).await.is_ok() {
            tracing::info!("the configuration is complete");
            synced.ready();
        }
    });
    Ok(handle)
}

fn start_certificates(config: &Config, tasks: &Tasks) -> anyhow::Result<CertManager> {
    let channel = connect(
        &server(&config.ca),
        config.token.clone(),
        &config.node.cluster_id,
        &config.tls,
    )
    .context("CA_ADDRESS")?;
    let settings = CaClientSettings {
        lifetime: config.secret_ttl,
        impersonate: true,
        tls: config.tls.clone(),
    };
    let (manager, driver) = CertManager::new(CaClient::new(channel, settings), WallClock::system());
    tasks.critical("certificates", never_ends(driver));
    Ok(manager)
}

async fn never_ends(driver: impl Future<Output = Infallible>) -> Result<(), Infallible> {
    match driver.await {}
}

fn server(config: &ServerConfig) -> Server {
    Server {
        address: config.address.clone(),
        roots: config.root.clone(),
        alt_hostname: config.alt_hostname.clone(),
        headers: config.headers.clone(),
    }
}

fn settings(config: &Config) -> Settings {
    Settings {
        mark: Some(config.pods.mark),
        keepalive: config.pods.keepalive,
        user_timeout: config.pods.user_timeout,
        original_source: config.pods.original_source,
        response_baggage: config.response_baggage,
        original_destination: orig_dst,
        sync_patience: PATIENCE,
    }
}
