//! Act 3: a namespace asks for a waypoint, and ordinary YAML decides about each request.
//!
//! # Layout
//! - this file: the stage, the opt-in, and how a scene is played.
//! - [`scenes`]: the scenes, as data: a file, what to call, what must come back.
//! - [`call`]: programs that call, and what they were answered. [`expect`]: what must come back.

mod call;
mod expect;
mod scenes;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use lab::config::PodSpec;
use lab::lab::Waypoint;
use lab::process::Process;
use lab::table::Table;
use lab::{Pod, wait};
use serde_json::Value;
use tokio::time::Instant;

use crate::cast::Cast;
use crate::screen::{self, Findings, mark, ms, note, say, verbatim};
use call::{Answer, Call};
use scenes::{Scene, opening, scenes};

/// Everything that this act adds to the mesh.
pub(crate) struct Stage {
    dir: PathBuf,
    shopper: Pod,
    reviews: Vec<Pod>,
    waypoint: Option<Waypoint>,
    log: PathBuf,
    calls: usize,
    // Only held: they end when this is dropped.
    _servers: Vec<Process>,
}

/// Opts in, then plays one scene after the other.
pub(crate) fn act(cast: &mut Cast, examples: &Path) -> Result<(Stage, Findings)> {
    screen::heading("Act 3: a waypoint decides about each request");
    note(
        "ztunnels carry bytes. What a request says they do not read: paths, headers, methods, tokens. A namespace that wants \
         rules about those asks for a waypoint, a proxy for its services that connections pass on their way, encrypted \
         before it and behind it. Nothing changes for the programs.",
    );
    say("");
    let mut findings = Findings::new("Act 3");
    let mut stage = Stage::set(cast, &examples.join("waypoint"))?;
    stage.opt_in(cast, &mut findings)?;
    for scene in scenes() {
        stage.play(cast, scene, &mut findings)?;
    }
    Ok((stage, findings))
}

impl Stage {
    fn set(cast: &mut Cast, dir: &Path) -> Result<Self> {
        let text = read(dir, "store.yaml")?;
        cast.lab.config().write("store.yaml", &text)?;
        let mut enter = |name: &str, account: &str, node: usize, what: &str| -> Result<Pod> {
            let start = Instant::now();
            let spec = PodSpec::new("store", name, node).service_account(account);
            let pod = cast.lab.attach_pod(&spec)?;
            let title = format!(
                "pod {:<18} on node{}, {:<15} {what}",
                pod.full_name(),
                node + 1,
                pod.v4()
            );
            screen::step(&title, start.elapsed());
            Ok(pod)
        };
        let shopper = enter("shopper", "shopper", 0, "calls others")?;
        let reviews = vec![
            enter(
                "reviews-v1",
                "reviews",
                0,
                "HTTP, gRPC, WebSocket; an echo on TCP",
            )?,
            enter("reviews-v2", "reviews", 1, "the same in its next version")?,
        ];
        let mut servers = Vec::new();
        for pod in &reviews {
            let name = pod.spec().name.as_str();
            servers.push(pod.spawn("web", &cast.programs.app, &["web", "--name", name])?);
            servers.push(pod.spawn("echo", &cast.programs.app, &["serve", "--tcp", "9000"])?);
        }
        servers.push(partner(cast)?);
        for server in &mut servers {
            let log = server.log_path().to_owned();
            let serving = || {
                fs::read_to_string(&log)
                    .ok()
                    .filter(|said| said.contains("serving\n"))
            };
            server.wait_until("its ports", PATIENCE, serving)?;
        }
        for node in cast.lab.nodes() {
            node.wait_for_config("the store", |dump| {
                let workloads = dump["workloads"].as_array().into_iter().flatten();
                workloads
                    .filter(|w| w["namespace"] == "store" && w["protocol"] == "HBONE")
                    .count()
                    == 3
            })?;
        }
        Ok(Self {
            dir: dir.to_owned(),
            shopper,
            reviews,
            waypoint: None,
            log: PathBuf::new(),
            calls: 0,
            _servers: servers,
        })
    }

    /// The waypoint of the store.
    pub(crate) fn waypoint(&self) -> Option<&Waypoint> {
        self.waypoint.as_ref()
    }

    /// The pod that calls.
    pub(crate) fn shopper(&self) -> &Pod {
        &self.shopper
    }

