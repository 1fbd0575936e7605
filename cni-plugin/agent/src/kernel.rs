//! Rules in the kernel: compared with what is wanted, and put right where they differ.
//!
//! `nft` is executed inside the namespace that the rules are for; everything it does is one transaction. Policy routing
//! goes by netlink ([`routes`]). While nobody touches a namespace's rules
//! ([`mod@generation`]) they are not listed again: an audit of many pods costs next to nothing. [`mesh_net::nftables::watch`] says when somebody did.

mod node;
pub mod routes;

use std::collections::HashMap;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use cni_rules::audit::{self, Finding, InvalidListing};
use cni_rules::nftables;
use cni_rules::plan::{self, PolicyRoute};
use cni_rules::rule::Ruleset;
use mesh_net::nftables::generation::{self, Generation};
use mesh_net::{Netns, NetnsId};
use parking_lot::Mutex;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use self::node::NodeRules;

/// Applies rules; bounded in how many processes it starts at once. Cloning shares the bound.
#[derive(Clone, Debug)]
pub struct Kernel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    nft: String,
    processes: Semaphore,
    /// For each transaction the fingerprint that this machine's `nft` lists right after it, where that is not the form
    /// that it was given: newer versions list some expressions differently.
    listed_as: Mutex<HashMap<String, String>>,
    /// For each namespace the transaction that was found to be in effect, and the generation that it was found at.
    in_effect: Mutex<HashMap<NetnsId, (Generation, String)>>,
}

/// Whether what was found in a namespace earlier may still be believed. The kernel gives the number of a namespace that
/// ended to another one, so it may be believed only of a namespace that was held ever since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Memory {
    /// The namespace was held since the rules were last ensured.
    Valid,
    /// It was not, or nobody knows. What is there is not looked at but replaced, so nothing is found either.
    Stale,
}

