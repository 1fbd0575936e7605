//! New connections all the time, and a ledger of what became of each.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::process::Process;
use lab::wait;

use crate::cast::Cast;

/// A stream of new connections from one pod to another.
pub(crate) struct Load {
    client: Process,
    ledger: PathBuf,
}

/// What became of them.
pub(crate) struct Ledger {
    pub(crate) connections: usize,
    /// Why connections failed, and how many for that reason.
    pub(crate) failures: Vec<(String, usize)>,
    /// The longest time in which no connection got its answer.
    pub(crate) longest_gap: Duration,
    pub(crate) median: Duration,
    pub(crate) slowest: Duration,
}

impl Load {
    /// Starts it, and returns when the first answers are there.
    pub(crate) fn start(cast: &Cast, from: &str, to: &str, port: u16, name: &str) -> Result<Self> {
        let ledger = cast.lab.dir().join(format!("ledger-{name}"));
        let to = format!("{}:{port}", cast.pod(to)?.v4());
        let (rate, seconds) = (RATE.to_string(), SECONDS.to_string());
        let file = ledger.display().to_string();
        let arguments = [
            "load",
            &to,
            "--rate",
            &rate,
            "--seconds",
            &seconds,
            "--ledger",
            &file,
        ];
        let client = cast
            .pod(from)?
            .spawn(&format!("load-{name}"), &cast.programs.app, &arguments)?;
        let load = Self { client, ledger };
        wait::until("first answers", STARTS, || {
            (load.entries().len() >= RATE as usize).then_some(())
        })?;
        Ok(load)
    }

    /// Waits until it is over.
    pub(crate) fn finish(mut self) -> Result<Ledger> {
        let limit = Duration::from_secs(SECONDS) + STARTS;
        wait::until("the load to end", limit, || self.client.ended())?;
        let entries = self.entries();
        let planned = usize::try_from(u64::from(RATE) * SECONDS)?;
        if entries.len() != planned {
            bail!(
                "the ledger has {} of {planned} connections: {}",
                entries.len(),
                self.client.log_tail()
            );
        }
        Ledger::of(&entries).context("an empty ledger")
    }

    fn entries(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.ledger).unwrap_or_default();
        text.lines().filter_map(Entry::parse).collect()
    }
}

/// One connection: when it was begun, how long it took, and why it failed.
struct Entry {
    at: Duration,
    took: Duration,
    failure: Option<String>,
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let at = Duration::from_millis(words.next()?.parse().ok()?);
        let took = Duration::from_micros(words.next()?.parse().ok()?);
        let outcome = words.next()?;
        let failure = (outcome != "ok").then(|| outcome.to_owned());
        Some(Self { at, took, failure })
    }
}

impl Ledger {
    fn of(entries: &[Entry]) -> Option<Self> {
        let good = || entries.iter().filter(|e| e.failure.is_none());
        let mut answers: Vec<_> = good().map(|e| e.at + e.took).collect();
        answers.sort();
        let mut took: Vec<_> = good().map(|e| e.took).collect();
        took.sort();
        let mut failures: Vec<(String, usize)> = Vec::new();
        for failure in entries.iter().filter_map(|e| e.failure.as_ref()) {
            match failures.iter_mut().find(|(f, _)| f == failure) {
                Some((_, n)) => *n += 1,
                None => failures.push((failure.clone(), 1)),
            }
        }
        Some(Self {
            connections: entries.len(),
            failures,
            longest_gap: answers.windows(2).map(|w| w[1] - w[0]).max()?,
            median: *took.get(took.len() / 2)?,
            slowest: *took.last()?,
        })
    }

    pub(crate) fn failed(&self) -> usize {
        self.failures.iter().map(|(_, n)| n).sum()
    }
}

/// New connections a second.
pub(crate) const RATE: u32 = 50;
/// For how long.
pub(crate) const SECONDS: u64 = 6;
const STARTS: Duration = Duration::from_secs(10);
