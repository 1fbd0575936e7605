//! How long until a file counts: the real control plane watches a folder, and our waypoint follows it.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::wait;
use mesh_grpc::{ChannelConfig, Credentials, GrpcChannel, Security, TlsTrust, TokenSource};
use mesh_tls::TlsSettings;
use mesh_tls::service::{RootSource, client_config};
use mesh_xds::{ApplyBatch, Batch, ClientConfig, NodeInfo, Rejected, TypeUrl};
use tempfile::TempDir;
use tokio::time::Instant;

use super::Bench;
use super::changes::Asking;
use super::memory::ROUTES;
use super::mesh::{MARK_PATH, PLAIN_PORT};
use super::proxy::Proxy;
use super::sheet::{Kind, Sheet, Variant};

/// From `rename()` of one route's file among ten thousand to the first answer that shows it, and of that, until its
/// message is with whoever follows the same gateway.
pub(super) fn one_among_many(bench: &Bench, changes: usize, sheet: &mut Sheet) -> Result<()> {
    let mut mesh = Files::start(bench.starter.waypoint.parent().context("products")?)?;
    let waypoint = mesh.waypoint(bench)?;
    let arrivals = mesh.follow()?;
    let mut asking = Asking::connect(waypoint.plain)?;
    asking.until_says(MARK_PATH, &host(0), PAUSE_BETWEEN_QUESTIONS)?;
    while arrivals.recv_timeout(QUIET).is_ok() {}
    let (mut whole, mut published) = (Vec::new(), Vec::new());
    for number in 1..=changes {
        let file = mesh.prepare_mark(number)?;
        let began = Instant::now();
        mesh.rename(&file)?;
        asking.until_says(MARK_PATH, &host(number), PAUSE_BETWEEN_QUESTIONS)?;
        whole.push(began.elapsed());
        let arrived = arrivals.recv_timeout(PATIENCE).context("the message itself")?;
        published.push(arrived.saturating_duration_since(began));
        // The changes of a person come one by one.
        thread::sleep(PAUSE);
    }
    let of = format!("one route file of {ROUTES} changes: from rename() to");
    for (what, mut took, bound) in [
        ("its message from the control plane", published, None),
        ("the first changed answer", whole, Some(WHOLE_MS)),
    ] {
        took.sort();
        for (share, name) in [(0.5, "p50"), (0.99, "p99")] {
            let kind = match bound {
                Some(bound) if name == "p99" => Kind::Within(bound),
                _ => Kind::Told,
            };
            let title = format!("{of} {what}, {name} of {changes}, ms");
            sheet.add(
                title,
                kind,
                Variant::Ours,
                super::changes::quantile_ms(&took, share),
            );
        }
    }
    Ok(())
}

/// A control plane that watches a folder.
struct Files {
    program: PathBuf,
    dir: TempDir,
    address: SocketAddr,
    control: Child,
}

impl Files {
    fn start(products: &Path) -> Result<Self> {
        let dir = TempDir::new()?;
        let config = dir.path().join("config");
        fs::create_dir(&config)?;
        fs::write(config.join("mesh.yaml"), mesh())?;
        for n in 0..ROUTES {
            fs::write(config.join(format!("r{n:05}.yaml")), ordinary_route(n))?;
        }
        fs::write(config.join(MARK_FILE), marked_route(0))?;
        let program = products.join("lateen-controlplane");
        let (address, monitoring) = (free_address()?, free_address()?);
        let mut command = Command::new(&program);
        command
            .arg("serve")
            .arg("--config-dir")
            .arg(&config)
            .arg("--state-dir")
            .arg(dir.path().join("state"))
            .args([
                "--listen",
                &address.to_string(),
                "--monitoring",
                &monitoring.to_string(),
            ])
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(fs::File::create(dir.path().join("log"))?)
            .stderr(Stdio::null());
        let control = command.spawn().with_context(|| program.display().to_string())?;
        let files = Self {
            program,
            dir,
            address,
            control,
        };
        let listens = || TcpStream::connect(files.address).is_ok().then_some(());
        wait::until("the control plane to listen", PATIENCE, listens)?;
        Ok(files)
    }

    fn token(&self) -> Result<String> {
        let state = self.dir.path().join("state").display().to_string();
        let account = format!("{NAMESPACE}/{GATEWAY}");
        let output = Command::new(&self.program)
            .args(["token", "--state-dir", &state])
            .args(["--service-account", &account, "--node", NODE])
            .output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("state/root-cert.pem")
    }

