//! The same things again and again for as long as one likes: pods come into the mesh and leave it, policies come and go, an
//! application and a waypoint roll, all of it under load. No request may fail, and no part of the mesh may hold more and more.
//!
//! `make soak MINUTES=60`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::growth::Growth;
use tokio::time::Instant;

use crate::mesh::Mesh;
use crate::{Test, enrolment, outages, security, waypoint};

/// Parts of the mesh, and what the kernel calls their processes.
const PARTS: &[(&str, &str)] = &[
    ("node agent", "lateen-node"),
    ("ztunnel", "ztunnel"),
    ("control plane", "lateen-controlp"),
];

/// What a round is made of: nothing that restarts a part of the mesh, whose memory is watched.
const ROUND: &[&str] = &[
    "pods_join_and_leave_under_load",
    "strict_refuses",
    "a_policy_of_layer_4",
    "an_application_of_two_replicas_rolls",
    "a_waypoint_of_a_namespace_routes",
];

pub(crate) fn run(mesh: &mut Mesh, length: Duration) -> Result<()> {
    let all = [enrolment::TESTS, security::TESTS, outages::TESTS, waypoint::TESTS].concat();
    let find = |begin: &&str| {
        let test = all.iter().find(|test| test.name.starts_with(begin));
        test.copied()
            .with_context(|| format!("no test begins with {begin}"))
    };
    let round: Vec<Test> = ROUND.iter().map(find).collect::<Result<_>>()?;
    let began = Instant::now();
    let mut held: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut rounds = 0;
    while began.elapsed() < length {
        rounds += 1;
        for test in &round {
            (test.run)(mesh).with_context(|| format!("round {rounds}: {}", test.name))?;
        }
        nothing_ends_any_more(mesh)?;
        let now = resident(mesh)?;
        println!("round {rounds}, {} s: {now:?} KiB", began.elapsed().as_secs());
        for (part, kib) in now {
            held.entry(part).or_default().push(kib);
        }
    }
    for (part, series) in &held {
        // The first round is the one that fills caches.
        let Some(growth) = Growth::of(&series[1..]) else {
            println!("{part}: {rounds} rounds are too few to tell whether it grows: {series:?} KiB");
            continue;
        };
        println!("{part}: {} KiB, then {} KiB", growth.from, growth.to);
        ensure!(
            !growth.is_beyond(SLACK_KIB),
            "{part} holds more and more, in KiB: {series:?}"
        );
    }
    println!("{rounds} rounds, nothing failed");
    Ok(())
}

/// The next round's namespaces have the names of this one's.
fn nothing_ends_any_more(mesh: &Mesh) -> Result<()> {
    mesh.eventually("the round's namespaces are gone", || {
        let namespaces = mesh.kubectl.get(&["namespaces"])?;
        let mut all = namespaces["items"].as_array().context("namespaces")?.iter();
        Ok(all.all(|namespace| namespace["status"]["phase"] == "Active"))
    })
}

/// What each process of the mesh has in memory, KiB (`VmRSS`, proc_pid_status(5)).
fn resident(mesh: &Mesh) -> Result<BTreeMap<String, u64>> {
    let mut held = BTreeMap::new();
    for node in mesh.cluster.nodes() {
        for (part, process) in PARTS {
            let Ok(found) = node.output("pgrep", &["-x", process]) else {
                continue;
            };
            for pid in found.split_whitespace() {
                let status = node.output("cat", &[&format!("/proc/{pid}/status")])?;
                let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
                let kib = line
                    .and_then(|line| line.split_whitespace().next())
                    .context("VmRSS")?;
                held.insert(format!("{part} {} {pid}", node.name()), kib.parse()?);
            }
        }
    }
    ensure!(!held.is_empty(), "no process of the mesh runs");
    Ok(held)
}

/// Pages that an allocator keeps, and whatever is made on first need.
const SLACK_KIB: u64 = 4096;
