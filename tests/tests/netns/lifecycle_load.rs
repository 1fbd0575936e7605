//! Load while something happens: new connections at a steady rate, and a ledger of what became of each.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::ip::Namespace;
use mesh_net::Netns;
use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::client;

/// New connections at a steady rate, until it is stopped. The schedule does not wait for answers, and each step of each
/// attempt is bounded.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    start: Instant,
    netns: Netns,
    to: SocketAddr,
    text: String,
    limit: Duration,
    stop: AtomicBool,
    begun: AtomicUsize,
    done: Mutex<Vec<Attempt>>,
}

/// One attempt.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Its place in the order in which attempts began.
    pub(crate) number: usize,
    /// When it began, from the load's start.
    pub(crate) at: Duration,
    /// How long it took.
    pub(crate) took: Duration,
    /// The client's address, where it got that far.
    pub(crate) from: Option<SocketAddr>,
    /// All that came back before the server's end of the stream, or what happened instead.
    pub(crate) outcome: Result<String, String>,
}

/// What became of all attempts, in the order in which they began.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pub(crate) attempts: Vec<Attempt>,
    text: String,
}

impl Load {
    /// Starts to say `text` to an echo server from inside a namespace.
    pub(crate) fn start(from: &Namespace, to: SocketAddr, text: &str) -> Result<Self> {
        Self::with_limit(from, to, text, LIMIT)
    }

    /// As [`Load::start`], by clients that do not wait for long: for an address that nobody has at times.
    pub(crate) fn impatient(from: &Namespace, to: SocketAddr, text: &str) -> Result<Self> {
        Self::with_limit(from, to, text, SHORT)
    }

