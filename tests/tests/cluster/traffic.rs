//! What crosses the wire, and what becomes of connections that are made all the time.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lab::capture::{Capture, Seen};
use serde::Deserialize;
use tokio::time::Instant;

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

/// New connections or requests at a steady rate from inside a pod, until it is told to stop.
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
    /// New connections, on each of which a text comes back.
    pub(crate) fn start(mesh: &Mesh, from: &Pod, to: SocketAddr, rate: u32, text: &str) -> Result<Self> {
        Self::of(mesh, from, to, rate, &["--text", text])
    }

    /// HTTP requests for a path on connections that are kept; each is to be answered with 200, and none is asked twice.
    pub(crate) fn asking(mesh: &Mesh, from: &Pod, to: SocketAddr, rate: u32, path: &str) -> Result<Self> {
        Self::of(mesh, from, to, rate, &["--get", path, "--keep"])
    }

    fn of(mesh: &Mesh, from: &Pod, to: SocketAddr, rate: u32, what: &[&str]) -> Result<Self> {
        let mut command = mesh.app(from)?;
        command
            .args(["load", &to.to_string(), "--rate", &rate.to_string()])
            .args(what)
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

/// Connections that are kept busy with a line every few milliseconds while something happens.
pub(crate) struct Held {
    began: Instant,
    clients: Vec<(Child, BufReader<ChildStdout>)>,
}

/// What became of them.
#[derive(Debug)]
pub(crate) struct HeldEnds {
    pub(crate) still_open: usize,
    /// Those that ended: after how long since all of them were open, and how.
    pub(crate) ended: Vec<(Duration, String)>,
}

impl Held {
    /// Opens one to each server; they end by themselves after `length`.
    pub(crate) fn open(mesh: &Mesh, from: &Pod, servers: &[SocketAddr], length: Duration) -> Result<Self> {
        let seconds = length.as_secs().to_string();
        let one = |to: &SocketAddr| {
            let mut command = mesh.app(from)?;
            command.args(["hold", &to.to_string(), "--seconds", &seconds]);
            let mut client = command.stdout(Stdio::piped()).spawn().context("a client")?;
            let mut output = BufReader::new(client.stdout.take().context("the client's output")?);
            let mut line = String::new();
            output.read_line(&mut line).context("the client's first line")?;
            ensure!(line == "open\n", "a client that holds a connection says {line:?}");
            Ok((client, output))
        };
        Ok(Self {
            clients: servers.iter().map(one).collect::<Result<_>>()?,
            began: Instant::now(),
        })
    }

    /// What became of them until now.
    pub(crate) fn look(mut self) -> Result<HeldEnds> {
        let mut ends = HeldEnds {
            still_open: 0,
            ended: Vec::new(),
        };
        for (client, output) in &mut self.clients {
            if client.try_wait()?.is_none() {
                ends.still_open += 1;
                continue;
            }
            ends.ended.push(end(output)?);
        }
        Ok(ends)
    }

    /// Waits until they end by themselves; fails if one of them was ended.
    pub(crate) fn ends_by_itself(mut self) -> Result<()> {
        for (client, output) in &mut self.clients {
            let (after, how) = end(output)?;
            client.wait()?;
            ensure!(how == "mine", "a held connection was {how} after {after:?}");
        }
        Ok(())
    }

    /// How long they have been open.
    pub(crate) fn age(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        for (client, _) in &mut self.clients {
            drop(client.kill());
            drop(client.wait());
        }
    }
}

/// The last line of a client that held a connection: `lines=<n> end=<how> ms=<n>`.
fn end(output: &mut BufReader<ChildStdout>) -> Result<(Duration, String)> {
    let mut line = String::new();
    output.read_line(&mut line).context("a client's last line")?;
    let word = |key: &str| line.split_whitespace().find_map(|word| word.strip_prefix(key));
    let after = word("ms=").and_then(|ms| ms.parse().ok());
    match (after, word("end=")) {
        (Some(after), Some(how)) => Ok((Duration::from_millis(after), how.to_owned())),
        _ => bail!("a client that held a connection says {line:?}"),
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
