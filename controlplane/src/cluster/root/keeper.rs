//! Follows who signs, without a restart: the Secret of the root, or what an operator mounted before it. What was trusted stays
//! trusted beside it for as long as certificates of it may be in use, in all replicas, and in those that start later
//! ([`super::record`]).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use controlplane_ca::issuer::Issuer;
use controlplane_ca::root::Root;
use controlplane_ca::succession::Succession;
use futures_util::StreamExt as _;
use mesh_kube::{Event, KubeClient, News, Selection, watch};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval};
use zeroize::Zeroizing;

use super::{NAME, SECRETS, authority_of, mounted, record};

/// Keeps an issuer as it is to be.
pub struct Keeper {
    client: KubeClient,
    namespace: String,
    /// Where an operator mounts an authority.
    mounted: PathBuf,
    /// Where clients of this machine find what is trusted.
    state_dir: PathBuf,
    issuer: Arc<Issuer>,
    known: Succession,
    /// Another authority signs than everybody knows: what signed here until then.
    unsaid: Option<Vec<String>>,
    /// When it is tried again to renew the root.
    renew_at: Instant,
    /// What was told last, of what lasts.
    told: Option<String>,
}

impl Keeper {
    /// Of an issuer that signs already, given what was known when it began.
    #[must_use]
    pub fn new(
        client: KubeClient,
        namespace: &str,
        mounted: PathBuf,
        state_dir: PathBuf,
        issuer: Arc<Issuer>,
        known: Succession,
    ) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            mounted,
            state_dir,
            issuer,
            known,
            unsaid: None,
            renew_at: Instant::now(),
            told: None,
        }
    }

    /// Runs for good.
    ///
    /// # Errors
    /// Never; the type is the supervisor's.
    pub async fn keep(mut self) -> Result<(), Infallible> {
        let mut authorities = self.watching(NAME);
        let mut records = self.watching(record::NAME);
        let mut longest = self.issuer.longest();
        // Not known yet: they may have changed since they were read.
        let mut files = None;
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {
                    let now = content(&self.mounted);
                    if files.as_ref() != Some(&now) {
                        let before = files.replace(now);
                        self.files_changed(before.is_some_and(|files| !files.is_empty()));
                    }
                }
                Some(news) = authorities.next() => self.secret_changed(news),
                Some(news) = records.next() => self.record_changed(news),
                // Whoever signs is here.
                Ok(()) = longest.changed() => {}
            }
            let longest = *longest.borrow_and_update();
            self.settle(longest, SystemTime::now()).await;
            self.renew(SystemTime::now()).await;
        }
    }

    fn watching(&self, name: &str) -> watch::Watch<Value> {
        let all = Selection::all(SECRETS.clone()).in_namespace(self.namespace.as_str());
        watch(&self.client, all.with_fields(format!("metadata.name={name}")))
    }

    fn files_changed(&mut self, had_some: bool) {
        let dir = self.mounted.display().to_string();
        match mounted(&self.mounted, SystemTime::now()) {
            Ok(Some(root)) => self.follow(root, &dir),
            Ok(None) if had_some => {
                tracing::warn!("{dir}: there is no authority any more; what was there goes on signing");
            }
            Ok(None) => {}
            // Files that are written one after the other are right in the end.
            Err(e) => tracing::error!("{e}; what was there before goes on signing"),
        }
    }

    fn secret_changed(&mut self, news: News<Value>) {
        let secret = format!("Secret {}/{NAME}", self.namespace);
        let object = match news {
            News::Event(Event::Listed(object) | Event::Applied(object)) if is(&object, NAME) => object,
            News::Event(Event::Deleted(object)) if is(&object, NAME) => {
                return tracing::warn!("{secret} is gone; what was there goes on signing until a restart");
            }
            News::Away(e) => return self.tell(format!("{secret} cannot be followed: {e}")),
            _ => return,
        };
        // What an operator mounts comes before it.
        let now = SystemTime::now();
        if !matches!(mounted(&self.mounted, now), Ok(None)) {
            return;
        }
        match authority_of(&object, now) {
            Ok(root) => self.follow(root, &secret),
            Err(e) => tracing::error!("{secret}: {e}; what was there before goes on signing"),
        }
    }

    /// What others wrote is what holds; what is still to be written is written over it.
    fn record_changed(&mut self, news: News<Value>) {
        match news {
            News::Event(Event::Listed(object) | Event::Applied(object)) if is(&object, record::NAME) => {
                match record::read(&object) {
                    Ok(known) => self.known = known,
                    Err(e) => tracing::error!("Secret {}/{}: {e}", self.namespace, record::NAME),
                }
            }
            // Nothing of earlier is to be trusted.
            News::Event(Event::Deleted(object)) if is(&object, record::NAME) => {
                self.known = Succession::default();
                self.unsaid.get_or_insert_default();
            }
            _ => {}
        }
    }

    fn follow(&mut self, root: Root, from: &str) {
        let before = self.issuer.root();
        if root.is_same_authority(&before) {
            return;
        }
        // A root that was renewed is trusted by whoever trusts the one before.
        if !root.has_signer_of(&before) && !root.shares_trust_with(before.certificate_pem()) {
            tracing::warn!(
                "{from}: signs under roots that nobody was told of before: proxies trust them with their next certificates. \
                 Both roots first, and the new authority when half of a certificate's life is over"
            );
        }
        let left = before
            .own()
            .iter()
            .filter(|root_before| !root.own().contains(root_before));
        self.unsaid.get_or_insert_default().extend(left.cloned());
        tracing::info!("{from}: another authority signs from now on");
        self.replace(root.trusting([before.certificate_pem()], SystemTime::now()));
    }

    /// Has everybody know what is known here, and trusts what is to be trusted now.
    async fn settle(&mut self, longest: Duration, now: SystemTime) {
        let root = self.issuer.root();
        let unsaid = self.unsaid.clone();
        let decide = |known: &Succession| match &unsaid {
            Some(left) => known.begin(root.own(), left, longest, now),
            None => known.remember(longest, now),
        };
        let wanted = decide(&self.known);
        if wanted != self.known || unsaid.is_some() {
            match record::change(&self.client, &self.namespace, &decide).await {
                Ok(known) => {
                    self.known = known;
                    self.unsaid = None;
                    self.told = None;
                }
                // Tried again at the next look. This replica does what is right meanwhile.
                Err(e) => self.tell(format!(
                    "Secret {}/{} cannot be written: {e}",
                    self.namespace,
                    record::NAME
                )),
            }
        }
        let known = match self.unsaid {
            Some(_) => &wanted,
            None => &self.known,
        };
        let next = root.trusting(known.trusted(now), now);
        if next.certificate_pem() != root.certificate_pem() {
            tracing::info!(
                roots = next.certificate_pem().matches(BEGIN).count(),
                "other roots are trusted"
            );
            self.replace(next);
        }
    }

    /// Renews the Secret's root in time, where it is what signs; the watch tells of it then, as it tells the other replicas.
    async fn renew(&mut self, now: SystemTime) {
        let is_time = self.issuer.root().is_to_be_renewed(now) && Instant::now() >= self.renew_at;
        if !is_time || !matches!(mounted(&self.mounted, now), Ok(None)) {
            return;
        }
        self.renew_at = Instant::now() + RENEW_AGAIN;
        if let Err(e) = super::renew(&self.client, &self.namespace, now).await {
            let end = OffsetDateTime::from(self.issuer.root().not_after());
            self.tell(format!(
                "the root ends on {} and cannot be renewed: {e}; let the control plane `update` that Secret, or mount another \
                 authority (Secret cacerts)",
                end.date()
            ));
        }
    }

    fn replace(&self, root: Root) {
        self.issuer.replace(root);
        if let Err(e) = self.issuer.root().publish(&self.state_dir) {
            tracing::error!("{e}");
        }
    }

    /// Says what lasts once.
    fn tell(&mut self, what: String) {
        if self.told.as_ref() != Some(&what) {
            tracing::warn!("{what}");
            self.told = Some(what);
        }
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

fn is(secret: &Value, name: &str) -> bool {
    secret["metadata"]["name"] == name
}

/// What the files of a directory say, by name; nothing of what cannot be read.
fn content(dir: &Path) -> BTreeMap<OsString, Zeroizing<Vec<u8>>> {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let read = |file: std::fs::DirEntry| {
        let content = std::fs::read(file.path()).ok()?;
        Some((file.file_name(), Zeroizing::new(content)))
    };
    files.filter_map(read).collect()
}

/// As often as upstream looks.
const RENEW_AGAIN: Duration = Duration::from_secs(3600);
/// Mounted Secrets change within a minute or two of their change; nobody waits for these seconds.
const LOOK: Duration = Duration::from_secs(10);
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

#[cfg(test)]
mod tests;
