//! Wiring: every listener and loop is a named, supervised task.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use cni_rules::plan::ProbeAddresses;
use http::StatusCode;
use mesh_net::Netns;
use mesh_register::RegisterHandle;
use mesh_runtime::admin::{self, AdminLimits, Routes};
use mesh_runtime::logging::LogControl;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::signals::StopSignals;
use mesh_runtime::{drain, metrics as runtime_metrics, supervise};
use mesh_zds::{ServerEvent, ServerOptions, ZdsServer};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::config::{Config, DnsCaptureSetting, MembershipSetting};
use crate::controller::operations::{DnsCapture, Held, Operations, World};
use crate::controller::{Conditions, Controller, Deadlines, Inputs, Requests};
use crate::enroll::PodKey;
use crate::events::{EventServer, EventSocket};
use crate::install::Installer;
use crate::install::ending::Ending;
use crate::kernel::{Kernel, NodeRules};
use crate::membership::Membership;
use crate::metrics::Metrics;
use crate::search::Places;
use crate::state_file::{Known, StateFile, StateFileError};

/// Runs the agent until it is told to stop. Rules, the state file and what ztunnel has stay as they are: enrolled pods
/// stay in the mesh while the agent restarts, and new ones wait for it.
///
/// # Errors
/// Fails when something that it needs from the start is missing, or a task ends that must not.
pub async fn run(config: Config, log: LogControl) -> anyhow::Result<()> {
    let mut stop = StopSignals::install().context("signal handlers")?;
    let readiness = Readiness::new();
    let registry = runtime_metrics::registry("cni", env!("CARGO_PKG_VERSION"));
    let metrics = Metrics::register(&registry);
    let network = config.host.network();
    let host = Netns::open(&network).with_context(|| at("the node's own network namespace", &network))?;

    create_directory(&config.run_dir)?;
    if let Some(directory) = config.ztunnel_socket.parent() {
        create_directory(directory)?;
    }
    let file = StateFile::new(config.state_file());
    let Known { records, complete } = known(&file, config.membership)?;
    // What cannot be written down now would be lost at the next restart: say so before any pod depends on it.
    file.write(records.iter(), complete)?;
    tracing::info!(
        pods = records.len(),
        complete,
        "the pods of before the restart are known"
    );

    let membership = Membership::of(&config).await?;
    let announcer = membership.announcer.clone();
    let (zds, refused) = zds_server(&config, &metrics);
    let kernel = Kernel::new(config.nft.as_str());
    let operations = Operations::new(World {
        node: NodeRules::new(kernel.clone(), host.clone()),
        kernel,
        zds: zds.clone(),
        announcer: announcer.clone(),
        places: Places {
            proc: config.host.path(Path::new("/proc")),
            named: config.host.path(Path::new("/var/run/netns")),
            host: host.id(),
        },
        probe: ProbeAddresses {
            v4: config.probe_v4,
            v6: config.probe_v6,
        },
        dns_capture: match config.dns_capture {
            DnsCaptureSetting::Off => DnsCapture::Unavailable,
            DnsCaptureSetting::OnRequest => DnsCapture::OnRequest,
            DnsCaptureSetting::On => DnsCapture::Default,
        },
        drain: config.cluster.drain(),
        looks: Semaphore::new(1),
        metrics: metrics.clone(),
        held: Mutex::new(Held::default()),
    });
    // Before any ztunnel can connect: it drops what the snapshot does not list.
    operations.restore(&records);
    let conditions = Conditions {
        assignments: readiness.block(format!(
            "pods of this node from {}",
            membership.source.authority()
        )),
        host: readiness.block("probe rules of the node"),
    };
    let deadlines = Deadlines {
        add: config.add_deadline(),
        del: DEL_DEADLINE,
        audit: config.audit_interval(),
    };
    let (controller, requests) = Controller::new(
        records,
        membership.source.authority(),
        file,
        operations.clone(),
        deadlines,
        conditions,
        metrics.clone(),
    );

    let (surveyed, survey) = oneshot::channel();
    let surveyed = (!complete).then_some(surveyed);
    let ztunnels = match &surveyed {
        Some(_) => None,
        None => Some(
            zds.bind()
                .with_context(|| at("ztunnel's socket", &config.ztunnel_socket))?,
        ),
    };
    let ztunnels = serve_ztunnels(zds.clone(), ztunnels, survey);
    let event_path = config.event_socket();
    let events = EventSocket::bind(&event_path).with_context(|| at("the plugin's socket", &event_path))?;
    let health = listen("health", config.health).await?;
    let monitoring = listen("monitoring", config.monitoring).await?;
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, config.admin_port));
    let admin = listen("admin", admin).await?;
    let installer = config.host.install_plugin.then(|| {
        let wanted = config.host.wanted(
            &config.run_dir,
            Some(&config.cluster.pod_namespace),
            config.add_deadline(),
        );
        Installer::new(wanted, config.host.paths(), readiness.clone(), metrics.clone())
    });
    let server = EventServer::new(
        requests.clone(),
        zds,
        announcer.clone(),
        metrics,
        host.id(),
        config.host.clone(),
    );
    let pages = pages(&requests, &operations, membership.registrar.as_ref())
        .merge(log.routes())
        .with_index();
    let metric_pages = runtime_metrics::routes(&registry).with_index();

    let (tasks, mut failures) = supervise::supervisor();
    let (drain_trigger, _) = drain::channel();
    if let Some(driver) = membership.driver {
        tasks.critical("registration", async move {
            let never: Infallible = driver.await;
            Err::<(), Infallible>(never)
        });
    }
    tasks.critical("zds", ztunnels);
    let inputs = Inputs { refused, surveyed };
    tasks.critical("pods", must_not_end(controller.run(membership.source, inputs)));
    tasks.critical("event socket", must_not_end(events.serve(server)));
    // From here on pods that start wait for this agent, ready or not: none passes it.
    if let Some(installer) = installer.clone() {
        tasks.critical(
            "plugin on the host",
            must_not_end(async move { installer.run().await }),
        );
    }
    for (name, listener, routes) in [
        ("health", health, health_pages(&readiness)),
        ("monitoring", monitoring, metric_pages),
        ("admin", admin, pages),
    ] {
        let watcher = drain_trigger.watcher();
        tasks.critical(
            name,
            admin::serve(listener, routes, AdminLimits::default(), watcher),
        );
    }
    if let Some(registrar) = membership.registrar {
        tasks.spawn("node name", check_node_name(config.node_name.clone(), registrar));
    }
    tracing::info!(events = %event_path.display(), ztunnel = %config.ztunnel_socket.display(), "the node agent runs");

    tokio::select! {
        reason = stop.wait() => {
            if let Some(daemonset) = &membership.daemonset
                && daemonset.ending().await == Ending::Leave
            {
                leave(&requests, &operations, installer.as_ref(), config.cluster.leave_deadline()).await;
                return Ok(fs::remove_file(config.state_file())?);
            }
            tasks.stopping();
            tracing::info!(?reason, "the node agent stops; enrolled pods stay in the mesh, new ones wait");
            drop(drain_trigger);
            Ok(())
        }
        failure = failures.next() => Err(failure.into()),
    }
}

