//! One round of one variant.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::config::PodSpec;
use lab::process::Process;
use lab::{Lab, Pod};
use serde_json::Value;

use crate::figures::{Figure, Figures, Variant};

/// The pods between which the load runs.
pub(crate) struct Bench {
    plain: Pair,
    mesh: Pair,
    program: PathBuf,
    seconds: String,
}

struct Pair {
    client: Pod,
    server: Pod,
    _serving: Process,
}

/// What a load cost the proxies beside what it gave.
struct Measured {
    figures: Value,
    cpu: Duration,
}

impl Bench {
    pub(crate) fn prepare(lab: &mut Lab, seconds: f64) -> Result<Self> {
        lab.config().namespace("plain", false)?;
        lab.config().namespace("mesh", true)?;
        Ok(Self {
            plain: Pair::start(lab, "plain")?,
            mesh: Pair::start(lab, "mesh")?,
            program: lab.products().path("lab-app"),
            seconds: seconds.to_string(),
        })
    }
}

impl Pair {
    fn start(lab: &mut Lab, namespace: &str) -> Result<Self> {
        let server = lab.start_pod(&PodSpec::new(namespace, "server", 1))?;
        let client = lab.start_pod(&PodSpec::new(namespace, "client", 0))?;
        for pod in [&server, &client] {
            pod.namespace()
                .sysctl("net/ipv4/ip_local_port_range", "\"10000 60999\"")?;
        }
        let program = lab.products().path("lab-app");
        let serving = server.spawn("perf", &program, &["perf", "serve"])?;
        Ok(Self {
            client,
            server,
            _serving: serving,
        })
    }
}

/// Runs every load once and notes its figures.
pub(crate) fn round(lab: &mut Lab, bench: &Bench, variant: &Variant, figures: &mut Figures) -> Result<()> {
    let pair = match variant {
        Variant::Direct => &bench.plain,
        Variant::Ours | Variant::Peer(_) => {
            start_proxies(lab, variant)?;
            &bench.mesh
        }
    };
    let proxies = proxies(lab, variant)?;
    let mut note = |figure, value| figures.add(variant, figure, value);
    // Certificates, tunnels and caches are made here; they are not what is measured.
    let warm = || {
        load(
            bench,
            pair,
            &proxies,
            "requests",
            1,
            &["--connections", "4", "--seconds", "0.3"],
        )
    };
    lab::wait::until("a first answer", PATIENCE, || warm().ok())?;
    if !proxies.is_empty() {
        note(Figure::RssIdle, memory(&proxies)?);
    }

    for (streams, rate, cost) in [
        ("1", Figure::Gbits1, Figure::CpuPerGb1),
        ("8", Figure::Gbits8, Figure::CpuPerGb8),
    ] {
        let got = load(
            bench,
            pair,
            &proxies,
            "throughput",
            0,
            &["--streams", streams, "--seconds", &bench.seconds],
        )?;
        note(rate, number(&got, "gbit_per_s")?);
        if !proxies.is_empty() {
            note(cost, got.cpu.as_secs_f64() / (number(&got, "bytes")? / 1e9));
        }
    }
    for (connections, rate, p50, p99, cost) in [
        (
            "1",
            Figure::Requests1,
            Figure::P50At1,
            Figure::P99At1,
            Figure::CpuPerRequest1,
        ),
        (
            "64",
            Figure::Requests64,
            Figure::P50At64,
            Figure::P99At64,
            Figure::CpuPerRequest64,
        ),
    ] {
        let arguments = ["--connections", connections, "--seconds", &bench.seconds];
        let got = load(bench, pair, &proxies, "requests", 1, &arguments)?;
        note(rate, number(&got, "per_s")?);
        note(p50, number(&got, "p50_us")?);
        note(p99, number(&got, "p99_us")?);
        if !proxies.is_empty() {
            note(cost, got.cpu.as_secs_f64() * 1e6 / number(&got, "requests")?);
        }
    }
    let got = load(
        bench,
        pair,
        &proxies,
        "connections",
        2,
        &["--workers", "16", "--seconds", &bench.seconds],
    )?;
    note(Figure::Connections, number(&got, "per_s")?);
    if !proxies.is_empty() {
        note(
            Figure::CpuPerConnection,
            got.cpu.as_secs_f64() * 1e6 / number(&got, "connections")?,
        );
        let mut holding = hold(bench, pair)?;
        let log = holding.log_path().to_owned();
        let open = || {
            fs::read_to_string(&log)
                .is_ok_and(|l| l.ends_with("open\n"))
                .then_some(())
        };
        holding.wait_until("1,000 open connections", PATIENCE, open)?;
        note(Figure::RssWith1000, memory(&proxies)?);
    }
    Ok(())
}

