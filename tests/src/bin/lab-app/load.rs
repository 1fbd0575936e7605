//! A steady stream of new connections or requests, and a ledger of what became of each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::Instant;

use crate::client::connect;
use crate::requests::Requests;

/// What became of one connection.
struct Attempt {
    at: Duration,
    took: Duration,
    failure: Option<String>,
}

/// What is to be done.
pub(crate) struct Load<'a> {
    pub(crate) what: What,
    /// How often a second.
    pub(crate) rate: u32,
    pub(crate) length: Duration,
    pub(crate) ledger: Option<&'a Path>,
    /// Whether the end of standard input ends it earlier.
    pub(crate) until_eof: bool,
}

/// What is done again and again.
#[derive(Debug)]
pub(crate) enum What {
    /// A new connection, on which this line comes back.
    Echo {
        /// Whom.
        to: SocketAddr,
        /// The line, with its end.
        line: String,
    },
    /// A request.
    Get(Requests),
}

impl What {
    fn once(&self) -> Result<()> {
        match self {
            Self::Echo { to, line } => echo(*to, line),
            Self::Get(requests) => requests.one(LIMIT),
        }
    }
}

/// Does it `rate` times a second for `length`, and prints the ledger's sums.
pub(crate) fn run(load: Load<'_>) -> Result<()> {
    let start = Instant::now();
    let (report, reports) = mpsc::channel();
    let what = Arc::new(load.what);
    let file = load.ledger.map(File::create).transpose().context("the ledger")?;
    let writer = thread::spawn(move || collect(&reports, file));
    let ended = Arc::new(AtomicBool::new(false));
    if load.until_eof {
        let ended = Arc::clone(&ended);
        thread::spawn(move || {
            // Whatever ends the input ends the load.
            drop(io::copy(&mut io::stdin(), &mut io::sink()));
            ended.store(true, Ordering::Relaxed);
        });
    }
    println!("started");
    let total = u64::from(load.rate) * load.length.as_secs();
    let mut threads = Vec::new();
    for i in 0..total {
        // The schedule is fixed in advance: a slow answer must not slow the questions down.
        let due = Duration::from_secs_f64(i as f64 / f64::from(load.rate));
        thread::sleep(due.saturating_sub(start.elapsed()));
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let (what, report) = (Arc::clone(&what), report.clone());
        threads.push(thread::spawn(move || {
            let at = start.elapsed();
            let failure = what.once().err().map(|e| format!("{e:#}"));
            // The collector outlives every sender.
            drop(report.send(Attempt {
                at,
                took: start.elapsed().saturating_sub(at),
                failure,
            }));
        }));
    }
    drop(report);
    for thread in threads {
        drop(thread.join());
    }
    let sums = writer
        .join()
        .map_err(|_| anyhow::anyhow!("the collector panicked"))?;
    println!("{sums}");
    Ok(())
}

fn echo(to: SocketAddr, line: &str) -> Result<()> {
    let mut stream = connect(to, LIMIT)?;
    stream.write_all(line.as_bytes()).context("write")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).context("read")?;
    anyhow::ensure!(answer == line, "answered {answer:?}");
    Ok(())
}

fn collect(reports: &mpsc::Receiver<Attempt>, mut file: Option<File>) -> serde_json::Value {
    let mut took = Vec::new();
    let mut failures: BTreeMap<String, u64> = BTreeMap::new();
    let mut failed_at = Vec::new();
    for attempt in reports {
        if let Some(file) = &mut file {
            let outcome = attempt.failure.as_deref().unwrap_or("ok");
            // A ledger that cannot be written shows as one that is too short.
            drop(writeln!(
                file,
                "{} {} {outcome}",
                attempt.at.as_millis(),
                attempt.took.as_micros()
            ));
        }
        match attempt.failure {
            None => took.push(attempt.took),
            Some(failure) => {
                *failures.entry(failure).or_default() += 1;
                failed_at.push(attempt.at);
            }
        }
    }
    took.sort();
    let at = |q: f64| {
        took.get(((took.len() as f64 - 1.0) * q) as usize)
            .map_or(0, Duration::as_micros)
    };
    json!({
        "ok": took.len(),
        "failed": failures.values().sum::<u64>(),
        "failures": failures,
        "failed_from_ms": failed_at.iter().min().map(Duration::as_millis),
        "failed_until_ms": failed_at.iter().max().map(Duration::as_millis),
        "p50_us": at(0.5),
        "p99_us": at(0.99),
        "max_us": at(1.0),
    })
}

/// Far longer than a connection takes on the busiest of machines: one that ends later is lost.
const LIMIT: Duration = Duration::from_secs(20);
