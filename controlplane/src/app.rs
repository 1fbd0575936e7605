//! Wiring: what is made in which order, which tasks run, how they end.

use std::fs::File;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use controlplane_ca::authenticator::Authenticator;
use controlplane_ca::authority::Authority;
use controlplane_ca::caller::BoundPod;
use controlplane_ca::issuer::Issuer;
use controlplane_ca::node_authorizer::NodePolicy;
use controlplane_ca::root::Root;
use controlplane_ca::serving;
use controlplane_ca::succession::Succession;
use controlplane_ca::token::{TokenKey, TokenSubject};
use controlplane_kube::{KubeSettings, KubeSource};
use futures_util::Stream;
use mesh_certs::CaServer;
use mesh_grpc::lifetime;
use mesh_grpc::serve::Accepted;
use mesh_kube::KubeClient;
use mesh_register::server::{Assignments, RegisterServer};
use mesh_register::settled::SettledServer;
use mesh_runtime::drain::{self, DrainMode, DrainTrigger, DrainWatcher};
use mesh_runtime::logging::{self, LogControl, LogFormat};
use mesh_runtime::readiness::Readiness;
use mesh_runtime::signals::StopSignals;
use mesh_runtime::supervise::{self, Tasks};
use mesh_xds::{ResourceCache, TypeUrl, XdsServer};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::server::Router;

use crate::address_store::AddressStore;
use crate::args::{ServeArgs, Source, TokenArgs};
use crate::build;
use crate::cluster::root::keeper::Keeper;
use crate::cluster::root::{self, record};
use crate::cluster::tokens::TokenJudge;
use crate::config::source::ConfigSource;
use crate::control::{Control, Outputs, Stores};
use crate::delivery::DeliveryBoard;
use crate::delivery::service::DeliveryServer;
use crate::derivation::Derivation;
use crate::gateways::GatewayBoard;
use crate::leases::Leases;
use crate::monitoring::{Pages, Views};
use crate::pods::PodBoard;
use crate::registrar::QueueingRegistrar;
use crate::registration_store::RegistrationStore;
use crate::registrations::{NodeView, RegistrationBoard};
use crate::serve::admission::XdsAdmission;
use crate::serve::certificates::CountedAuthority;
use crate::serve::tls::ServingTls;
use crate::sources::{SourceBatch, Sources, Which};
use duties::{Duties, host, instance, replica};

mod duties;
mod memory;
mod state_dir;

/// Prints a token.
///
/// # Errors
/// Fails when the state directory cannot be used.
pub fn print_token(args: &TokenArgs) -> Result<()> {
    state_dir::make(&args.state_dir)?;
    let key = TokenKey::load_or_create(&args.state_dir)?;
    let pod = args.pod.clone().zip(args.pod_uid.clone());
    let subject = TokenSubject {
        account: args.service_account.clone(),
        node: args.node.clone(),
        pod: pod.map(|(name, uid)| BoundPod { name, uid }),
    };
    let token = key.sign(&subject, args.ttl, SystemTime::now())?;
    writeln!(io::stdout(), "{}", token.as_str()).context("standard output")
}

/// Runs the control plane until it is told to stop.
///
/// # Errors
/// Fails when it cannot start, or when a task of it fails; the text says why in one line.
pub fn serve(args: &ServeArgs) -> Result<()> {
    let mut filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    if !filter.contains(KUBE_CLIENT) {
        // It writes an error for each attempt; what became of a watch is told here, once.
        filter.push_str(&format!(",{KUBE_CLIENT}=off"));
    }
    let format = match std::env::var("LOG_FORMAT") {
        Ok(text) => text.parse().map_err(|e| anyhow!("LOG_FORMAT {text:?} {e}"))?,
        Err(_) => LogFormat::Plain,
    };
    let (log, _guard) = logging::init(&filter, format)?;
    keep_memory_private();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("runtime")?.block_on(run(args, &log))
}

/// The root's key is in memory: no core file of it, and no debugger of the same user.
fn keep_memory_private() {
    let core = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    if let Err(e) = core.and_then(|()| prctl::set_dumpable(false)) {
        tracing::warn!("keys may end up in a core file: {e}");
    }
}

