//! An API server, and control planes that read it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::cluster::ControlPlane;
use lab::process::Process;
use lab::wait;
use mesh_grpc::{ChannelConfig, Credentials, GrpcChannel, Security, TlsTrust, TokenSource};
use mesh_tls::TlsSettings;
use mesh_tls::service::{RootSource, client_config};
use serde_json::Value;

/// An API server, and control planes that read it.
pub(super) struct Bench {
    pub(super) api: ControlPlane,
    /// The CRDs of Gateway API.
    pub(super) gateway_api: String,
    pub(super) program: PathBuf,
    pub(super) dir: PathBuf,
}

/// One control plane.
pub(super) struct Plane {
    pub(super) process: Process,
    pub(super) state: PathBuf,
    pub(super) monitoring: u16,
    pub(super) listen: u16,
}

/// Ends in good order, so that whoever comes next need not wait for its Leases to run out.
impl Drop for Plane {
    fn drop(&mut self) {
        if self.process.ended().is_none()
            && let Err(error) = self.process.terminate(PATIENCE)
        {
            eprintln!("{error:#}");
        }
    }
}

/// The control plane beside this test; the other products are not needed.
pub(super) fn program() -> Result<PathBuf> {
    let me = std::env::current_exe().context("own path")?;
    let dir = me.ancestors().nth(2).context("target directory")?;
    let program = dir.join("lateen-controlplane");
    ensure!(
        program.is_file(),
        "{} is missing: cargo build -p controlplane",
        program.display()
    );
    Ok(program)
}

impl Bench {
    /// A control plane that is ready.
    pub(super) fn plane(&self, number: u16) -> Result<Plane> {
        self.plane_with(number, &[])
    }

    /// One with further arguments.
    pub(super) fn plane_with(&self, number: u16, arguments: &[&str]) -> Result<Plane> {
        self.plane_as(self.api.kubectl().config(), number, arguments)
    }

    /// One that is somebody else for the API server.
    pub(super) fn plane_as(&self, kubeconfig: &Path, number: u16, arguments: &[&str]) -> Result<Plane> {
        let state = self.dir.join(format!("state-{number}"));
        let (monitoring, listen) = (16000 + number, 17000 + number);
        let mut command = self.api.namespace().command(&self.program);
        command.args(["--source", "kube", "--kubeconfig"]).arg(kubeconfig);
        command.arg("--state-dir").arg(&state);
        command.args(["--listen", &format!("0.0.0.0:{listen}")]);
        command.args(["--monitoring", &format!("127.0.0.1:{monitoring}")]);
        command.args(arguments);
        let process = Process::start(&format!("plane-{number}"), command, &self.dir)?;
        let plane = Plane {
            process,
            state,
            monitoring,
            listen,
        };
        self.until(&plane, "ready", || self.page(&plane, "/readyz").ok())?;
        Ok(plane)
    }

    pub(super) fn page(&self, plane: &Plane, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{}{path}", plane.monitoring);
        let arguments = ["--silent", "--fail", "--max-time", "5", &url];
        self.api.namespace().output("curl", &arguments)
    }

    pub(super) fn json(&self, plane: &Plane, path: &str) -> Option<Value> {
        serde_json::from_str(&self.page(plane, path).ok()?).ok()
    }

    /// Whether proxies are told of an address of this name.
    pub(super) fn tells_of(&self, plane: &Plane, name: &str) -> bool {
        let resources = self.json(plane, "/debug/resources").unwrap_or_default();
        resources["addresses"].get(name).is_some()
    }

    pub(super) fn away_seconds(&self, plane: &Plane) -> Option<u64> {
        self.json(plane, "/status")?["cluster"]["awaySeconds"].as_u64()
    }

    pub(super) fn until<T>(&self, plane: &Plane, what: &str, probe: impl FnMut() -> Option<T>) -> Result<T> {
        wait::until(what, PATIENCE, probe).with_context(|| plane.process.log_tail())
    }

    pub(super) fn until_told(&self, plane: &Plane, name: &str, told: bool) -> Result<()> {
        let what = format!("{name} is {}", if told { "told of" } else { "gone" });
        self.until(plane, &what, || {
            (self.tells_of(plane, name) == told).then_some(())
        })
    }

