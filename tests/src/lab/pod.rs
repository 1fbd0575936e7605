//! A pod: a namespace that joined the network by the plugin chain, and programs inside.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::cni::{Added, Attachment, Chain};
use crate::config::PodSpec;
use crate::ip::Namespace;
use crate::process::Process;
use crate::products::Products;

/// A pod of the lab; dropping it leaves its network as it is, [`Pod::delete`] undoes it.
#[derive(Debug)]
pub struct Pod {
    spec: PodSpec,
    namespace: Namespace,
    attachment: Attachment,
    added: Added,
    chain: Chain,
    logs: PathBuf,
    joined_in: Duration,
}

/// What a program inside a pod said, and how long it took.
#[derive(Clone, Debug)]
pub struct Said {
    /// Whether it ended with status 0.
    pub ok: bool,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
    /// How long it ran.
    pub took: Duration,
}

impl Pod {
    pub(super) fn start(spec: &PodSpec, serial: u32, chain: Chain, dir: &Path) -> Result<Self> {
        let namespace = Namespace::create(&format!("{}-{}-{serial}", spec.namespace, spec.name))?;
        let attachment = Attachment {
            container: format!("c{serial}"),
            netns: namespace.clone(),
            pod_namespace: spec.namespace.clone(),
            pod_name: spec.name.clone(),
            pod_uid: format!("10000000-0000-0000-0000-{serial:012}"),
        };
        let start = Instant::now();
        let added = chain.add(&attachment);
        let joined_in = start.elapsed();
        match added {
            Ok(added) => {
                let spec = spec.clone();
                Ok(Self {
                    spec,
                    namespace,
                    attachment,
                    added,
                    chain,
                    logs: dir.join("logs"),
                    joined_in,
                })
            }
            Err(e) => {
                // The answer to give is ADD's; what DEL says of a half-made attachment adds nothing.
                drop(chain.del(&attachment, None));
                drop(namespace.delete());
                Err(e)
            }
        }
    }

    /// What it was made from.
    #[must_use]
    pub fn spec(&self) -> &PodSpec {
        &self.spec
    }

    /// `<namespace>/<name>`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.spec.namespace, self.spec.name)
    }

    /// How long the plugin chain took to join it.
    #[must_use]
    pub fn joined_in(&self) -> Duration {
        self.joined_in
    }

    /// Its network namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// What the container runtime knows of it.
    #[must_use]
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Its IPv4 address.
    ///
    /// # Panics
    /// Panics when the chain gave none, which the lab's configuration excludes.
    #[must_use]
    pub fn v4(&self) -> IpAddr {
        *self
            .added
            .addresses
            .iter()
            .find(|a| a.is_ipv4())
            .expect("the lab's pods have an IPv4 address")
    }

    /// Its IPv6 address.
    ///
    /// # Panics
    /// Panics when the chain gave none, which the lab's configuration excludes.
    #[must_use]
    pub fn v6(&self) -> IpAddr {
        *self
            .added
            .addresses
            .iter()
            .find(|a| a.is_ipv6())
            .expect("the lab's pods have an IPv6 address")
    }

    /// Starts a program inside that runs until it is dropped.
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn spawn(
        &self,
        name: &str,
        program: impl AsRef<std::ffi::OsStr>,
        arguments: &[&str],
    ) -> Result<Process> {
        let mut command = self.namespace.command(program);
        command.args(arguments);
        Process::start(&format!("{}-{name}", self.namespace), command, &self.logs)
    }

    /// Starts `lab-app serve` inside, with these arguments, and waits until it listens.
    ///
    /// # Errors
    /// Fails when it ends instead, or does not get there in time.
    pub fn serve(&self, products: &Products, arguments: &[&str]) -> Result<Process> {
        let arguments: Vec<_> = ["serve"].iter().chain(arguments).copied().collect();
        let mut server = self.spawn("server", products.path("lab-app"), &arguments)?;
        let log = server.log_path().to_owned();
        server.wait_until("its ports", super::STARTUP, || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            said.lines().any(|l| l == "serving").then_some(())
        })?;
        Ok(server)
    }

    /// A command that will run inside.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// Starts a prepared command (see [`Pod::command`]) that runs until it is dropped.
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn spawn_command(&self, name: &str, command: Command) -> Result<Process> {
        Process::start(&format!("{}-{name}", self.namespace), command, &self.logs)
    }

    /// Runs a program inside to its end.
    ///
    /// # Errors
    /// Fails when it cannot be started; that it fails itself is an answer, not an error.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Said> {
        let start = Instant::now();
        let mut command = self.namespace.command(program);
        let out = command
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| program.to_owned())?;
        Ok(Said {
            ok: out.status.success(),
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
            took: start.elapsed(),
        })
    }

    /// CHECK, as a runtime does from time to time.
    ///
    /// # Errors
    /// Fails with the plugin's message.
    pub fn check(&self) -> Result<()> {
        self.chain.check(&self.attachment, &self.added)
    }

    /// Takes it off the network (DEL) and removes its namespace, as a runtime does when the pod ended.
    ///
    /// # Errors
    /// Fails with the plugin's message.
    pub fn delete(self) -> Result<()> {
        self.chain.del(&self.attachment, Some(&self.added))?;
        self.namespace.delete()
    }
}