/// The mesh leaves this node: pods start without it from now on, those that run leave it, and nothing of it stays.
async fn leave(
    requests: &Requests,
    operations: &Operations,
    installer: Option<&Installer>,
    deadline: Duration,
) {
    // First: pods that start are to wait for nobody.
    match installer.map(Installer::remove) {
        Some(Ok(done)) => tracing::info!(?done, "the CNI plugin is taken away from the host"),
        Some(Err(error)) => tracing::error!(%error, "the CNI plugin cannot be taken away from the host"),
        None => {}
    }
    if timeout(deadline, requests.leave()).await.is_err() {
        tracing::warn!(
            "not every pod has left the mesh in time; the rules of the others are removed all the same"
        );
    }
    let records: Vec<_> = requests.list().await.into_iter().map(|pod| pod.record).collect();
    operations.abandon(&records).await;
    tracing::info!("the mesh has left this node");
}

/// What was written down. Where running pods can be found again, a file that is damaged is put aside; where only the plugin
/// tells of pods, starting without it would take those that run from ztunnel, and people decide.
fn known(file: &StateFile, membership: MembershipSetting) -> Result<Known, StateFileError> {
    match membership {
        MembershipSetting::Kubernetes => file.read_or_put_aside(),
        MembershipSetting::Registration => Ok(Known {
            complete: true,
            ..file.read()?
        }),
    }
}

/// Serves ztunnels, from now on or once running pods were looked for: a ztunnel that serves pods drops those that the first
/// snapshot does not list.
pub(crate) async fn serve_ztunnels<F: Future<Output = ()>>(
    zds: ZdsServer,
    bound: Option<F>,
    survey: oneshot::Receiver<()>,
) -> io::Result<()> {
    match bound {
        Some(serving) => serving.await,
        None => {
            tracing::info!(
                "what ran before is not known: ztunnel is let in once running pods were looked for"
            );
            if survey.await.is_ok() {
                zds.bind()?.await;
            }
        }
    }
    Ok(())
}

