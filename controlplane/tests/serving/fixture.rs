//! A control plane with its directories, and the clients that connect to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use controlplane::app::{self, Running};
use controlplane::args::{CommandLine, ServeArgs};
use controlplane_ca::token::{TokenKey, TokenSubject};
use mesh_certs::CaClient;
use mesh_certs::client::CaClientSettings;
use mesh_grpc::{ChannelConfig, Credentials, GrpcChannel, Security, TlsTrust, TokenSource};
use mesh_proto::istio::security::Authorization;
use mesh_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use mesh_proto::istio::workload::address::Type;
use mesh_proto::istio::workload::{Address, Workload};
use mesh_register::{
    Assignment, AssignmentEvent, AssignmentEvents, Redirection, RegisterHandle, Report, ReportError,
};
use mesh_runtime::drain::{self, DrainMode, DrainTrigger};
use mesh_runtime::supervise;
use mesh_tls::service::{RootSource, client_config};
use mesh_tls::{PrivateKey, TlsSettings};
use mesh_types::Identity;
use mesh_xds::{ApplyBatch, Batch, ClientHandle, NodeInfo, Rejected, TypeUrl};
use parking_lot::Mutex;
use prost::Message;
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

pub(crate) const ZTUNNEL: &str = "istio-system/ztunnel";
pub(crate) const AGENT: &str = "istio-system/istio-cni";

/// A control plane that can be stopped and started again.
pub(crate) struct Plane {
    config: tempfile::TempDir,
    state: tempfile::TempDir,
    lease: Duration,
    running: Option<(Running, DrainTrigger)>,
}

impl Plane {
    pub(crate) fn new() -> Self {
        Self::with_lease(Duration::from_secs(30))
    }

    pub(crate) fn with_lease(lease: Duration) -> Self {
        Self {
            config: tempfile::tempdir().unwrap(),
            state: tempfile::tempdir().unwrap(),
            lease,
            running: None,
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let hidden = self.config.path().join(format!(".{name}"));
        std::fs::write(&hidden, text).unwrap();
        std::fs::rename(hidden, self.config.path().join(name)).unwrap();
    }

    pub(crate) fn state_file(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.config.path().join(name)).unwrap();
    }

    pub(crate) async fn start(&mut self) {
        self.start_unready().await;
        self.until_says("/readyz", 200, "ready").await;
    }

    pub(crate) async fn start_unready(&mut self) {
        self.running = Some(self.second().await.unwrap());
    }

    /// Starts one more with the same directories.
    pub(crate) async fn second(&self) -> anyhow::Result<(Running, DrainTrigger)> {
        let (tasks, _failures) = supervise::supervisor();
        let (trigger, drained) = drain::channel();
        let running = app::start(&self.args(), None, &tasks, drained).await?;
        Ok((running, trigger))
    }