    /// A token of the node proxy's pod.
    pub(super) fn token(&self, audience: &str) -> Result<String> {
        let whose = [
            "create",
            "token",
            "ztunnel",
            "-n",
            "istio-system",
            "--audience",
            audience,
        ];
        let bound = ["--bound-object-kind", "Pod", "--bound-object-name", "ztunnel-1"];
        let token = self.api.kubectl().run(&[&whose[..], &bound].concat())?;
        Ok(token.trim().to_owned())
    }

    /// A channel to a control plane, from outside of its network namespace.
    pub(super) fn channel(&self, plane: &Plane, token: &str) -> Result<GrpcChannel> {
        let roots = RootSource::Path(plane.state.join("root-cert.pem"));
        let config = ChannelConfig {
            address: format!("https://{CONTROL_PLANE}:{}", plane.listen).parse()?,
            server_name: Some("istiod.istio-system.svc".to_owned()),
            security: Security::Tls(TlsTrust::new(move || {
                client_config(&roots, &TlsSettings::default())
            })),
            credentials: Credentials::new(TokenSource::literal(token)),
        };
        Ok(mesh_grpc::channel(config)?)
    }

    /// What the authority answers to a signing request that is none: who is believed is told that it is none.
    pub(super) fn answer_to(&self, plane: &Plane, token: &str) -> Result<String> {
        let root = plane.state.join("root-cert.pem").display().to_string();
        let empty = self.dir.join("empty-message");
        std::fs::write(&empty, [0; 5])?;
        let (at, body) = (
            format!("istiod.istio-system.svc:443:127.0.0.1:{}", plane.listen),
            format!("@{}", empty.display()),
        );
        let bearer = format!("authorization: Bearer {token}");
        let arguments = [
            "--silent",
            "--http2",
            "--include",
            "--max-time",
            "10",
            "--cacert",
            &root,
            "--connect-to",
            &at,
            "--header",
            "content-type: application/grpc",
            "--header",
            "te: trailers",
            "--header",
            &bearer,
            "--data-binary",
            &body,
            "https://istiod.istio-system.svc/istio.v1.auth.IstioCertificateService/CreateCertificate",
        ];
        self.api.namespace().output("curl", &arguments)
    }
}

/// Where kubectl finds a text.
pub(super) fn file_of(bench: &Bench, text: &str) -> Result<String> {
    let file = bench.dir.join("objects.yaml");
    std::fs::write(&file, text).context("a file for kubectl")?;
    Ok(file.display().to_string())
}

/// Whether a list of conditions says so of one that is good news, or that good news is missing.
pub(super) fn holds(status: &Value, kind: &str, reason: &str) -> bool {
    let good = if kind == "Conflicted" { "False" } else { "True" };
    says(status, kind, good, reason)
}

pub(super) fn says(status: &Value, kind: &str, holds: &str, reason: &str) -> bool {
    let conditions = status["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let said = conditions.iter().find(|condition| condition["type"] == kind);
    said.is_some_and(|said| said["status"] == holds && said["reason"] == reason)
}

pub(super) const PATIENCE: Duration = Duration::from_secs(90);
/// Where the planes' network namespace is found on the wire.
pub(super) const CONTROL_PLANE: &str = "10.240.0.10";
pub(super) const NAMESPACES: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: shop}}
---
{apiVersion: v1, kind: Node, metadata: {name: node-a}}
";
pub(super) const SHOP: &str = "
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: cart, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: cart, namespace: shop, labels: {app: cart}, annotations: {ambient.istio.io/redirection: enabled}}
spec:
  nodeName: node-a
  serviceAccountName: cart
  automountServiceAccountToken: false
  containers: [{name: main, image: none}]
";
pub(super) const ZTUNNEL: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: ztunnel, namespace: istio-system}
---
apiVersion: v1
kind: Pod
metadata: {name: ztunnel-1, namespace: istio-system}
spec:
  nodeName: node-a
  serviceAccountName: ztunnel
  automountServiceAccountToken: false
  containers: [{name: main, image: none}]
";
pub(super) const WAYPOINT: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop, labels: {istio.io/waypoint-for: service}}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
";
