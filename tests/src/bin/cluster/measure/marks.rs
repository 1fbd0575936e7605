//! Which pods say that their traffic is captured, as the API server tells of it: one watch, since asking again and again would
//! take the time of those who are measured.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::cluster::Kubectl;
use tokio::time::Instant;

/// The marks of a namespace's pods.
pub(crate) struct Marks<'a> {
    kubectl: &'a Kubectl,
    namespace: &'a str,
    watch: Watch,
    marked: BTreeMap<String, bool>,
}

/// One watch. It ends when the API server ends it, as it does with one that reads too slowly.
struct Watch {
    process: Child,
    changes: Receiver<(String, bool)>,
}

impl Watch {
    /// First everything as it is, then what changes.
    fn start(kubectl: &Kubectl, namespace: &str) -> Result<Self> {
        let arguments = ["get", "pods", "-n", namespace, "--watch", "-o", LINE];
        let mut process = kubectl
            .command(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("kubectl")?;
        let said = process.stdout.take().context("a pipe")?;
        let (tell, changes) = channel();
        thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                // Nobody listens any more when the watch is dropped.
                let _ = tell.send(parse(&line));
            }
        });
        Ok(Self { process, changes })
    }
}

impl<'a> Marks<'a> {
    pub(crate) fn watch(kubectl: &'a Kubectl, namespace: &'a str) -> Result<Self> {
        Ok(Self {
            kubectl,
            namespace,
            watch: Watch::start(kubectl, namespace)?,
            marked: BTreeMap::new(),
        })
    }

    /// Waits until so many pods are marked, and returns when that was.
    pub(crate) fn until(&mut self, count: usize, limit: Duration) -> Result<Instant> {
        let end = Instant::now() + limit;
        while self.marked() != count {
            match self
                .watch
                .changes
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok((pod, is_marked)) => drop(self.marked.insert(pod, is_marked)),
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} of {count} pods are marked after {limit:?}", self.marked())
                }
                Err(RecvTimeoutError::Disconnected) if Instant::now() < end => {
                    self.watch = Watch::start(self.kubectl, self.namespace)?;
                }
                Err(RecvTimeoutError::Disconnected) => bail!("kubectl --watch ends again and again"),
            }
        }
        Ok(Instant::now())
    }

    fn marked(&self) -> usize {
        self.marked.values().filter(|is_marked| **is_marked).count()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It has ended already if the API server has.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A pod's name, and whether it is marked.
fn parse(line: &str) -> (String, bool) {
    let (pod, mark) = line.split_once(' ').unwrap_or((line, ""));
    (pod.to_owned(), mark == "enabled")
}

const LINE: &str =
    r#"jsonpath={.metadata.name}{" "}{.metadata.annotations.ambient\.istio\.io/redirection}{"\n"}"#;

#[cfg(test)]
mod tests;