    fn with_limit(from: &Namespace, to: SocketAddr, text: &str, limit: Duration) -> Result<Self> {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            netns: Netns::open(&from.path()).with_context(|| from.to_string())?,
            to,
            text: text.to_owned(),
            limit,
            stop: AtomicBool::new(false),
            begun: AtomicUsize::new(0),
            done: Mutex::default(),
        });
        let inner = Arc::clone(&shared);
        Ok(Self {
            thread: Some(thread::spawn(move || inner.run())),
            shared,
        })
    }

    /// How many attempts began so far; the next one's number.
    pub(crate) fn begun(&self) -> usize {
        self.shared.begun.load(Ordering::Relaxed)
    }

    /// Waits until `n` attempts that begin from now on were answered rightly.
    pub(crate) fn answered(&self, n: usize) -> Result<()> {
        let now = self.begun();
        let what = format!("{n} more answers from {}", self.shared.to);
        lab::wait::until(&what, PATIENCE, || {
            let done = self.shared.done.lock();
            let right = done.iter().filter(|a| a.number >= now && self.is_right(a));
            (right.count() >= n).then_some(())
        })
        .with_context(|| self.ledger().to_string())
    }

    /// Waits until `n` attempts that begin from now on came to nothing.
    pub(crate) fn failed(&self, n: usize) -> Result<()> {
        let now = self.begun();
        let what = format!("{n} more failures at {}", self.shared.to);
        lab::wait::until(&what, PATIENCE, || {
            let done = self.shared.done.lock();
            let wrong = done.iter().filter(|a| a.number >= now && !self.is_right(a));
            (wrong.count() >= n).then_some(())
        })
        .with_context(|| self.ledger().to_string())
    }

    /// What became of the attempts that ended so far.
    pub(crate) fn ledger(&self) -> Ledger {
        let mut attempts = self.shared.done.lock().clone();
        attempts.sort_by_key(|a| a.number);
        Ledger {
            attempts,
            text: self.shared.text.clone(),
        }
    }

    /// Begins no more attempts, and waits for the last to end.
    pub(crate) fn stop(mut self) -> Ledger {
        self.end();
        self.ledger()
    }

    fn is_right(&self, attempt: &Attempt) -> bool {
        attempt.is_right(&self.shared.text)
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // An attempt that is missing fails the test by its number.
            drop(thread.join());
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

impl Attempt {
    /// Whether it failed in a way that tells the client so at once.
    pub(crate) fn came_to_nothing(&self) -> bool {
        let told = |reason: &String| matches!(reason.as_str(), "refused" | "reset" | "closed");
        self.outcome.as_ref().is_err_and(told)
    }

    /// Whether the text came back whole; a server may greet before.
    fn is_right(&self, text: &str) -> bool {
        self.outcome.as_ref().is_ok_and(|answer| answer.ends_with(text))
    }
}

impl Shared {
    fn run(self: &Arc<Self>) {
        thread::scope(|scope| {
            for number in 0.. {
                let due = PACE.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
                thread::sleep(due.saturating_sub(self.start.elapsed()));
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                self.begun.store(number + 1, Ordering::Relaxed);
                scope.spawn(move || {
                    let at = self.start.elapsed();
                    let mut from = None;
                    let outcome = self.ask(&mut from);
                    self.done.lock().push(Attempt {
                        number,
                        at,
                        took: self.start.elapsed().saturating_sub(at),
                        from,
                        outcome,
                    });
                });
            }
        });
    }

    fn ask(&self, from: &mut Option<SocketAddr>) -> Result<String, String> {
        let socket = self
            .netns
            .run(|| Socket::new(Domain::for_address(self.to), Type::STREAM, None));
        let socket = socket.and_then(|made| made).map_err(|e| format!("socket: {e}"))?;
        let asked = (|| {
            socket.bind(&own_port(self.to)?.into())?;
            socket.set_read_timeout(Some(self.limit))?;
            socket.set_write_timeout(Some(self.limit))?;
            socket.connect_timeout(&self.to.into(), self.limit)?;
            *from = socket.local_addr()?.as_socket();
            (&socket).write_all(self.text.as_bytes())?;
            socket.shutdown(Shutdown::Write)?;
            let mut answer = String::new();
            (&socket).read_to_string(&mut answer)?;
            Ok(answer)
        })();
        match asked {
            Ok(answer) if answer.is_empty() => Err("closed".to_owned()),
            Ok(answer) => Ok(answer),
            Err(e) => Err(named(&e)),
        }
    }
}

impl Ledger {
    /// The attempts that were not answered rightly.
    pub(crate) fn failures(&self) -> Vec<&Attempt> {
        let wrong = self.attempts.iter().filter(|a| !a.is_right(&self.text));
        wrong.collect()
    }

    /// From the beginning of the first failure to the end of the last.
    pub(crate) fn outage(&self) -> Duration {
        let failures = self.failures();
        let first = failures.iter().map(|a| a.at).min();
        let last = failures.iter().map(|a| a.at + a.took).max();
        first
            .zip(last)
            .map_or(Duration::ZERO, |(first, last)| last.saturating_sub(first))
    }

    /// Says what happened, for people, and holds that nothing failed.
    pub(crate) fn nothing_failed(&self, during: &str) -> Result<()> {
        println!("{during}: {self}");
        ensure!(self.failures().is_empty(), "{during}: {self}");
        Ok(())
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = self.failures();
        let slowest = self.attempts.iter().map(|a| a.took).max().unwrap_or_default();
        let all = self.attempts.len();
        write!(
            f,
            "{} of {all} answered, the slowest after {slowest:.0?}",
            all - failures.len()
        )?;
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for failure in &failures {
            let reason = match &failure.outcome {
                Ok(other) => format!("answered {other:?}"),
                Err(reason) => reason.clone(),
            };
            *reasons.entry(reason).or_default() += 1;
        }
        for (reason, n) in reasons {
            write!(f, ", {n} {reason}")?;
        }
        if let Some(first) = failures.first() {
            write!(f, "; failures from {:.0?}, over {:.0?}", first.at, self.outage())?;
        }
        Ok(())
    }
}

/// A port that no other attempt of this test has, so that a line of a log belongs to one attempt.
fn own_port(to: SocketAddr) -> std::io::Result<SocketAddr> {
    let port = NEXT_PORT.fetch_add(1, Ordering::Relaxed);
    if !PORTS.contains(&port) {
        return Err(std::io::Error::other("this test has used up its ports"));
    }
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    Ok(SocketAddr::new(any, port))
}

fn named(error: &std::io::Error) -> String {
    match error.kind() {
        kind if client::tells_reset(kind) => "reset".to_owned(),
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "silent".to_owned(),
        _ => error.to_string(),
    }
}

/// Beyond everybody's servers, below the ports that the kernel gives.
const PORTS: Range<u16> = 16_000..32_768;
static NEXT_PORT: AtomicU16 = AtomicU16::new(PORTS.start);
/// 50 connections a second.
const PACE: Duration = Duration::from_millis(20);
/// Longer than anything takes, even on a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(40);
