//! Leases: what the rest of the mesh makes of a node that is not heard of any more.

use anyhow::{Context, Result, ensure};
use lab::Lab;
use lab::lab::Options;

use crate::client::{Fate, say};
use crate::harness::Test;
use crate::lifecycle_load::Load;
use crate::party::{ENROLLED, Party, knows_service, namespaces};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[Test {
    name: "workloads_of_a_lost_agent_are_left_out_by_services_after_the_lease_and_come_back_with_it",
    options: short_lease,
    run: lease,
}];

fn short_lease() -> Options {
    Options {
        controlplane_args: vec!["--lease".to_owned(), "3s".to_owned()],
        ..Options::default()
    }
}

fn lease(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let spec = |name: &str, node| {
        let spec = lab::config::PodSpec::new(ENROLLED, name, node);
        spec.label("app", "server")
    };
    let near = Party::of(lab, &spec("near", 0), true)?;
    let far = Party::of(lab, &spec("far", 1), true)?;
    let vip = "10.96.7.7";
    lab.config()
        .service(ENROLLED, "server", vip, "server", &[(80, 9000)])?;
    knows_service(lab, 0, "server")?;
    healthy(lab, "far", true)?;
    let load = Load::start(client.namespace(), format!("{vip}:80").parse()?, "anybody")?;
    load.answered(20)?;

    lab.node(1).agent()?.kill();
    healthy(lab, "far", false)?;
    healthy(lab, "near", true)?;
    let mut trace = Trace::follow(lab)?;
    let since = load.begun();
    load.answered(30)?;
    let ledger = load.ledger();
    for attempt in ledger.attempts.iter().filter(|a| a.number >= since) {
        let from = attempt.from.context("an attempt without an address")?.to_string();
        let line = trace.expect(0, &[("direction", "outbound"), ("src.addr", &from)])?;
        ensure!(
            line.is("dst.workload", "near"),
            "a workload without a lease: {line:?}"
        );
    }
    // It is there all the same, and whoever names it reaches it.
    let fate = say(client.namespace(), far.echo(), "still there?")?;
    ensure!(fate == Fate::Answered("still there?".to_owned()), "{fate:?}");

    lab.start_agent(1)?;
    healthy(lab, "far", true)?;
    load.answered(10)?;

    // Lost again; now its manifest goes, and with it the workload.
    lab.node(1).agent()?.kill();
    healthy(lab, "far", false)?;
    lab.config().remove(&far.pod.spec().file())?;
    lab.nodes()[0].wait_for_config("nothing of far", |dump| workload(dump, "far").is_none())?;
    load.stop()
        .nothing_failed("an agent lost, its lease over, back, lost again")?;
    drop(near);
    Ok(())
}

fn healthy(lab: &Lab, name: &str, healthy: bool) -> Result<()> {
    let state = if healthy { "Healthy" } else { "Unhealthy" };
    lab.nodes()[0].wait_for_config(&format!("{name}: {state}"), |dump| {
        workload(dump, name).is_some_and(|w| {
            w["status"]
                .as_str()
                .is_some_and(|s| s.eq_ignore_ascii_case(state))
        })
    })
}

fn workload<'a>(dump: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    let workloads = dump["workloads"].as_array()?;
    workloads.iter().find(|w| w["name"] == name)
}
