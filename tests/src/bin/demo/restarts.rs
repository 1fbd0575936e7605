//! Act 2, restarts: parts of the mesh end and come back while connections are made all the time.

use std::time::Duration;

use anyhow::Result;
use lab::access::{AccessLine, AccessLog};
use lab::process::Process;
use lab::wait;
use nix::sys::signal::Signal;
use tokio::time::Instant;

use crate::cast::Cast;
use crate::flow::{Client, Expect, Flow, To};
use crate::held::{Fate, Held};
use crate::load::{Ledger, Load, RATE, SECONDS};
use crate::screen::{self, Findings, ms, note, say};

/// A part that restarts.
struct Restart {
    title: &'static str,
    name: &'static str,
    run: fn(&mut Cast) -> Result<Duration>,
    /// Whether programs must not notice.
    unnoticed: bool,
    /// Whether a connection that was open before must still be open after.
    keeps_open: bool,
}

/// What came of it.
struct Outcome {
    took: Duration,
    ledger: Ledger,
    held: Fate,
}

/// Every part once.
pub(crate) fn act(cast: &mut Cast, findings: &mut Findings) -> Result<()> {
    screen::part("Parts of the mesh restart under load");
    note(&format!(
        "For {SECONDS} s shop/web on node1 makes {RATE} new connections a second to shop/cart-b on node2; each must bring \
         a line back. One more connection stays open all the time. Meanwhile one part restarts."
    ));
    say("");
    let server_log = cast.lab.logs().join("node2-ztunnel.log");
    let mut log = AccessLog::follow(&server_log);
    let web = format!("{}:", cast.pod("web")?.v4());
    screen::table(&row(&HEAD.map(str::to_owned)));
    screen::table(&row(&WIDTHS.map(|w| "─".repeat(w))));
    for restart in RESTARTS {
        let outcome = restart.under_load(cast)?;
        let good = restart.judge(&outcome, findings);
        screen::table(&row(&restart.cells(&outcome, good)));
        for (failure, n) in &outcome.ledger.failures {
            say(&format!("      ↳ {n} × {failure}"));
        }
    }
    say("");
    note(LEGEND);
    let flow = Flow {
        from: "web",
        to: To::Pod("cart-b"),
        with: Client::Echo(9000),
        expect: Expect::MTLS,
    };
    let facts = flow.run(cast)?;
    let lines = log.fresh();
    let arrived: Vec<_> = lines.iter().filter(|l| from(l, &web)).collect();
    let plain = arrived.iter().filter(|l| l.get("src.identity").is_none()).count();
    findings.add(
        plain == 0 && !arrived.is_empty(),
        format!(
            "of {} connections that node2's ztunnel logged meanwhile from shop/web, {plain} were plain",
            arrived.len()
        ),
    );
    findings.add(
        facts.good(),
        "after all restarts shop/web reaches shop/cart-b over mTLS",
    );
    Ok(())
}

fn from(line: &AccessLine, client: &str) -> bool {
    line.is("direction", "inbound") && line.get("src.addr").is_some_and(|a| a.starts_with(client))
}

/// Each row is shown as soon as it is known, so that widths are settled in advance.
fn row(cells: &[String; COLUMNS]) -> String {
    let cells: Vec<_> = cells
        .iter()
        .zip(WIDTHS)
        .map(|(cell, w)| format!("{cell:<w$}"))
        .collect();
    cells.join("  ").trim_end().to_owned()
}

impl Restart {
    fn under_load(&self, cast: &mut Cast) -> Result<Outcome> {
        let mut held = Held::open(cast, "web", "cart-b", 9000, self.name)?;
        let load = Load::start(cast, "web", "cart-b", 9000, self.name)?;
        let change = Instant::now();
        let took = (self.run)(cast)?;
        let ledger = load.finish()?;
        Ok(Outcome {
            took,
            ledger,
            held: held.fate(change, FEEL),
        })
    }

