//! When a pod lets in those who come in the clear, and at which of its ports they may say nothing though they are in.
//!
//! A STRICT pod refuses them after their handshake, and by then what they said has crossed the wire: a client in the mesh dials in the
//! clear, too, where its own proxy has lost the control plane and takes the pod for one outside. So such a pod tells them of no room for
//! any word ([`zero_window`]) until they are refused, which is seen, counted and logged as ever ([`passthrough`](crate::passthrough)).
//! Where the kernel does not take that rule, a pod that refuses all of them is not let in to at all.
//!
//! A pod that is not known yet may be STRICT: until then they wait outside ([`unsynced`](crate::unsynced)). One that refuses all of them
//! lets them wait for a while more: other proxies may hear of it, or that it is in the mesh now, a little later, and a dial in the clear
//! that waited is made anew, by a tunnel then (`Plan::is_overtaken`). That keeps out nobody whom it would serve.

use std::future::pending;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_net::Netns;
use mesh_net::nftables::generation::{self, Generation};
use mesh_net::nftables::zero_window;
use mesh_runtime::drain::{DrainMode, DrainWatcher};
use mesh_state::StateReader;
use mesh_types::{PortSet, ports};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::local::LocalPod;

/// What those find who come in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// The configuration does not have the pod yet: they wait, for a time.
    Unknown,
    /// They wait until other proxies have heard of the pod.
    Held,
    /// The kernel refuses them, as where nobody listens.
    Shut,
    /// They are let in. Stays so: who is refused later is refused one by one.
    Open,
}

/// Keeps those silent who come in the clear; the tests have another one.
pub trait Silence {
    /// From now on they may say nothing at these ports of the pod, and at others they may.
    ///
    /// # Errors
    /// Fails where it cannot be had; nothing has changed then.
    fn keep(&mut self, ports: &PortSet) -> io::Result<()>;

    /// Whether somebody else may have undone it.
    fn is_in_doubt(&self) -> bool;
}

/// Silence by a rule in the pod's namespace.
#[derive(Debug)]
pub struct KernelSilence {
    netns: Netns,
    kept: Option<Generation>,
}

/// Follows what is known of one pod, and keeps its gate.
#[derive(Debug)]
pub struct GateKeeper<S> {
    place: Place,
    silence: S,
    /// Where nothing may be said, once that was decided.
    silent: Option<PortSet>,
    /// Until when others may not have heard of the pod; nothing while this one has not.
    young_until: Option<Instant>,
    /// When it is looked whether somebody removed the rule.
    audit_at: Instant,
    /// It was told that the kernel does not take the rule.
    has_warned: bool,
    gate: watch::Sender<Gate>,
}

/// The pod whose gate it is.
#[derive(Clone, Debug)]
pub struct Place {
    /// Who it is.
    pub pod: Arc<LocalPod>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The mesh.
    pub state: StateReader,
    /// True once the first configuration is complete.
    pub synced: watch::Receiver<bool>,
    /// How long others may take to hear of it.
    pub news_spreads: Duration,
}

/// What the gate of a pod that is known has to be.
fn decide(refused: &PortSet, kept_silent: bool, young: bool) -> Gate {
    match (refused.is_all(), young, kept_silent) {
        (false, _, _) => Gate::Open,
        (true, true, _) => Gate::Held,
        (true, false, true) => Gate::Open,
        (true, false, false) => Gate::Shut,
    }
}

impl<S: Silence> GateKeeper<S> {
    /// Looks once, so that a gate is open from the first moment where nothing speaks against it.
    pub fn new(place: Place, silence: S) -> Self {
        let mut keeper = Self {
            place,
            silence,
            silent: None,
            young_until: None,
            audit_at: Instant::now() + AUDIT,
            has_warned: false,
            gate: watch::Sender::new(Gate::Unknown),
        };
        if *keeper.place.synced.borrow() {
            keeper.look();
        }
        keeper
    }

    /// The gate, to be followed.
    #[must_use]
    pub fn gate(&self) -> watch::Receiver<Gate> {
        self.gate.subscribe()
    }