/// Why rules are not as they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// `nft` cannot be executed: the package is missing, or the namespace cannot be entered.
    #[error("nft (package nftables) cannot be executed: {0}")]
    Execute(#[source] io::Error),
    /// It took too long.
    #[error("nft did not end within {} s", NFT_DEADLINE.as_secs())]
    TimedOut,
    /// It refused; a kernel module or a right is missing.
    #[error("nft failed: {0}")]
    Nft(String),
    /// Its listing makes no sense, for instance because it was built without JSON.
    #[error(transparent)]
    Listing(#[from] InvalidListing),
    /// A route or routing rule could not be set.
    #[error("{0}")]
    Routes(#[from] routes::RouteError),
}

impl Kernel {
    /// Rules by this `nft`: a path, or a name that is looked for.
    #[must_use]
    pub fn new(nft: impl Into<String>) -> Self {
        let inner = Inner {
            nft: nft.into(),
            processes: Semaphore::new(MAX_PROCESSES),
            listed_as: Mutex::default(),
            in_effect: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Makes a pod's rules be these; returns what was not so before.
    ///
    /// # Errors
    /// Fails when something cannot be set, for either family. What was there before is then still there, or is blocked.
    pub async fn ensure_pod(
        &self,
        netns: &Netns,
        options: &plan::PodOptions,
        memory: Memory,
    ) -> Result<Vec<Finding>, KernelError> {
        // The routes first: marks that lead nowhere send what answers ztunnel out of a running pod, to a client that
        // resets it. Routes without marks do nothing.
        let routes = routes::ensure(netns, &plan::policy_routes()).await?;
        let mut findings = self.ensure(netns, &plan::pod(options), memory).await?;
        findings.extend(routes);
        Ok(findings)
    }

    /// Redirects nothing new in a pod; what is under way stays translated and routed until [`Self::clear_pod`].
    ///
    /// # Errors
    /// Fails when the rules cannot be set.
    pub async fn release_pod(&self, netns: &Netns) -> Result<(), KernelError> {
        self.ensure(netns, &plan::leaving_pod(), Memory::Stale)
            .await
            .map(drop)
    }

    /// Removes every rule of ours from a pod.
    ///
    /// # Errors
    /// Fails when something cannot be removed.
    pub async fn clear_pod(&self, netns: &Netns) -> Result<(), KernelError> {
        self.ensure(netns, &Ruleset::empty(), Memory::Stale).await?;
        let all: [PolicyRoute; 2] = plan::policy_routes();
        Ok(routes::remove(netns, &all).await?)
    }

    /// Forgets what was found in a namespace, which is held no more.
    pub fn forget(&self, netns: NetnsId) {
        self.inner.in_effect.lock().remove(&netns);
    }

    /// Makes the node's own rules be these; returns what was not so before. `netns` is held as long as this is.
    ///
    /// # Errors
    /// Fails when they cannot be set.
    async fn ensure_host(
        &self,
        netns: &Netns,
        options: &plan::HostOptions,
        memory: Memory,
    ) -> Result<Vec<Finding>, KernelError> {
        self.ensure(netns, &plan::host(options), memory).await
    }

    /// Removes every rule of ours from the node itself.
    ///
    /// # Errors
    /// Fails when something cannot be removed.
    async fn clear_host(&self, netns: &Netns) -> Result<(), KernelError> {
        self.ensure(netns, &Ruleset::empty(), Memory::Stale)
            .await
            .map(drop)
    }

    async fn ensure(
        &self,
        netns: &Netns,
        wanted: &Ruleset,
        memory: Memory,
    ) -> Result<Vec<Finding>, KernelError> {
        let transaction = nftables::transaction(wanted);
        if memory == Memory::Stale {
            self.replace(netns, transaction).await?;
            return Ok(Vec::new());
        }
        // Read before the rules are: a change in between makes it too old, and the next audit lists again.
        let generation = generation::read(netns);
        if let Some(generation) = generation
            && self.inner.in_effect.lock().get(&netns.id()) == Some(&(generation, transaction.clone()))
        {
            return Ok(Vec::new());
        }
        let before = self.listing(netns, wanted).await?;
        let mut findings = audit::compare(wanted, before.as_bytes())?;
        if findings.is_empty() || self.is_listed_as(wanted, &transaction, &before)? {
            self.note_in_effect(netns, generation, transaction);
            return Ok(Vec::new());
        }
        self.nft(netns, &["-j", "-f", "-"], &transaction).await?;
        let generation = generation::read(netns);
        let after = self.listing(netns, wanted).await?;
        if !audit::compare(wanted, after.as_bytes())?.is_empty() {
            let fingerprint = audit::fingerprint(wanted, after.as_bytes())?;
            // Another process set them, and this machine's `nft` lists them in another form: they were as wanted.
            if fingerprint == audit::fingerprint(wanted, before.as_bytes())? {
                findings.clear();
            }
            let mut listed_as = self.inner.listed_as.lock();
            if listed_as.len() >= MAX_FORMS {
                listed_as.clear();
            }
            listed_as.insert(transaction.clone(), fingerprint);
        }
        self.note_in_effect(netns, generation, transaction);
        Ok(findings)
    }

    /// What `nft` lists of at least the tables that `wanted` speaks of.
    async fn listing(&self, netns: &Netns, wanted: &Ruleset) -> Result<String, KernelError> {
        let mut names = wanted.names();
        // On a node most rules are others', and there may be very many of them. Several tables would take several processes.
        if let (Some(only), None) = (names.next(), names.next()) {
            let list = ["-j", "list", "table", "inet", only.as_str()];
            match self.nft(netns, &list, "").await {
                // It is not there; or else the whole says what is wrong.
                Err(KernelError::Nft(_)) => {}
                listed => return listed,
            }
        }
        self.nft(netns, &["-j", "list", "ruleset"], "").await
    }

    /// One transaction, whatever is there. Starting a program costs more than what it does, and pods start in bursts.
    async fn replace(&self, netns: &Netns, transaction: String) -> Result<(), KernelError> {
        let before = generation::read(netns);
        self.nft(netns, &["-j", "-f", "-"], &transaction).await?;
        let after = generation::read(netns);
        // More than one transaction: somebody else's may have come after ours, and the next audit looks.
        let only_ours = after.is_some() && after == before.map(Generation::next);
        self.note_in_effect(netns, after.filter(|_| only_ours), transaction);
        Ok(())
    }

    fn note_in_effect(&self, netns: &Netns, generation: Option<Generation>, transaction: String) {
        let mut in_effect = self.inner.in_effect.lock();
        // Some are never forgotten: of what ends while its rules are set.
        if in_effect.len() >= MAX_NAMESPACES {
            in_effect.clear();
        }
        match generation {
            Some(generation) => drop(in_effect.insert(netns.id(), (generation, transaction))),
            None => drop(in_effect.remove(&netns.id())),
        }
    }

    fn is_listed_as(&self, wanted: &Ruleset, transaction: &str, listing: &str) -> Result<bool, KernelError> {
        let listed_as = self.inner.listed_as.lock().get(transaction).cloned();
        let Some(listed_as) = listed_as else {
            return Ok(false);
        };
        Ok(audit::fingerprint(wanted, listing.as_bytes())? == listed_as)
    }

    async fn nft(&self, netns: &Netns, arguments: &[&str], input: &str) -> Result<String, KernelError> {
        // Never closed.
        let _permit = self.inner.processes.acquire().await;
        let mut command = Command::new(&self.inner.nft);
        command
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Inside while it is spawned, rather than between fork and exec: so the memory of this process is not copied for it.
        let mut child = netns
            .run(|| command.spawn())
            .and_then(|spawned| spawned)
            .map_err(KernelError::Execute)?;
        let stdin = child.stdin.take();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A process that ends without reading says why on standard error.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let (output, ()) = timeout(NFT_DEADLINE, async {
            tokio::join!(child.wait_with_output(), feed)
        })
        .await
        .map_err(|_| KernelError::TimedOut)?;
        let output = output.map_err(KernelError::Execute)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let first = stderr.lines().find(|line| !line.trim().is_empty());
        Err(KernelError::Nft(
            first
                .unwrap_or("without a word")
                .trim()
                .chars()
                .take(300)
                .collect(),
        ))
    }
}

const NFT_DEADLINE: Duration = Duration::from_secs(10);
/// A burst of starting pods is served a few at a time; each takes milliseconds.
const MAX_PROCESSES: usize = 8;
/// Host rulesets differ with every set of pods.
const MAX_FORMS: usize = 256;
const MAX_NAMESPACES: usize = 4096;

#[cfg(test)]
mod tests;