async fn run(args: &ServeArgs, log: &LogControl) -> Result<()> {
    let mut stop = StopSignals::install().context("signals")?;
    let (tasks, mut failures) = supervise::supervisor();
    let (drain, drained) = drain::channel();
    let running = start(args, Some(log), &tasks, drained).await?;
    let failure = tokio::select! {
        reason = stop.wait() => {
            tracing::info!("stopping: {reason}");
            None
        }
        failure = failures.next() => Some(failure),
    };
    tasks.stopping();
    if failure.is_none() && args.access().is_some() {
        leave(args.leave, &running.readiness).await;
    }
    drain.drain(DrainMode::Graceful, args.grace).await;
    drop(running);
    failure.map_or(Ok(()), |f| Err(f.into()))
}

/// Nodes learn that a pod is going when it is told so itself. Whoever comes until they know would be refused, and proxies that
/// start in the same rollout want their configuration and certificates just then.
async fn leave(patience: Duration, readiness: &Readiness) {
    let _unready = readiness.block("leaving");
    tokio::time::sleep(patience).await;
}

/// What a running control plane is known by.
#[derive(Debug)]
pub struct Running {
    /// Where xDS, signing and registration are served.
    pub address: SocketAddr,
    /// Where metrics and health are served.
    pub monitoring: SocketAddr,
    /// Where clients find the root.
    pub root: std::path::PathBuf,
    /// What is not loaded yet.
    readiness: Readiness,
    /// Nobody else uses the state directory meanwhile.
    _lock: File,
    /// Metrics and health are shown until the very end.
    _monitoring: DrainTrigger,
}

/// Starts everything as named tasks, and returns when the ports are open. `log` is what the monitoring port may change,
/// `drained` ends it all.
///
/// # Errors
/// Fails when a directory, file or port cannot be used; the text names it.
pub async fn start(
    args: &ServeArgs,
    log: Option<&LogControl>,
    tasks: &Tasks,
    drained: DrainWatcher,
) -> Result<Running> {
    state_dir::make(&args.state_dir)?;
    let lock = state_dir::lock(&args.state_dir)?;
    let files = open_files(args)?;
    let client = connect(args).await?;
    let kube = client.as_ref().map(|client| source_of(args, client));
    let mut authority = Keys::load(args, client.as_ref()).await?;
    let listener = bind(args.listen).await?;
    let monitoring = bind(args.monitoring).await?;
    let (shown, shown_until) = drain::channel();
    let readiness = Readiness::new();
    let running = Running {
        address: listener.local_addr()?,
        monitoring: monitoring.local_addr()?,
        root: Root::public_path(&args.state_dir),
        readiness: readiness.clone(),
        _lock: lock,
        _monitoring: shown,
    };

    let mut outputs = Outputs {
        cache: ResourceCache::new(&TypeUrl::IN_ORDER),
        assignments: Assignments::new(),
        registrations: RegistrationBoard::default(),
        gateways: GatewayBoard::default(),
        pods: PodBoard::default(),
        deliveries: DeliveryBoard::default(),
        changed: Arc::default(),
    };
    if let Some(client) = &client {
        let judge = TokenJudge::new(client.clone(), outputs.pods.clone());
        authority.authenticator = authority.authenticator.with_cluster(judge.clone());
        tasks.critical("token-keys", judge.keep_keys());
    }
    let xds = XdsServer::called(
        build::identifier(&host()?),
        outputs.cache.clone(),
        XdsAdmission {
            authenticator: authority.authenticator.clone(),
            gateways: outputs.gateways.clone(),
            root_namespace: args.root_namespace.clone(),
        },
    );
    outputs.deliveries = {
        let xds = xds.clone();
        DeliveryBoard::new(&instance()?, outputs.cache.clone(), move || xds.subscribers())
    };
    let (ask, questions) = mpsc::channel(1);
    if let (Some(client), Some(kube)) = (&client, &kube) {
        let keeper = Keeper::new(
            client.clone(),
            &args.root_namespace,
            args.cacerts.clone(),
            args.state_dir.clone(),
            authority.issuer.clone(),
            authority.known.clone(),
        );
        tasks.critical("authority", keeper.keep());
        let duties = Duties {
            args,
            client,
            tasks,
            drained: &drained,
            pods: &outputs.pods,
            selectors: kube.selectors(),
        };
        duties.start_all(&authority, &outputs, &ask)?;
    }
    let (registrar, places) = QueueingRegistrar::new(args.lease, args.registration_accounts.iter().cloned());
    let views = Views {
        ask,
        config: files.as_ref().map(ConfigSource::status_board).unwrap_or_default(),
        kube: kube.as_ref().map(KubeSource::board),
        registrations: outputs.registrations.clone(),
        cache: outputs.cache.clone(),
        xds,
        readiness: readiness.clone(),
    };
    let which = Which {
        files: files.is_some(),
        kube: kube.is_some(),
    };
    let control = control(args, Sources::new(which), outputs.clone(), &readiness)?;
    let config = start_sources(tasks, files, kube)?;
    tasks.critical("control", control.run(config, places, questions));
    let (cache, changed) = (outputs.cache.clone(), outputs.changed.clone());
    tasks.spawn("memory of the start", memory::forget(cache, changed));

    let registry = mesh_runtime::metrics::registry("controlplane", env!("CARGO_PKG_VERSION"));
    let services = services(
        args,
        client.as_ref(),
        &authority,
        &outputs,
        views.xds.clone(),
        registrar,
        &registry,
    )?;
    let incoming = {
        let tls = authority.tls.clone();
        mesh_grpc::serve::incoming(listener, move || tls.config())
    };
    tasks.critical("serve", serve_until_drained(services, incoming, drained.clone()));
    tasks.critical("serving-certificate", authority.tls.renew());
    tasks.critical(
        "monitoring",
        Pages::new(&views, &registry, log).serve(monitoring, shown_until),
    );
    announce(args, &running);
    Ok(running)
}

