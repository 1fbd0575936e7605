//! A waypoint that is killed, started again, drained, or one of two, while requests come.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::Lab;
use nix::sys::signal::Signal;

use crate::client::LIMIT;
use crate::harness::{Test, test};
use crate::l7_stage::{APP, Stage, USE, service};
use crate::lifecycle_load::Load;
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test(
        "a_killed_waypoint_closes_the_way_and_a_started_one_opens_it_again",
        killed,
    ),
    test("one_of_two_waypoints_leaves_under_load_and_nobody_notices", two),
    test("a_waypoint_that_ends_lets_what_is_under_way_finish", drained),
    test("a_waypoint_that_ends_loses_no_line_of_its_log", lines),
];

fn killed(lab: &mut Lab) -> Result<()> {
    let mut stage = Stage::set(lab)?;
    let load = Load::start(stage.client.namespace(), format!("{APP}:9000").parse()?, "hello")?;
    load.answered(20)?;
    let mut trace = Trace::follow(lab)?;
    stage.waypoint.replicas[0].kill()?;
    load.failed(20)?;
    stage.waypoint.replicas[0].start()?;
    stage.waypoint.replicas[0].wait_ready()?;
    load.answered(20)?;
    let ledger = load.stop();
    println!("a killed waypoint: {ledger}");
    let silent = ledger.failures().into_iter().find(|f| !f.came_to_nothing());
    ensure!(silent.is_none(), "the client was left waiting: {silent:?}");
    // Nobody went past it: every connection that arrived at the application came from the waypoint.
    let waypoint = stage.waypoint.identity();
    for (node, line) in trace.rest() {
        let inbound = *node == 1 && line.is("direction", "inbound") && line.is("dst.namespace", "shop");
        ensure!(!inbound || line.is("src.identity", &waypoint), "{line:?}");
    }
    Ok(())
}

fn two(lab: &mut Lab) -> Result<()> {
    let mut stage = Stage::unbound(lab, "service", &[1, 1])?;
    service(lab, "app", APP, "app: app", USE)?;
    stage.served(lab)?;
    let mut trace = Trace::follow(lab)?;
    let load = Load::start(stage.client.namespace(), format!("{APP}:9000").parse()?, "hello")?;
    load.answered(60)?;
    // Both take their share.
    for n in 1..=2 {
        let name = format!("waypoint-5f6b7c8d9-{n}");
        trace.expect(0, &[("direction", "outbound"), ("dst.workload", &name)])?;
    }
    stage.waypoint.remove(lab, 0)?;
    load.answered(40)?;
    stage.waypoint.add(lab, 1)?.wait_ready()?;
    load.answered(40)?;
    load.stop()
        .nothing_failed("one of two waypoints leaves, another comes")
}

fn drained(lab: &mut Lab) -> Result<()> {
    let mut stage = Stage::set(lab)?;
    let mut slow = stage.client.spawn(
        "slow",
        "curl",
        &["-sS", "--max-time", "20", "http://10.96.3.1/slow/2000"],
    )?;
    let app = &stage.apps;
    lab::wait::until("the request to arrive", LIMIT, || {
        let logs = std::fs::read_dir(lab.logs()).ok()?.flatten();
        let mut texts = logs.filter_map(|l| std::fs::read_to_string(l.path()).ok());
        texts.any(|t| t.contains("GET /slow/2000")).then_some(())
    })
    .with_context(|| format!("{} applications", app.len()))?;
    stage.waypoint.replicas[0].drain()?;
    let status = lab::wait::until("its answer", LIMIT, || slow.ended())?;
    ensure!(
        status.success() && slow.log().contains("answers GET /slow/2000"),
        "{}",
        slow.log()
    );
    let process = stage.waypoint.replicas[0].process()?;
    let ended = lab::wait::until("the waypoint's end", Duration::from_secs(40), || process.ended())?;
    ensure!(ended.success(), "{ended}: {}", process.log_tail());
    Ok(())
}

/// Every request that was answered has its line, whoever moves the file away meanwhile, and however soon the end comes.
fn lines(lab: &mut Lab) -> Result<()> {
    let mut stage = Stage::set(lab)?;
    let (path, moved) = (lab.logs().join("requests.log"), lab.logs().join("requests.log.1"));
    let provider = format!(
        "{{name: file, envoyFileAccessLog: {{path: {}, logFormat: {{text: \"%REQ(:PATH)% %RESPONSE_CODE%\\n\"}}}}}}",
        path.display()
    );
    lab.config().write(
        "logs.yaml",
        &format!(
            "{{apiVersion: lateen.dev/v1alpha1, kind: MeshConfig, metadata: {{name: mesh, namespace: istio-system}}, spec: {{extensionProviders: [{provider}]}}}}\n---\n\
             {{apiVersion: telemetry.istio.io/v1, kind: Telemetry, metadata: {{name: logs, namespace: shop}}, spec: {{accessLogging: [{{providers: [{{name: file}}]}}]}}}}\n"
        ),
    )?;
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    lab::wait::until("the first line", LIMIT, || {
        drop(stage.get(&["http://10.96.3.1/begin"]));
        text(&path).contains("/begin 200").then_some(())
    })?;
    let ask = |stage: &Stage, name: &str| -> Result<()> {
        let url = format!("http://10.96.3.1/{name}?[1-50]");
        let answers = stage.get_all(&[&url])?;
        ensure!(
            answers.iter().filter(|a| a.status == "200").count() == 50,
            "{answers:?}"
        );
        Ok(())
    };
    ask(&stage, "before")?;
    std::fs::rename(&path, &moved)?;
    let rotate = stage.waypoint.replicas[0].process()?.signal(Signal::SIGUSR1);
    rotate.context("it runs")?;
    ask(&stage, "after")?;
    let process = stage.waypoint.replicas[0].process()?;
    let ended = process.terminate(Duration::from_secs(40))?;
    ensure!(ended.success(), "{ended}: {}", process.log_tail());
    let (old, new) = (text(&moved), text(&path));
    for n in 1..=50 {
        let line = format!("/before?{n} 200\n");
        ensure!(
            old.contains(&line) || new.contains(&line),
            "{line} is lost: {old}{new}"
        );
        let line = format!("/after?{n} 200\n");
        ensure!(new.contains(&line), "{line} is lost: {new}");
    }
    Ok(())
}
