//! The lab's own programs: small servers and clients whose every answer can be checked.

mod client;
mod load;
mod perf;
mod requests;
mod server;
mod web;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use tokio::time::Instant;

/// Small servers and clients for the lab.
#[derive(Parser)]
#[command(version, about)]
struct Args {
    #[command(subcommand)]
    command: Do,
}

#[derive(Subcommand)]
enum Do {
    /// Serve: TCP echo, HTTP, a server that speaks first, UDP echo; each on its own port of every address.
    Serve {
        /// Who answers, for people.
        #[arg(long, default_value = "lab-app")]
        name: String,
        /// Echo what comes; half-closes are passed back.
        #[arg(long)]
        tcp: Option<u16>,
        /// Answer HTTP/1.1 with who asked whom.
        #[arg(long)]
        http: Option<u16>,
        /// Greet before the client says anything, then echo.
        #[arg(long)]
        greet: Option<u16>,
        /// Echo datagrams.
        #[arg(long)]
        udp: Option<u16>,
    },
    /// Connect, send, half-close, and print everything that comes back.
    Send {
        /// Whom: an address or a name, and a port.
        to: String,
        /// What to send.
        #[arg(long, default_value = "")]
        text: String,
        /// Repeat the text this many times.
        #[arg(long, default_value_t = 1)]
        times: usize,
        /// Wait at most this many milliseconds for each step.
        #[arg(long, default_value_t = 5000)]
        limit_ms: u64,
        /// Print only how many bytes came back.
        #[arg(long)]
        count: bool,
        /// Say on standard error how long it took, from connecting to the last byte: `ms=<n>`.
        #[arg(long)]
        timing: bool,
    },
    /// Connect and wait for the server's first line.
    Greeted { to: SocketAddr },
    /// Send one datagram and wait for its echo.
    Udp { to: SocketAddr, text: String },
    /// Keep one connection busy with a line every few milliseconds until it ends; print how it ended.
    Hold {
        to: SocketAddr,
        /// Milliseconds between lines.
        #[arg(long, default_value_t = 20)]
        every_ms: u64,
        /// End by itself after this many seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Print a count of the echoed lines as it grows.
        #[arg(long)]
        tell: bool,
    },
    /// New connections at a steady rate, one echoed line each, or HTTP requests; print a ledger as JSON at the end.
    Load {
        /// Whom: an address or a name, and a port.
        to: String,
        /// Connections or requests a second.
        #[arg(long, default_value_t = 50)]
        rate: u32,
        /// For how long.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// The line; the answer must be the same.
        #[arg(long, default_value = "ping")]
        text: String,
        /// Ask for this path over HTTP/1.1 instead; the answer must be a whole one of 200.
        #[arg(long, value_name = "PATH")]
        get: Option<String>,
        /// Use connections again for further requests.
        #[arg(long, requires = "get")]
        keep: bool,
        /// Write the ledger here as it grows, one line an attempt.
        #[arg(long)]
        ledger: Option<std::path::PathBuf>,
        /// End earlier when standard input does.
        #[arg(long)]
        until_eof: bool,
    },
    /// Serve HTTP/1.1, HTTP/2, gRPC and WebSocket on one port, as an application that says who it is.
    Web(web::Web),
    /// Call gRPC once with some messages; print the answers and the status.
    Grpc {
        /// Whom, `host:port`.
        to: String,
        /// `/<service>/<method>`.
        #[arg(long, default_value = "/lab.Echo/Say")]
        method: String,
        /// The name that the client gives itself (`user-agent`).
        #[arg(long, default_value = "lab-app")]
        name: String,
        /// What to say.
        #[arg(default_value = "hello")]
        messages: Vec<String>,
    },
    /// Open a WebSocket, say some words, print each echo, and close it.
    Websocket {
        /// Whom, `host:port`.
        to: String,
        /// The path.
        #[arg(long, default_value = "/chat")]
        path: String,
        /// The name that the client gives itself (`user-agent`).
        #[arg(long, default_value = "lab-app")]
        name: String,
        /// What to say.
        #[arg(default_value = "hello")]
        messages: Vec<String>,
    },
    /// Loads for the bench.
    Perf {
        #[command(subcommand)]
        what: perf::Perf,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Do::Perf { what } => perf::run(what),
        Do::Web(web) => web::serve(web),
        Do::Grpc {
            to,
            method,
            name,
            messages,
        } => web::local(web::grpc(&to, &method, &name, &messages)),
        Do::Websocket {
            to,
            path,
            name,
            messages,
        } => web::local(web::websocket(&to, &path, &name, &messages)),
        Do::Serve {
            name,
            tcp,
            http,
            greet,
            udp,
        } => server::serve(&name, tcp, http, greet, udp),
        Do::Send {
            to,
            text,
            times,
            limit_ms,
            count,
            timing,
        } => {
            let start = Instant::now();
            let sent = resolve(&to)
                .and_then(|to| client::send(to, &text.repeat(times), Duration::from_millis(limit_ms), count));
            if timing {
                eprintln!("ms={:.3}", start.elapsed().as_secs_f64() * 1000.0);
            }
            sent
        }
        Do::Greeted { to } => client::greeted(to),
        Do::Udp { to, text } => client::udp(to, &text),
        Do::Hold {
            to,
            every_ms,
            seconds,
            tell,
        } => client::hold(
            to,
            Duration::from_millis(every_ms),
            Duration::from_secs(seconds),
            tell,
        ),
        Do::Load {
            to,
            rate,
            seconds,
            text,
            get,
            keep,
            ledger,
            until_eof,
        } => resolve(&to).and_then(|to| {
            let what = match get {
                Some(path) => load::What::Get(requests::Requests::new(to, &path, keep)),
                None => load::What::Echo {
                    to,
                    line: format!("{text}\n"),
                },
            };
            load::run(load::Load {
                what,
                rate,
                length: Duration::from_secs(seconds),
                ledger: ledger.as_deref(),
                until_eof,
            })
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("lab-app: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// The first address of a name, or the address itself.
fn resolve(to: &str) -> Result<SocketAddr> {
    let mut addresses = to
        .to_socket_addrs()
        .with_context(|| format!("no address of {to}"))?;
    addresses.next().with_context(|| format!("no address of {to}"))
}