/// An IPv6 wildcard takes IPv4 too; where the kernel has no IPv6, IPv4's stands in for it.
async fn listen(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    let mut bound = TcpListener::bind(address).await;
    if bound.is_err()
        && address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        && !Path::new("/proc/net/if_inet6").exists()
    {
        bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await;
    }
    bound.with_context(|| format!("{what} address {address}"))
}

/// Upstream's paths: alive, and ready to serve starting pods.
fn health_pages(readiness: &Readiness) -> Routes {
    let readiness = readiness.clone();
    Routes::new()
        .get("/healthz", "200 while the process runs", |_| {
            std::future::ready(admin::text(StatusCode::OK, "ok\n"))
        })
        .get("/readyz", "200 once pods can start", move |_| {
            let pending = readiness.pending();
            std::future::ready(if pending.is_empty() {
                admin::text(StatusCode::OK, "ready\n")
            } else {
                let waits = format!("not ready, waiting for: {}\n", pending.join(", "));
                admin::text(StatusCode::SERVICE_UNAVAILABLE, waits)
            })
        })
}

/// The server, and the pods that ztunnels would not take.
fn zds_server(config: &Config, metrics: &Metrics) -> (ZdsServer, mpsc::UnboundedReceiver<PodKey>) {
    let options = ServerOptions {
        path: config.ztunnel_socket.clone(),
        ..ServerOptions::default()
    };
    let metrics = metrics.clone();
    // The observer may not wait. A ztunnel refuses no more pods than it is told of.
    let (refusals, refused) = mpsc::unbounded_channel();
    let server = ZdsServer::new(options, move |event| match event {
        ServerEvent::Connected(_) => {
            metrics.ztunnels(1);
            tracing::info!("a ztunnel is connected");
        }
        ServerEvent::Disconnected(_) => {
            metrics.ztunnels(-1);
            tracing::warn!("a ztunnel has left");
        }
        ServerEvent::SnapshotTaken(_) => tracing::info!("a ztunnel has taken every enrolled pod"),
        ServerEvent::Taken(uid) => tracing::info!(pod = %uid, "ztunnel has taken a pod"),
        ServerEvent::Refused(uid, refused) => {
            tracing::error!(pod = %uid, %refused, "ztunnel does not take a pod");
            // The loop ends with the process.
            let _ = refusals.send(PodKey(uid.to_string()));
        }
    });
    (server, refused)
}

/// For this machine only: they name pods and their peers, and change what is logged.
fn pages(requests: &Requests, operations: &Operations, registrar: Option<&RegisterHandle>) -> Routes {
    let (requests, operations) = (requests.clone(), operations.clone());
    let routes = Routes::new()
        .get(
            "/pods",
            "the pods of this node and what they wait for",
            move |_| {
                let requests = requests.clone();
                async move { admin::json(StatusCode::OK, &requests.list().await) }
            },
        )
        .get(
            "/connections",
            "connections that are older than their pod's enrolment, and outside the mesh",
            move |_| {
                let older = operations.older();
                async move { admin::json(StatusCode::OK, &older) }
            },
        );
    let Some(registrar) = registrar.cloned() else {
        return routes;
    };
    routes.get("/registration", "the stream to the control plane", move |_| {
        let status = registrar.status();
        async move { admin::json(StatusCode::OK, &status) }
    })
}

/// A token of another node would enrol another node's pods.
async fn check_node_name(expected: Option<String>, registrar: RegisterHandle) {
    let Some(expected) = expected else { return };
    let mut connected = registrar.connected();
    loop {
        if *connected.borrow_and_update()
            && let Some(place) = registrar.status().place
            && place != expected
        {
            tracing::error!(
                token = place,
                node = expected,
                "the token names another node than this one"
            );
        }
        if connected.changed().await.is_err() {
            return;
        }
    }
}

async fn must_not_end(task: impl Future<Output = ()>) -> Result<(), Infallible> {
    task.await;
    Ok(())
}

/// For this user only; one that is there stays as it is.
fn create_directory(path: &Path) -> anyhow::Result<()> {
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.with_context(|| format!("directory {}", path.display()))
}

fn at(what: &str, path: &Path) -> String {
    format!("{what} {}", path.display())
}

/// The runtime frees the address next, so the withdrawal should be through; but a DEL must not hang.
const DEL_DEADLINE: Duration = Duration::from_secs(3);