    /// Every pod.
    pub(crate) fn pods(&self) -> impl Iterator<Item = &Pod> {
        let replicas = self.waypoint.iter().flat_map(|w| &w.replicas);
        let own = [&self.shopper].into_iter().chain(&self.reviews);
        own.chain(replicas.map(|r| &r.pod))
    }

    /// The waypoint first, so that nobody has to wait for it; then the label.
    fn opt_in(&mut self, cast: &mut Cast, findings: &mut Findings) -> Result<()> {
        screen::part("A waypoint starts");
        let gateway = read(&self.dir, GATEWAY)?;
        say(&format!("  Change: {GATEWAY} is added to the configuration"));
        verbatim("+ ", &after(&gateway, "spec:"));
        cast.lab.config().write(GATEWAY, &gateway)?;
        let start = Instant::now();
        let waypoint = cast.lab.start_waypoint(GATEWAY, WAYPOINT_VIP, &[1])?;
        let pod = &waypoint.replicas[0].pod;
        note(&format!(
            "What a cluster would run for it is started: account, Service and pod as `lateen-controlplane waypoint` renders \
             them. Ready after {}: {} on node2, {}.",
            ms(start.elapsed()),
            pod.full_name(),
            pod.v4()
        ));
        self.log = cast.lab.logs().join(format!("{}-waypoint.log", pod.namespace()));
        self.waypoint = Some(waypoint);

        let scene = opening();
        screen::part(scene.title);
        note(scene.tells);
        say("  Before");
        let doubts = self.table(cast, &scene.before)?;
        doubts.into_iter().for_each(|doubt| findings.add(false, doubt));
        let text = read(&self.dir, "store.yaml")?;
        let labelled = text.replacen(NAMESPACE_LABEL, &format!("{NAMESPACE_LABEL}{USE_WAYPOINT}"), 1);
        anyhow::ensure!(labelled != text, "store.yaml has no namespace in the mesh");
        say("  Change: namespace store gets a label");
        verbatim("+ ", USE_WAYPOINT);
        let change = Instant::now();
        cast.lab.config().write("store.yaml", &labelled)?;
        self.bound(cast)?;
        let took = change.elapsed();
        say(&format!("  Took effect after {}", ms(took)));
        let doubts = self.table(cast, &scene.calls)?;
        self.conclude(&scene, took, doubts, findings);
        Ok(())
    }

    /// Waits until the caller's ztunnel sends connections to the waypoint, and the waypoint takes them.
    fn bound(&self, cast: &Cast) -> Result<()> {
        let is_bound = |dump: &Value| {
            let mut services = dump["services"].as_array().into_iter().flatten();
            services.any(|s| s["name"] == "reviews" && !s["waypoint"].is_null())
        };
        let waypoint = self.waypoint.as_ref().context("no waypoint")?;
        cast.lab.nodes()[0].wait_for_config("the binding", is_bound)?;
        waypoint.replicas[0].wait_for_config("the binding", is_bound)
    }

    fn play(&mut self, cast: &Cast, scene: &Scene, findings: &mut Findings) -> Result<()> {
        screen::part(scene.title);
        note(scene.tells);
        if !scene.before.is_empty() {
            say("  Before");
            let doubts = self.table(cast, &scene.before)?;
            doubts.into_iter().for_each(|doubt| findings.add(false, doubt));
        }
        let text = read(&self.dir, scene.file)?;
        say(&format!("  Change: {}", scene.file));
        verbatim("", &after(&text, scene.shown_after));
        let change = Instant::now();
        cast.lab.config().write(SCENE, &text)?;
        self.judge(cast, scene, change, findings)
    }

    /// The first call is repeated until it is answered as it must be; that is when the change took effect. Then everything
    /// is called once, and shown.
    fn judge(&mut self, cast: &Cast, scene: &Scene, change: Instant, findings: &mut Findings) -> Result<()> {
        let first = scene.calls.first().context("a scene without calls")?;
        let effect = wait::until(scene.title, PATIENCE, || {
            self.calls += 1;
            let answers = first.make(cast, &self.shopper, &self.dir, self.calls).ok()?;
            first.expect.doubts(&answers).is_empty().then(|| change.elapsed())
        });
        let Ok(took) = effect else {
            say("  ✗ Took no effect");
            let doubts = self.table(cast, &scene.calls)?;
            findings.add(
                false,
                format!("{}: took no effect; {}", scene.title, doubts.join("; ")),
            );
            return Ok(());
        };
        say(&format!("  Took effect after {}", ms(took)));
        let doubts = self.table(cast, &scene.calls)?;
        self.conclude(scene, took, doubts, findings);
        Ok(())
    }