/// Fresh proxies of the variant, so that no variant is measured with another's memory.
fn start_proxies(lab: &mut Lab, variant: &Variant) -> Result<()> {
    let products = lab.products().clone();
    let products = match variant {
        Variant::Peer(path) => products.with_ztunnel(path),
        Variant::Direct | Variant::Ours => products,
    };
    for node in 0..lab.nodes().len() {
        if let Some(mut old) = lab.node(node).take_ztunnel() {
            old.kill();
        }
        lab.start_ztunnel_of(node, &products)?;
    }
    lab.wait_ready()
}

fn proxies(lab: &mut Lab, variant: &Variant) -> Result<Vec<u32>> {
    if *variant == Variant::Direct {
        return Ok(Vec::new());
    }
    (0..lab.nodes().len())
        .map(|n| lab.node(n).ztunnel().map(|p| p.pid()))
        .collect()
}

fn load(
    bench: &Bench,
    pair: &Pair,
    proxies: &[u32],
    kind: &str,
    offset: u16,
    more: &[&str],
) -> Result<Measured> {
    let to = format!("{}:{}", pair.server.v4(), PORT + offset);
    let mut arguments = vec!["perf", kind, &to];
    arguments.extend(more);
    let before = cpu(proxies)?;
    let said = pair
        .client
        .run(&bench.program.display().to_string(), &arguments)?;
    let cpu = cpu(proxies)?.saturating_sub(before);
    ensure!(said.ok, "{kind} {to}: {}", said.err.trim());
    let figures = serde_json::from_str(said.out.trim()).with_context(|| said.out.clone())?;
    Ok(Measured { figures, cpu })
}

fn hold(bench: &Bench, pair: &Pair) -> Result<Process> {
    let to = format!("{}:{}", pair.server.v4(), PORT + 1);
    pair.client.spawn(
        "hold",
        &bench.program,
        &["perf", "hold", &to, "--connections", "1000"],
    )
}

fn number(measured: &Measured, key: &str) -> Result<f64> {
    measured.figures[key]
        .as_f64()
        .with_context(|| format!("no {key} in {}", measured.figures))
}

/// CPU time of the processes so far, user and system (proc(5), `/proc/PID/stat`, fields 14 and 15).
fn cpu(pids: &[u32]) -> Result<Duration> {
    let mut ticks = 0;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The program's name may hold spaces; fields are counted from the parenthesis after it.
        let fields: Vec<_> = stat
            .rsplit_once(')')
            .context("stat")?
            .1
            .split_whitespace()
            .collect();
        ticks += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    }
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Resident memory in MB (10^6 bytes).
fn memory(pids: &[u32]) -> Result<f64> {
    let mut kib = 0.0;
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status
            .lines()
            .find(|l| l.starts_with("VmRSS:"))
            .context("VmRSS")?;
        kib += line.split_whitespace().nth(1).context("VmRSS")?.parse::<f64>()?;
    }
    Ok(kib * 1024.0 / 1e6)
}

const PORT: u16 = 7000;
const PATIENCE: Duration = Duration::from_secs(20);
/// `USER_HZ`, 100 on every architecture that Linux gives to user space today.
const TICKS_PER_SECOND: u64 = 100;
