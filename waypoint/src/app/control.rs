//! The control plane's streams, the certificate, the workers and the ports, put together.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context;
use mesh_certs::client::CaClientSettings;
use mesh_certs::{CaClient, CertManager, WallClock};
use mesh_dataplane::bootstrap::{Server, connect};
use mesh_dataplane::identities::Patient;
use mesh_dataplane::subscribe::{GATEWAY_TYPES, Subscription};
use mesh_hbone::{Pool, ReceiveBudget};
use mesh_runtime::readiness::Readiness;
use mesh_runtime::supervise::Tasks;
use mesh_state::l7::{L7Reader, l7};
use mesh_state::{StateReader, mesh};
use mesh_tls::CertSource;
use mesh_types::WorkloadUid;
use mesh_xds::{ClientConfig, ClientHandle, NodeInfo};
use tokio::sync::{oneshot, watch};

use super::binds::Binds;
use crate::admin::{BUILD, Shown};
use crate::config::{Config, ServerConfig};
use crate::filters::jwt::fetch::network::Outside;
use crate::filters::jwt::{fetch, store::KeySets};
use crate::filters::rate_limit::buckets::Buckets;
use crate::frontend::Gateway;
use crate::settings::Settings;
use crate::telemetry::Telemetry;
use crate::upstream::{Needs, Registry, Upstream};
use crate::worker::{self, WorkerSeed, Workers};

/// What runs on the control thread, and the workers.
pub(super) struct Control {
    state: StateReader,
    l7: L7Reader,
    key_sets: KeySets,
    certs: CertManager,
    xds: ClientHandle,
    gateway: Arc<Gateway>,
    workers: Workers,
}

impl Control {
    /// Starts everything except the ports.
    ///
    /// # Errors
    /// Names what cannot work at all; what may work later is tried for ever.
    pub(super) fn start(
        config: &Config,
        tasks: &Tasks,
        telemetry: &Telemetry,
        readiness: &Readiness,
    ) -> anyhow::Result<Self> {
        let (writer, state) = mesh(mesh_state::Settings::default());
        let (l7_writer, l7) = l7();
        let xds = start_xds(
            config,
            tasks,
            readiness,
            Subscription::of_gateway(writer, l7_writer),
        )?;
        let certs = start_certificates(config, tasks)?;
        certs.warm(&config.node.identity);
        let gateway = Gateway {
            network: config.node.network.clone(),
            multi_network: !config.node.network.is_empty(),
            workload: Some(WorkloadUid::of_pod(
                &config.node.cluster_id,
                &config.node.pod_namespace,
                &config.node.pod_name,
            )),
            ..Gateway::new(config.node.gateway.clone(), &config.node.domain)
                .with_service(&config.node.service, &config.node.domain)
        };
        let gateway = Arc::new(gateway);
        let key_sets = KeySets::default();
        let seed = WorkerSeed {
            state: state.clone(),
            l7: l7.clone(),
            certs: Patient::new(certs.clone()),
            identity: config.node.identity.clone(),
            gateway: gateway.clone(),
            hbone: config.hbone.clone(),
            settings: Arc::new(Settings {
                buffer_limit: config.buffer_limit,
                ..Settings::default()
            }),
            telemetry: telemetry.clone(),
            key_sets: key_sets.clone(),
            buckets: Buckets::default(),
            synced: xds.ready(),
        };
        start_key_sets(&seed, tasks);
        let (workers, starts) = Workers::new(config.worker_threads);
        for start in starts {
            worker::start(start, seed.clone(), tasks).context("data worker threads")?;
        }
        Ok(Self {
            state,
            l7,
            key_sets,
            certs,
            xds,
            gateway,
            workers,
        })
    }

    /// True once the first configuration is complete.
    pub(super) fn synced(&self) -> watch::Receiver<bool> {
        self.xds.ready()
    }

    /// What the admin pages show.
    pub(super) fn shown(&self, config: &Arc<Config>) -> Shown {
        Shown {
            config: config.clone(),
            state: self.state.clone(),
            l7: self.l7.clone(),
            key_sets: self.key_sets.clone(),
            certs: self.certs.clone(),
            xds: self.xds.clone(),
            gateway: self.gateway.clone(),
        }
    }

    /// Opens and closes ports until the sender is used or dropped; the receiver tells when all are drained.
    pub(super) fn serve_binds(
        self,
        config: &Config,
        tasks: &Tasks,
        readiness: &Readiness,
    ) -> (oneshot::Sender<()>, oneshot::Receiver<()>) {
        let (stop, stopping) = oneshot::channel();
        let (stopped, done) = oneshot::channel();
        let binds = Binds::new(
            config.node.gateway.clone(),
            self.workers,
            tasks.clone(),
            config.drain,
        );
        let ready = readiness.block("listeners");
        tasks.critical_local("listeners", async move {
            binds.run(self.l7, ready, stopping).await;
            let _ = stopped.send(());
            Ok::<_, Infallible>(())
        });
        (stop, done)
    }
}

/// Key sets are fetched over connections of the control thread's own.
fn start_key_sets<C: CertSource>(seed: &WorkerSeed<C>, tasks: &Tasks) {
    let spawner = tasks.clone();
    let pool = Pool::new(
        seed.certs.clone(),
        Rc::new(seed.hbone.clone()),
        ReceiveBudget::default(),
        move |name, task| drop(spawner.spawn_local(name, task)),
    );
    let upstream = Upstream::new(Needs {
        state: seed.state.clone(),
        l7: seed.l7.clone(),
        tunnels: Rc::new(pool),
        identity: seed.identity.clone(),
        gateway: seed.gateway.clone(),
        settings: seed.settings.clone(),
        registry: Registry::default(),
        tasks: tasks.clone(),
    });
    let network = Outside::new(
        upstream,
        seed.state.clone(),
        seed.gateway.name.namespace.clone(),
        seed.settings.clone(),
    );
    let (sets, l7) = (seed.key_sets.clone(), seed.l7.clone());
    let follow = fetch::follow(sets, l7, tasks.clone(), Rc::new(network));
    tasks.critical_local("key sets", async move {
        follow.await;
        Ok::<_, Infallible>(())
    });
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
    let node = &config.node;
    let mut info = NodeInfo::waypoint(
        node.instance_ip,
        &node.pod_name,
        &node.pod_namespace,
        &node.name,
        &node.gateway.name,
    );
    info.metadata.extend(node.metadata.iter().cloned());
    let info = info.described(BUILD.version, &node.cluster_id);
    let types = GATEWAY_TYPES.to_vec();
    let (handle, driver) = mesh_xds::client(&ClientConfig { node: info, types }, channel, subscription);
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
        // Its token is its own.
        impersonate: false,
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