    fn judge(&self, outcome: &Outcome, findings: &mut Findings) -> bool {
        let (failed, all) = (outcome.ledger.failed(), outcome.ledger.connections);
        let good = (failed == 0 || !self.unnoticed) && (outcome.held.is_alive() || !self.keeps_open);
        let gap = ms(outcome.ledger.longest_gap);
        findings.add(
            good,
            format!(
                "{}: {failed} of {all} connections failed, longest gap {gap}",
                self.title
            ),
        );
        good
    }

    fn cells(&self, outcome: &Outcome, good: bool) -> [String; COLUMNS] {
        let ledger = &outcome.ledger;
        [
            format!("{} {}", screen::mark(good), self.title),
            ms(outcome.took),
            ledger.connections.to_string(),
            ledger.failed().to_string(),
            ms(ledger.longest_gap),
            ms(ledger.median),
            ms(ledger.slowest),
            match &outcome.held {
                Fate::Alive => "stayed open".to_owned(),
                Fate::Silent => "silent".to_owned(),
                Fate::Ended { how, after } => format!("{how} after {}", ms(*after)),
            },
        ]
    }
}

fn control_plane(cast: &mut Cast) -> Result<Duration> {
    let start = Instant::now();
    end(cast.lab.controlplane()?)?;
    cast.lab.start_controlplane()?;
    cast.lab.wait_controlplane_ready()?;
    Ok(start.elapsed())
}

fn agent(cast: &mut Cast) -> Result<Duration> {
    let start = Instant::now();
    end(cast.lab.node(0).agent()?)?;
    cast.lab.start_agent(0)?;
    cast.lab.node(0).wait_ready()?;
    Ok(start.elapsed())
}

/// As an upgrade does it: the new one is ready before the old one is told to end.
fn ztunnel(cast: &mut Cast) -> Result<Duration> {
    let start = Instant::now();
    let mut old = cast.lab.start_successor(0)?;
    end(&mut old)?;
    Ok(start.elapsed())
}

/// As a crash is: the node notices and starts it again.
fn ztunnel_killed(cast: &mut Cast) -> Result<Duration> {
    let start = Instant::now();
    cast.lab.node(0).ztunnel()?.kill();
    cast.lab.start_ztunnel(0)?;
    cast.lab.node(0).wait_ready()?;
    Ok(start.elapsed())
}

fn end(process: &mut Process) -> Result<()> {
    process.signal(Signal::SIGTERM)?;
    wait::until(&format!("{} to end", process.name()), ENDS, || process.ended()).map(drop)
}

const COLUMNS: usize = 8;
const HEAD: [&str; COLUMNS] = [
    "  what restarted",
    "took",
    "connections",
    "failed",
    "longest gap",
    "median",
    "slowest",
    "open connection",
];
const WIDTHS: [usize; COLUMNS] = [27, 7, 11, 6, 11, 7, 7, 28];
const RESTARTS: &[Restart] = &[
    Restart {
        title: "the control plane",
        name: "controlplane",
        run: control_plane,
        unnoticed: true,
        keeps_open: true,
    },
    Restart {
        title: "node1's agent",
        name: "agent",
        run: agent,
        unnoticed: true,
        keeps_open: true,
    },
    Restart {
        title: "node1's ztunnel, replaced",
        name: "ztunnel",
        run: ztunnel,
        unnoticed: true,
        keeps_open: false,
    },
    Restart {
        title: "node1's ztunnel, killed",
        name: "killed",
        run: ztunnel_killed,
        unnoticed: false,
        keeps_open: false,
    },
];

const LEGEND: &str = "Took: from the signal to end until the part is ready again; for the replaced ztunnel until the old one \
     has ended. Replaced: the new one is ready before the old one is told to end, as in an upgrade; what is still open then \
     is closed when the old one's time to drain is over. Killed (kill -9): until a ztunnel is there again, its pods' new \
     connections fail; they never fall back to plain.";
/// How long an open connection is given to feel that the part is back.
const FEEL: Duration = Duration::from_millis(500);
const ENDS: Duration = Duration::from_secs(60);
