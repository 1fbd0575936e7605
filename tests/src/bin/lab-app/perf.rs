//! Load for the bench: one thread, as little work a byte, request or connection as the kernel lets a program have.

mod client;
mod histogram;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;

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
pub(crate) fn run(what: Perf) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    let seconds = Duration::from_secs_f64;
    let figures = runtime.block_on(local.run_until(async {
        match what {
            Perf::Serve { port } => server::serve(port).await,
            Perf::Throughput {
                to,
                streams,
                seconds: s,
            } => client::throughput(to, streams, seconds(s)).await,
            Perf::Requests {
                to,
                connections,
                seconds: s,
                size,
            } => client::requests(to, connections, seconds(s), size).await,
            Perf::Connections {
                to,
                workers,
                seconds: s,
            } => client::connections(to, workers, seconds(s)).await,
            Perf::Hold { to, connections } => client::hold(to, connections).await,
        }
    }))?;
    println!("{figures}");
    Ok(())
}
