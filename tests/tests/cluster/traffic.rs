//! What crosses the wire, and what becomes of connections that are made all the time.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use lab::capture::{Capture, Seen};
use serde::Deserialize;

use crate::mesh::{Mesh, Pod};

/// Captures of everything between the nodes and, on each node, of everything between its pods.
pub(crate) struct Captures {
    wire: Capture,
    nodes: Vec<Capture>,
}

/// What they saw.
#[derive(Debug)]
pub(crate) struct Sightings {
    pub(crate) wire: Seen,
    pub(crate) nodes: Vec<Seen>,
}

impl Captures {
    /// Looks for these words everywhere.
    pub(crate) fn start(mesh: &Mesh, words: &[&str]) -> Result<Self> {
        let nodes = mesh.cluster.nodes().iter();
        Ok(Self {
            wire: Capture::start(words)?,
            nodes: nodes
                .map(|node| Capture::start_in(node.namespace(), words))
                .collect::<Result<_>>()?,
        })
    }

    pub(crate) fn stop(self) -> Sightings {
        Sightings {
            wire: self.wire.stop(),
            nodes: self.nodes.into_iter().map(Capture::stop).collect(),
        }
    }
}

impl Sightings {
    /// Where one of the words was seen.
    pub(crate) fn found(&self) -> Vec<&String> {
        let all = self.nodes.iter().chain([&self.wire]);
        all.flat_map(|seen| &seen.found).collect()
    }

    /// Fails if one of the words was seen anywhere, and if the captures saw nothing at all.
    pub(crate) fn nothing_in_the_clear(&self) -> Result<()> {
        ensure!(self.found().is_empty(), "in the clear: {self:?}");
        ensure!(
            self.nodes.iter().any(|seen| seen.frames > 0),
            "a capture that sees nothing proves nothing: {self:?}"
        );
        Ok(())
    }
}

/// New connections at a steady rate from inside a pod, until it is told to stop.
pub(crate) struct Load {
    client: Child,
    output: BufReader<ChildStdout>,
}

/// What became of each of them.
#[derive(Debug, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) failures: BTreeMap<String, u64>,
    /// When the first and the last of those began that failed, in milliseconds since the load did.
    #[serde(default)]
    pub(crate) failed_from_ms: Option<u64>,
    #[serde(default)]
    pub(crate) failed_until_ms: Option<u64>,
    pub(crate) max_us: u64,
}

impl Load {
    /// Begins; returns once the first connection is made.
    pub(crate) fn start(mesh: &Mesh, from: &Pod, to: SocketAddr, rate: u32, text: &str) -> Result<Self> {
        let mut command = mesh.app(from)?;
        command
            .args([
                "load",
                &to.to_string(),
                "--rate",
                &rate.to_string(),
                "--text",
                text,
            ])
            .args(["--seconds", AT_MOST, "--until-eof"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut client = command.spawn().context("a client")?;
        let mut output = BufReader::new(client.stdout.take().context("the client's output")?);
        let mut line = String::new();
        output.read_line(&mut line).context("the client's first line")?;
        if line != "started\n" {
            bail!("a client says {line:?}");
        }
        Ok(Self { client, output })
    }

    /// Ends it, once every connection that began has ended.
    pub(crate) fn finish(mut self) -> Result<Ledger> {
        drop(self.client.stdin.take());
        let mut sums = String::new();
        self.output.read_to_string(&mut sums).context("the ledger")?;
        serde_json::from_str(&sums).with_context(|| format!("a ledger: {sums}"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.client.kill());
        drop(self.client.wait());
    }
}

impl Ledger {
    /// Fails if one connection did.
    pub(crate) fn nobody_noticed(&self) -> Result<()> {
        let (from, until) = (self.failed_from_ms, self.failed_until_ms);
        ensure!(
            self.failed == 0 && self.ok > 0,
            "connections failed, from {from:?} until {until:?} ms: {self:?}"
        );
        Ok(())
    }
}

/// Whatever becomes of the test.
const AT_MOST: &str = "900";
