//! Tokens and certificates that end: who is told what, and what closes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::Lab;
use lab::access::AccessLine;
use lab::capture::Capture;
use lab::lab::Options;

use crate::client::{Fate, hold, say};
use crate::harness::{Test, test};
use crate::hbone::{certificate_by_token, certificate_for};
use crate::lifecycle_load::Load;
use crate::lifecycle_restart::{LIMIT, Pair};
use crate::party::{ENROLLED, Party, knows_service};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "certificates_are_renewed_under_load_without_a_failed_connection",
        options: short_lived,
        run: renewal,
    },
    Test {
        name: "certificates_that_ran_out_while_the_control_plane_was_away_close_their_pods_until_it_is_back",
        options: short_lived,
        run: expiry,
    },
    test(
        "an_expired_token_is_refused_by_name_and_its_successor_in_the_same_file_is_taken_up",
        expired_token,
    ),
    test(
        "a_node_is_refused_certificates_of_identities_that_are_not_on_it",
        not_on_the_node,
    ),
];

/// Certificates of 12 s, renewed after half of that.
fn short_lived() -> Options {
    Options {
        ztunnel_env: [("SECRET_TTL".to_owned(), "12s".to_owned())].into(),
        ..Options::default()
    }
}

fn renewal(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let mut trace = Trace::follow(lab)?;
    let held = hold(pair.one.namespace(), pair.two.echo())?;
    let client = held.local()?.to_string();
    for node in 0..2 {
        for _ in 0..2 {
            let before = serials(lab, node)?;
            ensure!(!before.is_empty(), "node {node} has no certificates");
            lab::wait::until("other certificates", LIMIT, || {
                let now = serials(lab, node).ok()?;
                (now.iter().all(|s| !before.contains(s)) && now.len() == before.len()).then_some(())
            })?;
        }
    }
    pair.answered(10)?;
    // What was open ends with the certificates that it was opened with, and one of the two ends says so.
    let fate = held.end();
    ensure!(fate.is_rejection(), "with the certificate of long ago: {fate:?}");
    let outbound = [("direction", "outbound"), ("src.addr", client.as_str())];
    let line = trace.expect_error(0, &outbound, "server side")?;
    let reason = "a certificate of the connection has expired";
    let says = |line: &AccessLine| line.get("error").is_some_and(|e| e.contains(reason));
    lab::wait::until(reason, LIMIT, || {
        let found = says(&line) || trace.rest().iter().any(|(_, line)| says(line));
        found.then_some(())
    })?;
    pair.nothing_failed("certificates renewed several times")
}

/// The serial numbers of the certificates that a node's ztunnel has.
fn serials(lab: &Lab, node: usize) -> Result<Vec<String>> {
    let dump = lab.nodes()[node].config_dump()?;
    let all = dump["certificates"].as_array().context("no certificates")?;
    let serial = |c: &serde_json::Value| Some(c["certChain"].get(0)?["serialNumber"].as_str()?.to_owned());
    Ok(all.iter().filter_map(serial).collect())
}

fn expiry(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let capture = Capture::start(&["one to two", "two to one"])?;
    lab.controlplane()?.kill();
    // While the certificates last nobody notices.
    pair.answered(50)?;
    pair.loads.iter().try_for_each(|l: &Load| l.failed(25))?;
    for (from, to) in [(&pair.one, &pair.two), (&pair.two, &pair.one)] {
        let fate = say(from.namespace(), to.echo(), "anybody?")?;
        ensure!(fate.is_rejection(), "without a valid certificate: {fate:?}");
    }
    lab.start_controlplane()?;
    lab.wait_controlplane_ready()?;
    pair.answered(25)?;
    for load in pair.loads {
        println!("certificates ran out: {}", load.stop());
    }
    let seen = capture.stop();
    ensure!(seen.found.is_empty(), "{:#?}", seen.found);
    Ok(())
}

fn expired_token(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    // The same files that agent and ztunnel were started with.
    let mut files = Vec::new();
    for account in ["istio-system/ztunnel", "istio-system/istio-cni"] {
        files.push(lab.token(account, 0, "1s")?);
    }
    // The control plane allows a token some seconds more, for clocks that differ.
    let token = std::fs::read_to_string(&files[0])?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    lab::wait::until("the token to be over", PATIENCE, || {
        let fetched = runtime
            .block_on(certificate_for(lab, &token, &pair.one.identity()))
            .ok()?;
        fetched
            .is_err_and(|e| e.to_string().contains("nauthenticated"))
            .then_some(())
    })?;
    // Only a new stream is asked for its token.
    lab.controlplane()?.kill();
    lab.start_controlplane()?;
    lab.wait_controlplane_ready()?;
    let ztunnel = lab.node(0).ztunnel()?.log_path().to_owned();
    let logs = [ztunnel, lab.node(0).agent()?.log_path().to_owned()];
    for log in &logs {
        let line = lab::wait::until(&format!("a refusal in {}", log.display()), LIMIT, || {
            let log = std::fs::read_to_string(log).ok()?;
            let mut lines = log.lines().filter(|l| l.contains("nauthenticated"));
            lines.next().map(ToOwned::to_owned)
        })?;
        println!("{line}");
    }
    let said = lab.controlplane()?.log();
    ensure!(said.contains("the token has expired"), "{said}");
    pair.answered(25)?;
    for account in ["istio-system/ztunnel", "istio-system/istio-cni"] {
        lab.token(account, 0, "12h")?;
    }
    lab.config()
        .service(ENROLLED, "after", "10.96.8.9", "two", &[(80, 9000)])?;
    knows_service(lab, 0, "after")?;
    let late = Party::start(lab, "late", 0, true)?;
    let fate = say(pair.two.namespace(), late.echo(), "welcome")?;
    ensure!(fate == Fate::Answered("welcome".to_owned()), "{fate:?}");
    pair.nothing_failed("tokens expired and replaced")
}

fn not_on_the_node(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for (node, here, there) in [(0, &pair.one, &pair.two), (1, &pair.two, &pair.one)] {
            let own = certificate_by_token(lab, node, &here.identity()).await?;
            own.with_context(|| format!("{} on its own node", here.name()))?;
            for identity in [
                there.identity(),
                "spiffe://cluster.local/ns/shop/sa/nobody".to_owned(),
                "spiffe://cluster.local/ns/istio-system/sa/istio-cni".to_owned(),
                here.identity().replace("cluster.local", "elsewhere.example"),
            ] {
                let Err(refused) = certificate_by_token(lab, node, &identity).await? else {
                    anyhow::bail!("node {} got a certificate of {identity}", node + 1);
                };
                println!("{refused}");
            }
        }
        Ok(())
    })?;
    pair.nothing_failed("certificates asked for that are not the node's")
}

/// A token's leeway, and more.
const PATIENCE: Duration = Duration::from_secs(90);