    pub(crate) async fn stop(&mut self) {
        let (running, trigger) = self.running.take().unwrap();
        trigger
            .drain(DrainMode::Graceful, Duration::from_millis(100))
            .await;
        drop(running);
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let mut address = self.running().monitoring;
        address.set_ip("127.0.0.1".parse().unwrap());
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    pub(crate) async fn until_says(&self, path: &str, status: u16, text: &str) {
        until(text, || async {
            let answer = self.get(path).await;
            (answer.0 == status && answer.1.contains(text)).then_some(())
        })
        .await;
    }

    pub(crate) fn token(&self, account: &str, node: &str) -> String {
        self.token_of(account, node, SystemTime::now())
    }

    pub(crate) fn expired_token(&self, account: &str, node: &str) -> String {
        self.token_of(account, node, SystemTime::now() - Duration::from_secs(7200))
    }

    pub(crate) fn ca(&self, token: String) -> CaClient {
        let settings = CaClientSettings {
            lifetime: Duration::from_secs(3600),
            impersonate: true,
            tls: TlsSettings::default(),
        };
        CaClient::new(self.channel(&token), settings)
    }

    fn token_of(&self, account: &str, node: &str, made: SystemTime) -> String {
        let subject = TokenSubject {
            account: account.parse().unwrap(),
            node: node.to_owned(),
            pod: None,
        };
        let key = TokenKey::load_or_create(self.state.path()).unwrap();
        key.sign(&subject, Duration::from_secs(3600), made)
            .unwrap()
            .to_string()
    }

    pub(crate) fn channel(&self, token: &str) -> GrpcChannel {
        let roots = RootSource::Path(self.running().root.clone());
        let trust = TlsTrust::new(move || client_config(&roots, &TlsSettings::default()));
        self.channel_over(trust, TokenSource::literal(token))
    }

    /// A client that shows a certificate and no token.
    pub(crate) fn channel_with_certificate(&self, leaf: &str, key: &PrivateKey) -> GrpcChannel {
        let root = std::fs::read_to_string(&self.running().root).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(mesh_tls::pem::certificates(&root).unwrap().remove(0))
            .unwrap();
        let key = PrivateKeyDer::try_from(key.expose_pkcs8_der().to_vec()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(mesh_tls::provider(&TlsSettings::default()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(mesh_tls::pem::certificates(leaf).unwrap(), key)
            .unwrap();
        let config = Arc::new(config);
        let trust = TlsTrust::new(move || Ok::<_, std::io::Error>(config.clone()));
        self.channel_over(trust, TokenSource::Anonymous)
    }

    fn channel_over(&self, trust: TlsTrust, token: TokenSource) -> GrpcChannel {
        let address = format!("https://127.0.0.1:{}", self.running().address.port());
        let config = ChannelConfig {
            address: address.parse().unwrap(),
            server_name: Some("istiod.istio-system.svc".to_owned()),
            security: Security::Tls(trust),
            credentials: Credentials::new(token),
        };
        mesh_grpc::channel(config).unwrap()
    }

    fn args(&self) -> ServeArgs {
        let text = |path: &Path| path.display().to_string();
        let lease = format!("{}s", self.lease.as_secs());
        let line = [
            "lateen-controlplane",
            "--config-dir",
            &text(self.config.path()),
            "--state-dir",
            &text(self.state.path()),
            "--listen",
            "127.0.0.1:0",
            "--monitoring",
            "127.0.0.1:0",
            "--lease",
            &lease,
        ];
        CommandLine::try_parse_from(line).unwrap().serve.unwrap()
    }

    fn running(&self) -> &Running {
        &self.running.as_ref().expect("the control plane was started").0
    }
}

/// Asks for a certificate by hand.
pub(crate) async fn sign(
    channel: GrpcChannel,
    csr: String,
    impersonate: Option<&Identity>,
) -> Result<Vec<String>, tonic::Status> {
    let message = mesh_certs::request::encode(csr, Duration::from_secs(600), impersonate);
    let answer = IstioCertificateServiceClient::new(channel)
        .create_certificate(message)
        .await?;
    Ok(answer.into_inner().cert_chain)
}

/// A proxy: what it was sent over xDS.
pub(crate) struct Proxy {
    pub(crate) handle: ClientHandle,
    held: Held,
    _task: Aborted,
}

#[derive(Clone, Default)]
struct Held(Arc<Mutex<HeldState>>);

#[derive(Default)]
struct HeldState {
    resources: Resources,
    /// What came, in its order.
    order: Vec<String>,
    /// Resources that say this are refused.
    refuses: Option<&'static str>,
}

type Resources = BTreeMap<(TypeUrl, String), Vec<u8>>;

impl ApplyBatch for Held {
    fn apply(&mut self, batch: Batch) -> Result<(), Vec<Rejected>> {
        let mut held = self.0.lock();
        let mut refused = Vec::new();
        let kind = batch.type_url.as_str().rsplit('.').next().unwrap_or_default();
        for resource in batch.resources {
            let says = |text: &str| resource.body.windows(text.len()).any(|w| w == text.as_bytes());
            if let Some(text) = held.refuses.filter(|text| says(text)) {
                refused.push(Rejected {
                    name: resource.name,
                    reason: format!("says {text}"),
                });
                continue;
            }
            held.order.push(format!("{kind} {}", resource.name));
            held.resources
                .insert((batch.type_url, resource.name), resource.body.to_vec());
        }
        for name in batch.removed {
            held.resources.remove(&(batch.type_url, name));
        }
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }
}

impl Proxy {
    pub(crate) fn connect(plane: &Plane, node: &str) -> Self {
        Self::with_token(plane, node, &plane.token(ZTUNNEL, node))
    }

    pub(crate) fn with_token(plane: &Plane, node: &str, token: &str) -> Self {
        let config = mesh_xds::ClientConfig {
            node: NodeInfo::ztunnel(None, "ztunnel-x", "istio-system", node),
            types: vec![TypeUrl::AUTHORIZATION, TypeUrl::ADDRESS],
        };
        Self::follow(plane, &config, token, None)
    }

    /// A proxy of a gateway of namespace `shop`, which runs as this service account.
    pub(crate) fn of_gateway(plane: &Plane, gateway: &str, account: &str) -> Self {
        Self::of(plane, gateway, account, None)
    }

    /// The same; it refuses what says this.
    pub(crate) fn of_gateway_refusing(
        plane: &Plane,
        gateway: &str,
        account: &str,
        what: &'static str,
    ) -> Self {
        Self::of(plane, gateway, account, Some(what))
    }

    fn of(plane: &Plane, gateway: &str, account: &str, refuses: Option<&'static str>) -> Self {
        let config = mesh_xds::ClientConfig {
            node: NodeInfo::waypoint(None, "wp-x", "shop", "node-a", gateway),
            types: TypeUrl::IN_ORDER.to_vec(),
        };
        Self::follow(plane, &config, &plane.token(account, "node-a"), refuses)
    }

    fn follow(
        plane: &Plane,
        config: &mesh_xds::ClientConfig,
        token: &str,
        refuses: Option<&'static str>,
    ) -> Self {
        let held = Held::default();
        held.0.lock().refuses = refuses;
        let (handle, driver) = mesh_xds::client(config, plane.channel(token), held.clone());
        let task = tokio::spawn(async move {
            driver.await;
        });
        Self {
            handle,
            held,
            _task: Aborted(task),
        }
    }

    pub(crate) fn workload(&self, name: &str) -> Option<Workload> {
        let key = (TypeUrl::ADDRESS, format!("Kubernetes//Pod/{name}"));
        let body = self.held.0.lock().resources.get(&key).cloned()?;
        match Address::decode(&body[..]).unwrap().r#type {
            Some(Type::Workload(workload)) => Some(workload),
            other => panic!("{name} is {other:?}"),
        }
    }

    pub(crate) fn policy(&self, name: &str) -> Option<Authorization> {
        let key = (TypeUrl::AUTHORIZATION, name.to_owned());
        let body = self.held.0.lock().resources.get(&key).cloned()?;
        Some(Authorization::decode(&body[..]).unwrap())
    }

    pub(crate) fn route(&self, name: &str) -> Option<mesh_model::l7::Route> {
        let body = self
            .held
            .0
            .lock()
            .resources
            .get(&(TypeUrl::ROUTE, name.to_owned()))
            .cloned()?;
        Some(mesh_model::l7::Route::decode(name, body.into()).unwrap())
    }

    /// The names of what it holds of a type.
    pub(crate) fn names(&self, type_url: TypeUrl) -> Vec<String> {
        let held = self.held.0.lock();
        let names = held.resources.keys().filter(|(t, _)| *t == type_url);
        names.map(|(_, name)| name.clone()).collect()
    }

    /// What it took, in the order in which it came: `<type> <name>`.
    pub(crate) fn order(&self) -> Vec<String> {
        self.held.0.lock().order.clone()
    }

    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        until(what, || async { look(self) }).await
    }
}

/// A node agent.
pub(crate) struct Agent {
    pub(crate) handle: RegisterHandle,
    events: AssignmentEvents,
    _task: Aborted,
}

impl Agent {
    pub(crate) fn connect(plane: &Plane, node: &str) -> Self {
        Self::with_token(plane, &plane.token(AGENT, node))
    }

    pub(crate) fn with_token(plane: &Plane, token: &str) -> Self {
        let config = mesh_register::ClientConfig {
            instance: "test".to_owned(),
            version: "0".to_owned(),
        };
        let (handle, events, driver) = mesh_register::client(config, plane.channel(token));
        let task = tokio::spawn(async move {
            driver.await;
        });
        Self {
            handle,
            events,
            _task: Aborted(task),
        }
    }

    pub(crate) async fn assigned(&mut self, workload: &str) -> Assignment {
        loop {
            match self.next().await {
                AssignmentEvent::Assign(a) if a.workload.to_string() == workload => return a,
                _ => {}
            }
        }
    }

    pub(crate) async fn snapshot(&mut self) {
        while self.next().await != AssignmentEvent::SnapshotComplete {}
    }

    pub(crate) async fn report(&self, workload: &str, uid: &str, address: &str) -> Result<(), ReportError> {
        let report = Report {
            workload: workload.parse().unwrap(),
            uid: uid.to_owned(),
            addresses: vec![address.parse().unwrap()],
            redirection: Redirection::Enabled,
            network_ready: true,
        };
        self.handle.report(report).await
    }

    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&Self) -> Option<T>) -> T {
        until(what, || async { look(self) }).await
    }

    async fn next(&mut self) -> AssignmentEvent {
        let event = tokio::time::timeout(PATIENCE, self.events.next()).await;
        event.expect("no assignment came").expect("the client runs")
    }
}

/// A Pod of namespace `shop` that is named like its application and service account, and has no address yet.
pub(crate) fn pod(name: &str, node: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}\n\
         spec: {{nodeName: {node}, serviceAccountName: {name}}}\n"
    )
}

struct Aborted(JoinHandle<()>);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Looks until there is something to see; how long that takes decides nothing.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(seen) => seen,
        Err(_) => panic!("{what} did not come within {PATIENCE:?}"),
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