    fn conclude(&self, scene: &Scene, took: Duration, doubts: Vec<String>, findings: &mut Findings) {
        let title = scene.title;
        match doubts.as_slice() {
            [] => findings.add(true, format!("{title}; took effect after {}", ms(took))),
            doubts => findings.add(false, format!("{title}: {}", doubts.join("; "))),
        }
    }

    /// Makes each call once, and shows what came of it and the waypoint's line about it.
    fn table(&mut self, cast: &Cast, calls: &[Call]) -> Result<Vec<String>> {
        let mut table = Table::new(&["  call", "answer", "time"]);
        let (mut remarks, mut all) = (Vec::new(), Vec::new());
        for call in calls {
            self.calls += 1;
            let answers = call.make(cast, &self.shopper, &self.dir, self.calls)?;
            let mut doubts = call.expect.doubts(&answers);
            let line = match call.logged {
                true => self.line(&call.with.mark(self.calls), &mut doubts),
                false => None,
            };
            table.row([
                format!("{} {}", mark(doubts.is_empty()), call.title),
                expect::summary(&answers),
                Answer::time(&answers),
            ]);
            let said = line.into_iter().map(|line| format!("    ↳ {line}"));
            remarks.push(
                said.chain(doubts.iter().map(|d| format!("    ↳ ✗ {d}")))
                    .collect::<Vec<_>>(),
            );
            all.extend(doubts.into_iter().map(|d| format!("{}: {d}", call.title)));
        }
        let rendered = table.render();
        let mut text = String::new();
        for (row, remarks) in rendered.lines().skip(HEAD).zip(&remarks) {
            text += &format!("{row}\n");
            remarks.iter().for_each(|r| text += &format!("{r}\n"));
        }
        screen::table(&text);
        Ok(all)
    }

    /// The access log's first line of a call.
    fn line(&self, mark: &str, doubts: &mut Vec<String>) -> Option<String> {
        let found = wait::until("a line in the access log", LOGGED, || {
            let log = fs::read_to_string(&self.log).ok()?;
            log.lines().find(|l| l.contains(mark)).map(str::to_owned)
        });
        if found.is_err() {
            doubts.push("the waypoint logged no such request".to_owned());
        }
        found.ok()
    }
}

/// Somebody outside: on the wire, and on no node.
fn partner(cast: &Cast) -> Result<Process> {
    let mut command = cast.lab.control_namespace().command(&cast.programs.app);
    command.args(["web", "--name", "partner"]);
    Process::start("partner", command, &cast.lab.logs())
}

fn read(dir: &Path, file: &str) -> Result<String> {
    let path = dir.join(file);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// The part of a file that is of interest, at the margin.
fn after(text: &str, line: &str) -> String {
    let whole = format!("{line}\n");
    let part = text.split_once(&whole).map_or(text, |(_, rest)| rest);
    let margin = |l: &str| l.len() - l.trim_start().len();
    let common = part
        .lines()
        .filter(|l| !l.is_empty())
        .map(margin)
        .min()
        .unwrap_or(0);
    let short = |l: &str| match l.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}…", &l[..end]),
        None => l.to_owned(),
    };
    let shown = |l: &str| short(l.get(common..).unwrap_or_default());
    let lines: Vec<_> = part.lines().map(shown).collect();
    lines.join("\n")
}

const GATEWAY: &str = "waypoint.yaml";
/// The one file that every scene replaces.
const SCENE: &str = "scene.yaml";
const WAYPOINT_VIP: &str = "10.96.2.100";
const NAMESPACE_LABEL: &str = "    istio.io/dataplane-mode: ambient\n";
const USE_WAYPOINT: &str = "    istio.io/use-waypoint: waypoint\n";
const PATIENCE: Duration = Duration::from_secs(10);
const LOGGED: Duration = Duration::from_secs(3);
/// Of a line of YAML: keys and tokens are longer than any terminal.
const LONG: usize = 100;
/// A table's heading and the rule below it.
const HEAD: usize = 2;
