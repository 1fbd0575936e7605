//! Keeps the certificates of identities and hands them out. The handle may be used from any thread and runtime; one
//! driver does the fetching.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mesh_tls::{CertSource, CertUnavailable, WorkloadCertificate};
use mesh_types::Identity;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use crate::client::{FetchCertificate, FetchError, check_validity};
use crate::schedule::{Next, RootsId, Schedule, Validity};

/// Keeps the certificates of identities. Clones share them.
#[derive(Clone)]
pub struct CertManager {
    shared: Arc<Shared>,
}

/// Tells the time by which certificates expire.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

/// How an identity stands, for dumps.
#[derive(Clone, Debug)]
pub struct CertSnapshot {
    /// Whose.
    pub identity: Identity,
    /// Whether there is a certificate.
    pub state: CertState,
    /// The certificate held, even if it has expired.
    pub certificate: Option<Arc<WorkloadCertificate>>,
    /// Why the last fetch failed, if it did.
    pub error: Option<FetchError>,
}

/// Whether an identity has a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertState {
    /// A valid one.
    Available,
    /// Not yet: the first fetch has not ended.
    Initializing,
    /// None, or an expired one.
    Unavailable,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    clock: WallClock,
}

#[derive(Default)]
struct State {
    schedule: Schedule,
    kept: BTreeMap<Identity, watch::Sender<Kept>>,
    closed: bool,
}

#[derive(Clone, Default)]
struct Kept {
    certificate: Option<Arc<WorkloadCertificate>>,
    error: Option<FetchError>,
    /// Fetches that have ended: tells a waiter that an error is not from before it asked.
    attempts: u64,
}

impl CertManager {
    /// A manager, and the future that fetches for it: it never ends by itself; when it is dropped, everybody who waits
    /// is told that certificates are no longer served.
    pub fn new<F: FetchCertificate>(
        fetch: F,
        clock: WallClock,
    ) -> (Self, impl Future<Output = Infallible> + Send + use<F>) {
        let manager = Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Notify::new(),
                clock,
            }),
        };
        let driver = Driver {
            shared: manager.shared.clone(),
            fetch: Arc::new(fetch),
        };
        (manager, driver.run())
    }

    /// The certificate of an identity, valid now. Fetches it if it is not there, and waits for one attempt. An identity
    /// that was not [warmed](CertManager::warm) is not renewed.
    ///
    /// # Errors
    /// Fails when the attempt failed, or when a recent one did.
    pub async fn get(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, CertUnavailable> {
        let mut kept = match self.look(identity)? {
            Found::Usable(certificate) => return Ok(certificate),
            Found::Fetching(kept) => kept,
        };
        let before = kept.borrow_and_update().attempts;
        loop {
            if kept.changed().await.is_err() {
                let closed = self.shared.state.lock().closed;
                return Err(match closed {
                    true => CertUnavailable::Closed,
                    false => CertUnavailable::Unknown {
                        identity: identity.clone(),
                    },
                });
            }
            let now = kept.borrow_and_update().clone();
            match (now.certificate, now.error) {
                (Some(certificate), _) if self.is_valid(&certificate) => return Ok(certificate),
                (_, Some(error)) if now.attempts > before => return Err(unavailable(identity, &error)),
                _ => {}
            }
        }
    }

    /// Fetches an identity's certificate before somebody waits for it, and renews it until forgotten.
    pub fn warm(&self, identity: &Identity) {
        {
            let mut state = self.shared.state.lock();
            let usable = self.usable(&state, identity).is_some();
            state.schedule.keep(identity, usable, Instant::now());
            state.kept.entry(identity.clone()).or_default();
        }
        self.shared.changed.notify_one();
    }

    /// Nobody here needs an identity any more.
    pub fn forget(&self, identity: &Identity) {
        let mut state = self.shared.state.lock();
        state.schedule.forget(identity);
        // Whoever waits sees the sender go.
        state.kept.remove(identity);
    }

    /// Whether a certificate of this identity is here and valid now; fetches nothing.
    #[must_use]
    pub fn holds(&self, identity: &Identity) -> bool {
        self.usable(&self.shared.state.lock(), identity).is_some()
    }

    /// Every identity and how it stands, ordered.
    #[must_use]
    pub fn snapshot(&self) -> Vec<CertSnapshot> {
        let state = self.shared.state.lock();
        let snapshot = |(identity, kept): (&Identity, &watch::Sender<Kept>)| {
            let kept = kept.borrow().clone();
            let valid = kept.certificate.as_ref().is_some_and(|c| self.is_valid(c));
            let state = match (valid, kept.attempts) {
                (true, _) => CertState::Available,
                (false, 0) => CertState::Initializing,
                (false, _) => CertState::Unavailable,
            };
            CertSnapshot {
                identity: identity.clone(),
                state,
                certificate: kept.certificate,
                error: kept.error,
            }
        };
        state.kept.iter().map(snapshot).collect()
    }

    fn look(&self, identity: &Identity) -> Result<Found, CertUnavailable> {
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(CertUnavailable::Closed);
        }
        if let Some(certificate) = self.usable(&state, identity) {
            return Ok(Found::Usable(certificate));
        }
        let now = Instant::now();
        state.schedule.want(identity, false, now);
        let postponed = state
            .schedule
            .next_attempt(identity)
            .is_some_and(|next| next > now);
        let kept = state.kept.entry(identity.clone()).or_default();
        if postponed && let Some(error) = &kept.borrow().error {
            return Err(unavailable(identity, error));
        }
        let kept = kept.subscribe();
        drop(state);
        self.shared.changed.notify_one();
        Ok(Found::Fetching(kept))
    }

    fn usable(&self, state: &State, identity: &Identity) -> Option<Arc<WorkloadCertificate>> {
        let certificate = state.kept.get(identity)?.borrow().certificate.clone()?;
        self.is_valid(&certificate).then_some(certificate)
    }

    fn is_valid(&self, certificate: &WorkloadCertificate) -> bool {
        certificate.not_after() > self.shared.clock.now()
    }
}

