//! Host names to addresses, with a bounded cache.
//!
//! An answer is kept for as long as it says, within limits; a name that is asked about meanwhile costs nothing. When the
//! servers do not answer, what was known stays in use for a while (RFC 8767): a name's owner seldom changes just then.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_types::Strng;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::message::{self, Kind, Unusable};
use crate::servers::{AskError, Link, Servers, Transport};

/// Who answers.
pub trait Ask {
    /// Asks.
    fn ask(
        &self,
        question: Vec<u8>,
        transport: Transport,
    ) -> impl Future<Output = Result<Vec<u8>, AskError>> + Send;
}

/// The machine's servers, asked from one place.
#[derive(Clone, Debug)]
pub struct FromHere {
    /// The servers.
    pub servers: Servers,
    /// Where sockets are made.
    pub link: Link,
}

/// Resolves host names. Clones share the cache, across threads and runtimes.
#[derive(Debug)]
pub struct Resolver<A = FromHere> {
    inner: Arc<Inner<A>>,
}

/// Limits.
#[derive(Clone, Copy, Debug)]
pub struct ResolverOptions {
    /// How many names are remembered.
    pub capacity: usize,
    /// An answer is used at least for this long, whatever it says.
    pub least: Duration,
    /// And at most for this long.
    pub most: Duration,
    /// A no that does not say how long it is true, and a failure, are remembered for this long.
    pub failure: Duration,
    /// What cannot be asked about again is used for this long beyond its time.
    pub stale: Duration,
}

/// Why a host name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// No such host name can be.
    #[error("{0:?} is no host name")]
    InvalidName(Strng),
    /// There is none, or it has no address.
    #[error("host name {0} has no address")]
    NoAddress(Strng),
    /// The servers did not answer, or broke the format.
    #[error("host name {name}: {error}")]
    Failed {
        /// The name.
        name: Strng,
        /// What happened.
        error: Strng,
    },
}

#[derive(Debug)]
struct Inner<A> {
    ask: A,
    options: ResolverOptions,
    names: Mutex<HashMap<Strng, Arc<Entry>>>,
}

/// One name. Who wants to ask holds the gate; others wait for what it learns.
#[derive(Debug)]
struct Entry {
    gate: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Clone, Debug)]
struct Known {
    answer: Option<Result<Arc<[IpAddr]>, ResolveError>>,
    fresh_until: Instant,
    /// The last addresses, and for how long they may stand in.
    stale: Option<(Arc<[IpAddr]>, Instant)>,
}

impl<A: Ask> Resolver<A> {
    /// A resolver with an empty cache.
    #[must_use]
    pub fn new(ask: A, options: ResolverOptions) -> Self {
        let names = Mutex::default();
        Self {
            inner: Arc::new(Inner { ask, options, names }),
        }
    }

    /// The addresses of a host name, of both families, never none. An address is its own name.
    ///
    /// # Errors
    /// Says why there is none; asking again may help only after a while, as failures are remembered too.
    pub async fn resolve(&self, name: &Strng) -> Result<Arc<[IpAddr]>, ResolveError> {
        if let Ok(ip) = name.parse::<IpAddr>() {
            return Ok(Arc::from([ip]));
        }
        let entry = self.inner.entry(name);
        if let Some(answer) = entry.fresh() {
            return answer;
        }
        let _asking = entry.gate.lock().await;
        if let Some(answer) = entry.fresh() {
            return answer;
        }
        let asked = self.inner.look_up(name).await;
        entry.learn(asked, &self.inner.options)
    }
}

impl<A> Clone for Resolver<A> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

/// What was learnt about a name, and how long it holds.
type Learnt = (Result<Arc<[IpAddr]>, ResolveError>, Option<u32>);

impl<A: Ask> Inner<A> {
    fn entry(&self, name: &Strng) -> Arc<Entry> {
        let mut names = self.names.lock();
        if let Some(entry) = names.get(name) {
            return entry.clone();
        }
        if names.len() >= self.options.capacity {
            make_room(&mut names);
        }
        let entry = Arc::new(Entry::new());
        names.insert(name.clone(), entry.clone());
        entry
    }

