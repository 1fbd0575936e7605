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

    /// Runs the load program in the client's pod; what it prints are its figures.
    fn ask(&self, pair: &Pair, arguments: &[&str]) -> Result<Value> {
        let said = pair.client.run(&self.program.display().to_string(), arguments)?;
        ensure!(said.ok, "{}: {}", arguments.join(" "), said.err.trim());
        serde_json::from_str(said.out.trim()).with_context(|| said.out.clone())
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

    /// The server's port for a kind of load.
    fn at(&self, offset: u16) -> String {
        format!("{}:{}", self.server.v4(), PORT + offset)
    }
}

/// One load, and the figures that it gives.
struct Load {
    /// What `--only` calls it.
    name: &'static str,
    kind: &'static str,
    /// Which of the server's ports, from [`PORT`] on.
    offset: u16,
    arguments: [&'static str; 2],
    /// Figures read from what the load printed.
    printed: &'static [(Figure, &'static str)],
    cost: Cost,
}

/// What the proxies' CPU time is divided by.
struct Cost {
    figure: Figure,
    per: &'static str,
    /// CPU seconds over this many of `per` are one of the figure's unit.
    scale: f64,
}

/// Runs every load once whose name contains `only`, and notes its figures.
pub(crate) fn round(
    lab: &mut Lab,
    bench: &Bench,
    variant: &Variant,
    only: &str,
    figures: &mut Figures,
) -> Result<()> {
    let pair = match variant {
        Variant::Direct => &bench.plain,
        Variant::Ours | Variant::Peer(_) => {
            start_proxies(lab, variant)?;
            &bench.mesh
        }
    };
    let proxies = proxies(lab, variant)?;
    let wanted = |name: &str| name.contains(only);
    // Certificates, tunnels and caches are made here; they are not what is measured.
    let warm = [
        "perf",
        "requests",
        &pair.at(1),
        "--connections",
        "4",
        "--seconds",
        "0.3",
    ];
    lab::wait::until("a first answer", PATIENCE, || {
        bench.ask(pair, &warm).ok().map(drop)
    })?;
    if wanted(MEMORY) && !proxies.is_empty() {
        figures.add(variant, Figure::RssIdle, memory(&proxies)?);
    }
    for load in LOADS.iter().filter(|l| wanted(l.name)) {
        measure(bench, pair, &proxies, load, |figure, value| {
            figures.add(variant, figure, value);
        })?;
    }
    if wanted(MEMORY) && !proxies.is_empty() {
        let mut holding = hold(bench, pair)?;
        let log = holding.log_path().to_owned();
        let open = || {
            fs::read_to_string(&log)
                .is_ok_and(|l| l.ends_with("open\n"))
                .then_some(())
        };
        holding.wait_until("1,000 open connections", PATIENCE, open)?;
        figures.add(variant, Figure::RssWith1000, memory(&proxies)?);
    }
    Ok(())
}

fn measure(
    bench: &Bench,
    pair: &Pair,
    proxies: &[u32],
    load: &Load,
    mut note: impl FnMut(Figure, f64),
) -> Result<()> {
    let Load {
        kind,
        arguments: [key, value],
        cost,
        ..
    } = load;
    let to = pair.at(load.offset);
    let arguments = ["perf", kind, &to, key, value, "--seconds", &bench.seconds];
    let before = cpu(proxies)?;
    let printed = bench.ask(pair, &arguments)?;
    let spent = cpu(proxies)?.saturating_sub(before);
    for (figure, key) in load.printed {
        note(*figure, number(&printed, key)?);
    }
    if !proxies.is_empty() {
        let units = number(&printed, cost.per)?;
        note(cost.figure, spent.as_secs_f64() / units * cost.scale);
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

fn hold(bench: &Bench, pair: &Pair) -> Result<Process> {
    pair.client.spawn(
        "hold",
        &bench.program,
        &["perf", "hold", &pair.at(1), "--connections", "1000"],
    )
}

fn number(printed: &Value, key: &str) -> Result<f64> {
    printed[key]
        .as_f64()
        .filter(|n| *n > 0.0)
        .with_context(|| format!("no {key} in {printed}"))
}

/// CPU time of the processes so far, user and system (proc(5), `/proc/PID/stat`, fields 14 and 15).
pub(crate) fn cpu(pids: &[u32]) -> Result<Duration> {
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
pub(crate) fn memory(pids: &[u32]) -> Result<f64> {
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
/// What `--only` calls the two figures of memory.
const MEMORY: &str = "memory";
const LOADS: [Load; 5] = [
    Load {
        name: "throughput-1",
        kind: "throughput",
        offset: 0,
        arguments: ["--streams", "1"],
        printed: &[(Figure::Gbits1, "gbit_per_s")],
        cost: per_gb(Figure::CpuPerGb1),
    },
    Load {
        name: "throughput-8",
        kind: "throughput",
        offset: 0,
        arguments: ["--streams", "8"],
        printed: &[(Figure::Gbits8, "gbit_per_s")],
        cost: per_gb(Figure::CpuPerGb8),
    },
    Load {
        name: "requests-1",
        kind: "requests",
        offset: 1,
        arguments: ["--connections", "1"],
        printed: &[
            (Figure::Requests1, "per_s"),
            (Figure::P50At1, "p50_us"),
            (Figure::P99At1, "p99_us"),
        ],
        cost: each(Figure::CpuPerRequest1, "requests"),
    },
    Load {
        name: "requests-64",
        kind: "requests",
        offset: 1,
        arguments: ["--connections", "64"],
        printed: &[
            (Figure::Requests64, "per_s"),
            (Figure::P50At64, "p50_us"),
            (Figure::P99At64, "p99_us"),
        ],
        cost: each(Figure::CpuPerRequest64, "requests"),
    },
    Load {
        name: "connections",
        kind: "connections",
        offset: 2,
        arguments: ["--workers", "16"],
        printed: &[(Figure::Connections, "per_s")],
        cost: each(Figure::CpuPerConnection, "connections"),
    },
];

const fn per_gb(figure: Figure) -> Cost {
    Cost {
        figure,
        per: "bytes",
        scale: 1e9,
    }
}

/// In microseconds.
const fn each(figure: Figure, per: &'static str) -> Cost {
    Cost {
        figure,
        per,
        scale: 1e6,
    }
}
