//! The program itself: its errors are one line, it stops when told, and no log level makes it print a secret.

#![expect(clippy::unwrap_used, reason = "whatever fails here fails its test")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use mesh_grpc::{ChannelConfig, Credentials, Security, TlsTrust, TokenSource};
use mesh_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use mesh_tls::TlsSettings;
use mesh_tls::service::{RootSource, client_config};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lateen-controlplane");

/// A running control plane, killed if its test forgets it.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    log: Vec<String>,
}

impl Running {
    fn start(config: &Path, state: &Path) -> Self {
        let mut child = Command::new(PROGRAM)
            .arg("--config-dir")
            .arg(config)
            .arg("--state-dir")
            .arg(state)
            .args(["--listen", "127.0.0.1:0", "--monitoring", "127.0.0.1:0"])
            .env("RUST_LOG", "trace")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            lines,
            log: Vec::new(),
        }
    }

    /// Reads its log until a line holds `text`; lines of different threads come in any order, so one that was read already will do.
    fn until(&mut self, text: &str) -> String {
        if let Some(line) = self.log.iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        loop {
            let line = self.lines.next().expect("it ended").unwrap();
            self.log.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Tells it to stop, and gives everything that it ever logged.
    fn stop(mut self) -> String {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        let rest: Vec<_> = self.lines.by_ref().map_while(Result::ok).collect();
        self.log.extend(rest);
        assert!(self.child.wait().unwrap().success());
        std::mem::take(&mut self.log).join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(args: &[&str]) -> Output {
    Command::new(PROGRAM).args(args).output().unwrap()
}

fn token(state: &Path) -> String {
    let state = state.display().to_string();
    let account = [
        "--service-account",
        "istio-system/ztunnel",
        "--node",
        "node-a",
        "--ttl",
        "1h",
    ];
    let output = run(&[&["token", "--state-dir", &state], &account[..]].concat());
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn says_what_it_is() {
    let version = String::from_utf8(run(&["--version"]).stdout).unwrap();
    assert_eq!(
        version.trim(),
        format!("lateen-controlplane {}", env!("CARGO_PKG_VERSION"))
    );
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    assert!(help.contains("--config-dir") && help.contains("token"), "{help}");
}

#[test]
fn what_is_wrong_is_one_line_that_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, missing) = (dir.path().display().to_string(), "/nonexistent/config");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let free = ["--monitoring", "127.0.0.1:0", "--listen"];
    let cases: [(&[&str], &str); 3] = [
        (&["--config-dir", missing, "--state-dir", &dir], missing),
        (
            &["--config-dir", &dir, "--state-dir", "/proc/nonexistent"],
            "/proc/nonexistent",
        ),
        (
            &[&["--config-dir", &dir, "--state-dir", &dir], &free[..], &[&taken]].concat(),
            &taken,
        ),
    ];
    for (args, named) in cases {
        let output = run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(
            error.contains(named) && error.trim_end().lines().count() == 1,
            "{error}"
        );
    }
}

#[test]
fn no_log_level_shows_a_secret() {
    let (config, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shop = "apiVersion: v1\nkind: Pod\nmetadata: {name: cart, namespace: shop}\n\
        spec: {nodeName: node-a, serviceAccountName: cart}\n";
    std::fs::write(config.path().join("shop.yaml"), shop).unwrap();
    let mut running = Running::start(config.path(), state.path());
    let listening = running.until("address=");
    let address = listening
        .split("address=")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    running.until("are loaded: serving");
    let token = token(state.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let issued = runtime.block_on(sign(&address, state.path(), &token));
    assert_eq!(issued.len(), 2);

    let log = running.stop();
    assert!(log.contains("certificate issued"), "{log}");
    let signature = token.rsplit('.').next().unwrap();
    assert!(
        !log.contains(&token) && !log.contains(signature),
        "the log shows the token"
    );
    for file in ["root.pem", "token-key.pem"] {
        let pem = std::fs::read_to_string(state.path().join(file)).unwrap();
        for line in pem.lines().skip(1).take_while(|l| !l.starts_with("-----END")) {
            assert!(!log.contains(line), "the log shows {file}");
        }
    }
}

async fn sign(address: &str, state: &Path, token: &str) -> Vec<String> {
    let roots = RootSource::Path(state.join("root-cert.pem"));
    let trust = TlsTrust::new(move || client_config(&roots, &TlsSettings::default()));
    let channel = mesh_grpc::channel(ChannelConfig {
        address: format!("https://{address}").parse().unwrap(),
        server_name: Some("istiod.istio-system.svc".to_owned()),
        security: Security::Tls(trust),
        credentials: Credentials::new(TokenSource::literal(token)),
    });
    let cart = "spiffe://cluster.local/ns/shop/sa/cart".parse().unwrap();
    let (_key, csr) = mesh_tls::csr::encode(&cart).unwrap();
    let message = mesh_certs::request::encode(csr, Duration::from_secs(600), Some(&cart));
    let mut client = IstioCertificateServiceClient::new(channel.unwrap());
    client
        .create_certificate(message)
        .await
        .unwrap()
        .into_inner()
        .cert_chain
}