    fn waypoint(&self, bench: &Bench) -> Result<Proxy> {
        let (control, root) = (
            format!("https://{}", self.address),
            self.root().display().to_string(),
        );
        let env = [
            ("POD_NAMESPACE", NAMESPACE),
            ("GATEWAY_NAME", GATEWAY),
            ("SERVICE_ACCOUNT", GATEWAY),
            ("NODE_NAME", NODE),
            ("POD_NAME", GATEWAY),
            ("XDS_ADDRESS", &control),
            ("CA_ADDRESS", &control),
            ("XDS_ROOT_CA", &root),
            ("CA_ROOT_CA", &root),
            ("ALT_XDS_HOSTNAME", SERVING_NAME),
            ("ALT_CA_HOSTNAME", SERVING_NAME),
            ("AUTH_TOKEN", &self.token()?),
        ];
        bench.starter.following(&env)
    }

    /// When the marked route's messages come to one more proxy of the gateway.
    fn follow(&self) -> Result<Receiver<Instant>> {
        let roots = RootSource::Path(self.root());
        let channel_config = ChannelConfig {
            address: format!("https://{}", self.address).parse()?,
            server_name: Some(SERVING_NAME.to_owned()),
            security: Security::Tls(TlsTrust::new(move || {
                client_config(&roots, &TlsSettings::default())
            })),
            credentials: Credentials::new(TokenSource::literal(&self.token()?)),
        };
        let (told, arrivals) = channel();
        thread::Builder::new()
            .name("follower".into())
            .spawn(move || follow(channel_config, Follower(told)))?;
        Ok(arrivals)
    }

    /// Beside the folder, so that nothing but the renaming is seen there.
    fn prepare_mark(&self, number: usize) -> Result<PathBuf> {
        let file = self.dir.path().join(MARK_FILE);
        fs::write(&file, marked_route(number))?;
        Ok(file)
    }

    fn rename(&mut self, file: &Path) -> Result<()> {
        let to = self.dir.path().join("config").join(MARK_FILE);
        if let Some(ended) = self.control.try_wait()? {
            anyhow::bail!("the control plane ended: {ended}");
        }
        Ok(fs::rename(file, to)?)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Gone already if it failed.
        let _ = self.control.kill();
        let _ = self.control.wait();
    }
}

/// Notes when the marked route's messages come.
struct Follower(Sender<Instant>);

impl ApplyBatch for Follower {
    fn apply(&mut self, batch: Batch) -> Result<(), Vec<Rejected>> {
        if batch
            .resources
            .iter()
            .any(|resource| resource.name.ends_with("/mark"))
        {
            // Nobody listens any more at the end.
            let _ = self.0.send(Instant::now());
        }
        Ok(())
    }
}

fn follow(channel: ChannelConfig, follower: Follower) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let channel: GrpcChannel = mesh_grpc::channel(channel)?;
        let config = ClientConfig {
            node: NodeInfo::waypoint(None, "follower", NAMESPACE, NODE, GATEWAY),
            types: vec![TypeUrl::ROUTE],
        };
        let (_handle, driver) = mesh_xds::client(&config, channel, follower);
        match driver.await {}
    })
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// An ordinary gateway, which takes plain connections, and what its routes lead to.
fn mesh() -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: application, namespace: {NAMESPACE}}}\n\
         spec: {{clusterIP: 10.96.0.1, ports: [{{port: 80}}]}}\n---\n\
         apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {GATEWAY}, namespace: {NAMESPACE}}}\n\
         spec: {{gatewayClassName: lateen, listeners: [{{name: http, port: {PLAIN_PORT}, protocol: HTTP}}]}}\n"
    )
}

fn ordinary_route(n: usize) -> String {
    let mut text = head(&format!("r{n:05}"), &format!("type: PathPrefix, value: /r/{n}"));
    let _ = writeln!(text, "    backendRefs: [{{name: application, port: 80}}]");
    text
}

/// Its answer names the number.
fn marked_route(number: usize) -> String {
    let mut text = head("mark", &format!("type: Exact, value: {MARK_PATH}"));
    let _ = writeln!(
        text,
        "    filters: [{{type: RequestRedirect, requestRedirect: {{hostname: {}}}}}]",
        host(number)
    );
    text
}

fn head(name: &str, path: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\n\
         spec:\n  parentRefs: [{{name: {GATEWAY}}}]\n  rules:\n  - matches: [{{path: {{{path}}}}}]\n"
    )
}

fn host(number: usize) -> String {
    format!("n{number}.test")
}

const NAMESPACE: &str = "bench";
const GATEWAY: &str = "files";
const NODE: &str = "node-a";
/// What the control plane's certificate carries.
const SERVING_NAME: &str = "istiod.istio-system.svc";
const MARK_FILE: &str = "mark.yaml";
const PAUSE: Duration = Duration::from_millis(10);
/// The asker shares its processor with the control plane.
const PAUSE_BETWEEN_QUESTIONS: Duration = Duration::from_micros(200);
const QUIET: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(120);
/// What is asked.
const WHOLE_MS: f64 = 50.0;
