//! Load for the bench: one thread, as little work a byte, request or connection as the kernel lets a program have.

mod client;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::Value;
use tokio::runtime::LocalOptions;

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum Perf {
    /// Serve all loads: sink on PORT, echo on PORT+1, one byte a connection on PORT+2 to PORT+9.
    Serve {
        #[arg(long, default_value_t = 7000)]
        port: u16,
    },
    /// Send as much as goes; prints the rate at which it arrived.
    Throughput {
        to: SocketAddr,
        #[arg(long, default_value_t = 1)]
        streams: usize,
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
    },
    /// Ping-pong of small messages on kept connections; prints rate and latency.
    Requests {
        to: SocketAddr,
        #[arg(long, default_value_t = 1)]
        connections: usize,
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
        /// Bytes each way.
        #[arg(long, default_value_t = 100)]
        size: usize,
    },
    /// Connect, exchange a byte, close, again; prints the rate.
    Connections {
        to: SocketAddr,
        #[arg(long, default_value_t = 16)]
        workers: usize,
        #[arg(long, default_value_t = 3.0)]
        seconds: f64,
    },
    /// Open connections, exchange a message on each, and hold them open until killed; prints `open`.
    Hold {
        to: SocketAddr,
        #[arg(long, default_value_t = 1000)]
        connections: usize,
    },
}

/// Runs one of them to its end; the figures go to standard output as JSON.
///
/// # Errors
/// Fails with the first connection that does, and when a load is not over long after its time.
pub(crate) fn run(what: Perf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let figures = runtime.block_on(measure(what))?;
    println!("{figures}");
    Ok(())
}

async fn measure(what: Perf) -> Result<Value> {
    match what {
        Perf::Serve { port } => server::serve(port).await,
        Perf::Throughput { to, streams, seconds } => {
            in_time(seconds, |length| client::throughput(to, streams, length)).await
        }
        Perf::Requests {
            to,
            connections,
            seconds,
            size,
        } => in_time(seconds, |length| client::requests(to, connections, length, size)).await,
        Perf::Connections { to, workers, seconds } => {
            in_time(seconds, |length| client::connections(to, workers, length)).await
        }
        Perf::Hold { to, connections } => client::hold(to, connections).await,
    }
}

/// A connection that stands still must end the load, not hold it up.
async fn in_time<F: Future<Output = Result<Value>>>(
    seconds: f64,
    load: impl FnOnce(Duration) -> F,
) -> Result<Value> {
    let length = Duration::try_from_secs_f64(seconds).context("--seconds")?;
    tokio::time::timeout(length + GRACE, load(length))
        .await
        .with_context(|| format!("not over {} s after its time", GRACE.as_secs()))?
}

/// For what is still under way when the time is over.
const GRACE: Duration = Duration::from_secs(15);