    /// Asks for both families at once. One that cannot be had does not spoil the other.
    async fn look_up(&self, name: &Strng) -> Learnt {
        let both = tokio::join!(
            self.look_up_kind(name, Kind::A),
            self.look_up_kind(name, Kind::Aaaa)
        );
        let (mut addresses, mut ttl, mut failure) = (Vec::new(), None::<u32>, None);
        for found in [both.0, both.1] {
            match found {
                Ok(found) => {
                    // A family without addresses is asked about again with the other one.
                    if found.addresses.is_empty() && !addresses.is_empty() {
                        continue;
                    }
                    if addresses.is_empty() && !found.addresses.is_empty() {
                        ttl = None;
                    }
                    addresses.extend(found.addresses);
                    ttl = match (ttl, found.ttl) {
                        (Some(a), Some(b)) => Some(a.min(b)),
                        (a, b) => a.or(b),
                    };
                }
                Err(error) => failure = Some(error),
            }
        }
        match (addresses.is_empty(), failure) {
            (false, _) => (Ok(addresses.into()), ttl),
            (true, Some(error)) => (Err(error), None),
            (true, None) => (Err(ResolveError::NoAddress(name.clone())), ttl),
        }
    }

    async fn look_up_kind(&self, name: &Strng, kind: Kind) -> Result<message::Found, ResolveError> {
        let failed = |error: &dyn std::fmt::Display| ResolveError::Failed {
            name: name.clone(),
            error: error.to_string().into(),
        };
        let question = message::question(fastrand::u16(..), name, kind)
            .ok_or_else(|| ResolveError::InvalidName(name.clone()))?;
        let mut transport = Transport::Udp;
        loop {
            let answer = self.ask.ask(question.clone(), transport).await;
            let answer = answer.map_err(|e| failed(&e))?;
            match message::read_answer(&question, &answer, kind) {
                Err(Unusable::Truncated) if transport == Transport::Udp => transport = Transport::Tcp,
                read => return read.map_err(|e| failed(&e)),
            }
        }
    }
}

/// Removes names that are known to nobody any more, and the one that expires first where there is none.
fn make_room(names: &mut HashMap<Strng, Arc<Entry>>) {
    let now = Instant::now();
    let before = names.len();
    // An entry that somebody else holds is being asked about.
    names.retain(|_, entry| Arc::strong_count(entry) > 1 || entry.known.lock().ends() > now);
    if names.len() < before {
        return;
    }
    let first = names.iter().min_by_key(|(_, entry)| entry.known.lock().ends());
    if let Some(name) = first.map(|(name, _)| name.clone()) {
        names.remove(&name);
    }
}

// === impl Entry, Known ===

impl Entry {
    fn new() -> Self {
        let known = Known {
            answer: None,
            fresh_until: Instant::now(),
            stale: None,
        };
        Self {
            gate: tokio::sync::Mutex::new(()),
            known: Mutex::new(known),
        }
    }

    fn fresh(&self) -> Option<Result<Arc<[IpAddr]>, ResolveError>> {
        let known = self.known.lock();
        let fresh = Instant::now() < known.fresh_until;
        known.answer.clone().filter(|_| fresh)
    }

    /// Remembers, and says what is to be used.
    fn learn(&self, (answer, ttl): Learnt, options: &ResolverOptions) -> Result<Arc<[IpAddr]>, ResolveError> {
        let now = Instant::now();
        let mut known = self.known.lock();
        let said = ttl.map(|seconds| Duration::from_secs(seconds.into()));
        let answer = match answer {
            Ok(addresses) => {
                known.fresh_until = now + said.unwrap_or(options.least).clamp(options.least, options.most);
                known.stale = Some((addresses.clone(), known.fresh_until + options.stale));
                Ok(addresses)
            }
            Err(error) => {
                known.fresh_until = now
                    + said
                        .unwrap_or(options.failure)
                        .clamp(options.failure, options.most);
                match (&error, &known.stale) {
                    (ResolveError::Failed { .. }, Some((addresses, until))) if now < *until => {
                        tracing::debug!(%error, "what was known is used instead");
                        Ok(addresses.clone())
                    }
                    // A no is an answer: what was known is not so any more.
                    _ => {
                        known.stale = None;
                        Err(error)
                    }
                }
            }
        };
        known.answer = Some(answer.clone());
        answer
    }
}

impl Known {
    /// When it is of no use any more.
    fn ends(&self) -> Instant {
        let stale = self.stale.as_ref().map_or(self.fresh_until, |(_, until)| *until);
        self.fresh_until.max(stale)
    }
}

impl Ask for FromHere {
    async fn ask(&self, question: Vec<u8>, transport: Transport) -> Result<Vec<u8>, AskError> {
        self.servers.ask(&self.link, &question, transport).await
    }
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            // Upstream's number.
            capacity: 4096,
            least: Duration::from_secs(1),
            most: Duration::from_secs(60 * 60),
            failure: Duration::from_secs(2),
            stale: Duration::from_secs(60 * 60),
        }
    }
}

#[cfg(test)]
mod tests;