/// Keys and those who use them.
struct Keys {
    issuer: Arc<Issuer>,
    /// Who signed before, in a cluster.
    known: Succession,
    authenticator: Authenticator,
    tls: ServingTls,
}

impl Keys {
    async fn load(args: &ServeArgs, client: Option<&KubeClient>) -> Result<Self> {
        let now = SystemTime::now();
        let (root, known) = match client {
            None => {
                let root = Root::load_or_create(&args.state_dir, &args.trust_domain, now)?;
                (root, Succession::default())
            }
            Some(client) => cluster_root(args, client, now).await?,
        };
        let issuer = Arc::new(Issuer::new(root));
        let tokens = Arc::new(TokenKey::load_or_create(&args.state_dir)?);
        let mut names = serving::default_names(&args.name, &args.root_namespace);
        names.extend(args.serving_names.iter().cloned());
        Ok(Self {
            tls: ServingTls::new(issuer.clone(), names, args.serving_certificate.clone(), now)?,
            issuer,
            known,
            authenticator: Authenticator::new(tokens, args.trust_domain.clone()),
        })
    }
}

/// What the operator mounted, or the Secret that replicas share; and whom it succeeds.
async fn cluster_root(args: &ServeArgs, client: &KubeClient, now: SystemTime) -> Result<(Root, Succession)> {
    let mounted = root::mounted(&args.cacerts, now).map_err(|e| anyhow!("{e}"))?;
    let found = match mounted {
        Some(mounted) => mounted,
        None => root::load_or_create(client, &args.root_namespace, &args.trust_domain, now).await?,
    };
    let known = record::begin(client, &args.root_namespace, &found, now).await;
    let found = found.trusting(known.trusted(now), now);
    found.publish(&args.state_dir)?;
    Ok((found, known))
}

fn open_files(args: &ServeArgs) -> Result<Option<ConfigSource>> {
    let Some(dir) = &args.config_dir else {
        if args.source == Some(Source::Kube) {
            return Ok(None);
        }
        bail!("--config-dir is needed for files");
    };
    Ok(Some(ConfigSource::open(dir, &args.state_dir)?))
}

/// A client of the cluster, where that is a source.
async fn connect(args: &ServeArgs) -> Result<Option<KubeClient>> {
    match args.access() {
        Some(access) => Ok(Some(KubeClient::connect(&access).await?)),
        None => Ok(None),
    }
}

fn source_of(args: &ServeArgs, client: &KubeClient) -> KubeSource {
    let settings = KubeSettings {
        root_namespace: args.root_namespace.clone(),
        revision: args.revision.clone(),
        read_secrets: args.read_secrets,
        secret_namespaces: args.secret_namespaces.clone(),
    };
    KubeSource::new(client.clone(), &settings)
}

fn control(args: &ServeArgs, sources: Sources, outputs: Outputs, readiness: &Readiness) -> Result<Control> {
    let store = RegistrationStore::open(&args.state_dir)?;
    let restored = store.load()?;
    tracing::info!(workloads = restored.len(), "registrations loaded");
    let addresses = AddressStore::new(&args.state_dir);
    let mut derivation = Derivation::new(args);
    match addresses.load() {
        Ok(addresses) => derivation.restore_addresses(addresses),
        Err(e) => tracing::warn!("{e}; hosts that had to give way to others may get other addresses"),
    }
    let stores = Stores {
        registrations: store,
        addresses,
    };
    Ok(Control::new(
        sources,
        derivation,
        Leases::new(args.lease),
        restored,
        stores,
        outputs,
        readiness.block("configuration"),
    ))
}