    /// Keeps the gate until the drain. What was kept silent stays so where this process ends: its successor finds the rule.
    pub async fn keep(mut self, mut drain: DrainWatcher) {
        let mode = tokio::select! {
            biased;
            mode = drain.draining() => mode,
            () = self.follow() => return,
        };
        if mode == DrainMode::Immediate
            && let Err(error) = self.silence.keep(&PortSet::none())
        {
            // As it is where the pod has ended.
            tracing::debug!(pod = %self.place.pod.info().name, %error, "a rule stays in a pod that left");
        }
    }

    /// Ends with the configuration.
    async fn follow(&mut self) {
        if self.place.synced.wait_for(|synced| *synced).await.is_err() {
            return;
        }
        let mut generation = self.place.state.generation();
        loop {
            generation.mark_unchanged();
            self.look();
            tokio::select! {
                changed = generation.changed() => if changed.is_err() { return },
                () = self.comes_of_age() => {}
                () = sleep_until(self.audit_at) => {}
            }
        }
    }

    fn look(&mut self) {
        let Place { pod, addresses, .. } = &self.place;
        let refused = self
            .place
            .state
            .query(|view| pod.refuses_plaintext_at(view, addresses));
        // As long as it is not known. One that is so no more is refused connections, and its rule stays.
        let Some(refused) = refused else {
            return;
        };
        let now = Instant::now();
        let until = *self.young_until.get_or_insert(now + self.place.news_spreads);
        self.keep_silent(&refused, now);
        let is_kept = self.silent.as_ref() == Some(&refused);
        let gate = decide(&refused, is_kept, now < until);
        self.gate.send_if_modified(|current| {
            let changes = *current != Gate::Open && *current != gate;
            if changes {
                *current = gate;
            }
            changes
        });
    }

    fn keep_silent(&mut self, refused: &PortSet, now: Instant) {
        let is_due = now >= self.audit_at;
        if is_due {
            self.audit_at = now + AUDIT;
        }
        let has_it = self.silent.as_ref() == Some(refused);
        let is_lost = || is_due && !refused.is_none() && self.silence.is_in_doubt();
        if has_it && !is_lost() {
            return;
        }
        // What failed may work later, and fails as often as it is looked at.
        if !has_it && self.has_warned && !is_due {
            return;
        }
        match self.silence.keep(refused) {
            Ok(()) => {
                self.silent = Some(refused.clone());
                self.has_warned = false;
            }
            Err(error) => self.warn(refused, &error),
        }
    }

    fn warn(&mut self, refused: &PortSet, error: &io::Error) {
        if std::mem::replace(&mut self.has_warned, true) {
            return;
        }
        let info = self.place.pod.info();
        let instead = match refused.is_all() {
            true => "it refuses them before their handshake instead, which is in no log",
            false => "what they say may cross the wire before they are refused",
        };
        tracing::warn!(pod = %info.name, namespace = %info.namespace, %error, instead,
            "clients of a STRICT pod that come in the clear cannot be kept silent by a rule of nftables");
    }

    async fn comes_of_age(&self) {
        match self.young_until.filter(|until| Instant::now() < *until) {
            Some(until) => sleep_until(until).await,
            None => pending().await,
        }
    }
}

// === impl KernelSilence ===

impl KernelSilence {
    /// In this namespace, where it is to be inherited from a predecessor.
    #[must_use]
    pub fn new(netns: Netns) -> Self {
        Self { netns, kept: None }
    }
}

impl Silence for KernelSilence {
    fn keep(&mut self, ports: &PortSet) -> io::Result<()> {
        let set = || zero_window::set(ports::INBOUND_PLAINTEXT, ports);
        self.kept = self.netns.run(set)??;
        Ok(())
    }

    fn is_in_doubt(&self) -> bool {
        self.kept.is_none() || generation::read(&self.netns) != self.kept
    }
}

/// Much longer than the control plane takes to tell all proxies of a change, and than a client's kernel waits before it tries again.
pub const NEWS_SPREADS: Duration = Duration::from_secs(2);
/// How often it is looked whether somebody removed the rule.
const AUDIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
