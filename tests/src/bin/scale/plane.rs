//! The control plane as a process, and what it costs.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::process::Process;
use mesh_grpc::{ChannelConfig, Credentials, Security, TlsTrust, TokenSource};
use mesh_tls::TlsSettings;
use mesh_tls::service::{RootSource, client_config};

/// A running control plane.
#[derive(Debug)]
pub(crate) struct Plane {
    process: Process,
    address: SocketAddr,
    monitoring: SocketAddr,
    state: PathBuf,
}

/// What it cost up to now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Resident memory.
    pub(crate) rss_mb: f64,
    /// The most that was ever resident.
    pub(crate) peak_mb: f64,
    /// Processor time, of the kernel too.
    pub(crate) cpu: Duration,
}

impl Plane {
    pub(crate) fn start(program: &Path, kubeconfig: &Path) -> Result<Self> {
        let dir = PathBuf::from("/run/lateen-scale");
        let state = dir.join("state");
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let (address, monitoring) = (free_address()?, free_address()?);
        let mut command = Command::new(program);
        command.args(["--source", "kube", "--kubeconfig"]).arg(kubeconfig);
        command.arg("--state-dir").arg(&state);
        command.args(["--listen", &address.to_string()]);
        command.args(["--monitoring", &monitoring.to_string()]);
        Ok(Self {
            process: Process::start("control-plane", command, &dir)?,
            address,
            monitoring,
            state,
        })
    }

    /// Waits until it serves.
    pub(crate) fn wait_ready(&mut self) -> Result<()> {
        let url = format!("http://{}/readyz", self.monitoring);
        self.process.wait_until("it is ready", STARTUP, || {
            let asked = Command::new("curl")
                .args(["--silent", "--fail", "--max-time", "5", &url])
                .output()
                .ok()?;
            asked.status.success().then_some(())
        })
    }

    /// Fails when it ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.process.ended() {
            Some(status) => bail!("the control plane ended ({status}):\n{}", self.process.log_tail()),
            None => Ok(()),
        }
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// How whoever has this token reaches it.
    pub(crate) fn channel(&self, token: &str) -> Result<ChannelConfig> {
        let roots = RootSource::Path(self.state.join("root-cert.pem"));
        Ok(ChannelConfig {
            address: format!("https://{}", self.address).parse()?,
            server_name: Some(SERVING_NAME.to_owned()),
            security: Security::Tls(TlsTrust::new(move || {
                client_config(&roots, &TlsSettings::default())
            })),
            credentials: Credentials::new(TokenSource::literal(token)),
        })
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        let pid = self.process.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("/proc")?;
        let mb = |field: &str| -> Result<f64> {
            let line = status.lines().find(|line| line.starts_with(field));
            let kib = line.and_then(|line| line.split_whitespace().nth(1));
            Ok(kib.context("status")?.parse::<f64>()? * 1024.0 / 1_000_000.0)
        };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("/proc")?;
        // The program's name may hold spaces; fields are counted from the parenthesis after it.
        let (_, fields) = stat.rsplit_once(')').context("stat")?;
        let ticks = |at: usize| -> Result<u64> {
            let field = fields.split_whitespace().nth(at).context("stat")?;
            Ok(field.parse()?)
        };
        let ticks = ticks(11)? + ticks(12)?;
        Ok(Usage {
            rss_mb: mb("VmRSS:")?,
            peak_mb: mb("VmHWM:")?,
            cpu: Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND),
        })
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// What its certificate carries.
const SERVING_NAME: &str = "istiod.istio-system.svc";
/// proc(5): what Linux says on every architecture that Rust supports.
const TICKS_PER_SECOND: u64 = 100;
const STARTUP: Duration = Duration::from_secs(120);