/// Starts the sources; what they find comes out of the one queue.
fn start_sources(
    tasks: &Tasks,
    files: Option<ConfigSource>,
    kube: Option<KubeSource>,
) -> Result<mpsc::Receiver<SourceBatch>> {
    let (batches, config) = mpsc::channel(1);
    if let Some(files) = files {
        let batches = batches.clone();
        let deliver = move |batch| batches.blocking_send(SourceBatch::Files(batch)).is_ok();
        tasks
            .critical_thread("config", move || files.run(deliver))
            .context("thread for the configuration")?;
    }
    if let Some(kube) = kube {
        tasks.critical("kube", kube.run(batches));
    }
    Ok(config)
}

fn services(
    args: &ServeArgs,
    client: Option<&KubeClient>,
    keys: &Keys,
    outputs: &Outputs,
    xds: XdsServer<XdsAdmission>,
    registrar: QueueingRegistrar,
    registry: &prometheus::Registry,
) -> Result<Router> {
    let policy = NodePolicy {
        trust_domain: args.trust_domain.clone(),
        trusted_node_accounts: args.trusted_node_accounts.iter().cloned().collect(),
    };
    let nodes = NodeView::new(
        outputs.assignments.clone(),
        outputs.registrations.clone(),
        outputs.pods.clone(),
    );
    let authority = Authority::new(keys.issuer.clone(), policy, nodes);
    let authority = CountedAuthority::new(authority, keys.issuer.clone(), registry);
    let register = RegisterServer::new(
        outputs.assignments.clone(),
        keys.authenticator.clone(),
        Arc::new(registrar),
    );
    let deliveries = DeliveryServer::new(
        outputs.deliveries.clone(),
        keys.authenticator.clone(),
        replica(args)?,
    );
    let router = mesh_grpc::serve::builder()
        .max_connection_age(CONNECTION_AGE)
        .max_connection_age_grace(CONNECTION_AGE_GRACE)
        .add_service(xds.clone())
        .add_service(CaServer::new(keys.authenticator.clone(), authority).into_service())
        .add_service(register.into_service());
    // Alone: nobody writes statuses, and agents are told on their stream what is known of their pods.
    let Some(client) = client else {
        return Ok(router);
    };
    let settling = duties::settling(args, client, keys, &outputs.cache, &xds)?;
    let settled = SettledServer::new(keys.authenticator.clone(), settling);
    Ok(router
        .add_service(deliveries.into_service())
        .add_service(settled.into_service()))
}

/// Lets short requests finish. Streams never end by themselves; their clients come back with what they have.
async fn serve_until_drained(
    services: Router,
    incoming: impl Stream<Item = io::Result<Accepted>>,
    mut drained: DrainWatcher,
) -> Result<(), tonic::transport::Error> {
    let mut asked = drained.clone();
    let stop = async move {
        asked.draining().await;
    };
    tokio::select! {
        result = services.serve_with_incoming_shutdown(incoming, stop) => result,
        () = drained.cut() => Ok(()),
    }
}

fn announce(args: &ServeArgs, running: &Running) {
    tracing::info!(address = %running.address, monitoring = %running.monitoring, "listening");
    tracing::info!(
        "clients trust {}; tokens: lateen-controlplane token --state-dir {} --service-account NS/NAME --node NODE",
        running.root.display(),
        args.state_dir.display()
    );
}

/// A port on every address also where the kernel has no IPv6.
async fn bind(address: SocketAddr) -> Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        Err(e) if address.ip().is_unspecified() && address.is_ipv6() && no_such_family(&e) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        other => other,
    };
    bound.with_context(|| format!("cannot listen on {address}"))
}

fn no_such_family(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::Unsupported || e.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Moves clients between replicas, as istiod does: a connection takes nothing new from the moment when the first stream
/// on it may be too old, and its streams then end one by one, each at its own time ([`mesh_grpc::lifetime`]).
const CONNECTION_AGE: Duration = lifetime::MAX_AGE.saturating_sub(STREAM_AGE_SPREAD);
/// For a stream that was opened last.
const CONNECTION_AGE_GRACE: Duration = lifetime::MAX_AGE;
const STREAM_AGE_SPREAD: Duration = Duration::from_secs(6 * 60);
/// The target of the Kubernetes client's own log lines.
const KUBE_CLIENT: &str = "kube_client";
/// errno(3), the same on every Linux architecture that Rust supports except MIPS and SPARC.
const EAFNOSUPPORT: i32 = 97;