enum Found {
    Usable(Arc<WorkloadCertificate>),
    Fetching(watch::Receiver<Kept>),
}

impl CertSource for CertManager {
    async fn get(&self, identity: &Identity) -> Result<Arc<WorkloadCertificate>, CertUnavailable> {
        Self::get(self, identity).await
    }
}

impl fmt::Debug for CertManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identities = self.shared.state.lock().kept.len();
        f.debug_struct("CertManager")
            .field("identities", &identities)
            .finish_non_exhaustive()
    }
}

// === impl WallClock ===

impl WallClock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(SystemTime::now)
    }

    /// Another one.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    fn now(&self) -> SystemTime {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

struct Driver<F> {
    shared: Arc<Shared>,
    fetch: Arc<F>,
}

impl<F: FetchCertificate> Driver<F> {
    async fn run(self) -> Infallible {
        let mut fetches = FuturesUnordered::new();
        loop {
            let wait = loop {
                match self.next() {
                    Next::Fetch(identity) => fetches.push(fetch(self.fetch.clone(), identity)),
                    Next::Drop(identity) => {
                        debug!(%identity, "not used any more, its certificate is dropped")
                    }
                    Next::WaitUntil(when) => break Some(when),
                    Next::Idle => break None,
                }
            };
            let waiting = async {
                match wait {
                    Some(when) => sleep_until(when).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((identity, outcome)) = fetches.next() => self.done(&identity, outcome),
                () = self.shared.changed.notified() => {}
                () = waiting => {}
            }
        }
    }

    fn next(&self) -> Next {
        let mut state = self.shared.state.lock();
        let next = state.schedule.next(Instant::now());
        if let Next::Drop(identity) = &next {
            state.kept.remove(identity);
        }
        next
    }

    fn done(&self, identity: &Identity, outcome: Result<Arc<WorkloadCertificate>, FetchError>) {
        let wall = self.shared.clock.now();
        let outcome =
            outcome.and_then(|certificate| check_validity(&certificate, wall).map(|()| certificate));
        let (now, random) = (Instant::now(), fastrand::f64());
        let mut state = self.shared.state.lock();
        match outcome {
            Ok(certificate) => {
                let validity = Validity {
                    not_before: certificate.not_before(),
                    not_after: certificate.not_after(),
                };
                let roots = roots_id(&certificate);
                if !state
                    .schedule
                    .fetched(identity, validity, roots, now, wall, random)
                {
                    debug!(%identity, "forgotten while its certificate was fetched");
                    return;
                }
                info!(%identity, serial = certificate.serial(), "certificate fetched");
                state.store(identity, |kept| {
                    kept.certificate = Some(certificate);
                    kept.error = None;
                });
            }
            Err(error) => {
                let held = state
                    .kept
                    .get(identity)
                    .and_then(|kept| kept.borrow().certificate.clone());
                let usable = held.is_some_and(|c| c.not_after() > wall);
                state.schedule.failed(identity, usable, now, random);
                warn!(%identity, usable, "certificate not fetched: {error}");
                state.store(identity, |kept| kept.error = Some(error));
            }
        }
    }
}

impl<F> Drop for Driver<F> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.closed = true;
        state.kept.clear();
    }
}

impl State {
    fn store(&mut self, identity: &Identity, change: impl FnOnce(&mut Kept)) {
        if let Some(kept) = self.kept.get(identity) {
            kept.send_modify(|kept| {
                change(kept);
                kept.attempts += 1;
            });
        }
    }
}

async fn fetch<F: FetchCertificate>(
    fetch: Arc<F>,
    identity: Identity,
) -> (Identity, Result<Arc<WorkloadCertificate>, FetchError>) {
    let outcome = fetch.fetch(&identity).await;
    (identity, outcome)
}

fn unavailable(identity: &Identity, error: &FetchError) -> CertUnavailable {
    let (identity, reason) = (identity.clone(), error.to_string().into());
    match error {
        FetchError::Refused(_) => CertUnavailable::Refused { identity, reason },
        FetchError::Unavailable(_) | FetchError::Invalid(_) | FetchError::Local(_) => {
            CertUnavailable::Pending { identity, reason }
        }
    }
}

fn roots_id(certificate: &WorkloadCertificate) -> RootsId {
    let mut hasher = DefaultHasher::new();
    certificate.roots_pem().hash(&mut hasher);
    RootsId(hasher.finish())
}

#[cfg(test)]
mod tests;
