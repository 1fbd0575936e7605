//! Pods that come, go, join and leave while others talk to them.

use std::net::SocketAddr;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::capture::Capture;
use lab::config::PodSpec;
use lab::{Lab, Pod};
use tokio::time::Instant;

use crate::client::{Held, hold};
use crate::harness::{Test, test};
use crate::lifecycle_load::{Ledger, Load};
use crate::party::{ENROLLED, PLAIN, Party, namespaces};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    test(
        "an_address_that_passes_from_pod_to_pod_under_load_is_never_answered_under_a_wrong_identity_nor_in_the_clear",
        address_reuse,
    ),
    test(
        "a_running_pod_joins_and_leaves_the_mesh_by_its_label_under_load",
        by_pod_label,
    ),
    test(
        "running_pods_join_and_leave_the_mesh_by_their_namespaces_label_under_load",
        by_namespace_label,
    ),
];

fn address_reuse(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let canaries: Vec<_> = (0..TENANTS).map(|n| format!("canary of tenant {n}")).collect();
    let capture = Capture::start(&canaries.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut trace = Trace::follow(lab)?;
    let mut steady: Option<Load> = None;
    let mut addresses = None;
    let (mut secrets, mut settled_times): (Vec<Ledger>, _) = (Vec::new(), Vec::new());
    for (n, canary) in canaries.iter().enumerate() {
        if let Some(before) = secrets.last() {
            all_over(&mut trace, before)?;
        }
        if let Some((v4, v6)) = addresses {
            lab.nodes()[1].give_next(&[v4, v6])?;
        }
        let spec = PodSpec::new(ENROLLED, &format!("tenant-{n}"), 1);
        let pod = lab.start_pod(&spec)?;
        let own = *addresses.get_or_insert_with(|| (pod.v4(), pod.v6()));
        ensure!(own == (pod.v4(), pod.v6()), "{} got other addresses", spec.name);
        let at = SocketAddr::new(pod.v4(), 9001);
        let server = pod.serve(lab.products(), &["--name", &spec.name, "--greet", "9001"])?;
        for node in lab.nodes() {
            holds(node, &spec, "HBONE")?;
        }
        let secret = Load::impatient(client.namespace(), at, canary)?;
        let steady = match &steady {
            Some(load) => load,
            None => steady.insert(Load::impatient(client.namespace(), at, "who are you?")?),
        };
        let since = steady.begun();
        secret.answered(20)?;
        steady.answered(20)?;
        settled_times.push(since..steady.begun());
        // The runtime kills the programs, then calls DEL; either may come first for those who call.
        if n % 2 == 0 {
            drop(server);
        }
        pod.delete()?;
        lab.config().remove(&spec.file())?;
        let secret = secret.stop();
        println!("tenant {n}: {secret}");
        secrets.push(secret);
    }
    let steady = steady.context("no tenants")?.stop();
    println!("an address passed through {TENANTS} tenants: {steady}");
    let seen = capture.stop();
    let (mut answers, unknown) = answered_as_known(&mut trace, &steady, &settled_times)?;
    println!("{unknown} of {answers} answers came to connections begun before their tenant was known");
    let always = std::slice::from_ref(&(0..usize::MAX));
    for secret in &secrets {
        answers += answered_as_known(&mut trace, secret, always)?.0;
    }
    ensure!(answers > TENANTS * 40, "only {answers} answers");
    ensure!(seen.found.is_empty(), "{:#?}", seen.found);
    ensure!(seen.frames > 1000, "{seen:?}");
    Ok(())
}

/// Waits until the client's proxy has given up every attempt that came to nothing.
///
/// A connection to an address that is nobody's is dialled in the clear, as without a mesh. While the kernel still tries,
/// the next tenant may answer before the client's proxy can know of it: no proxy can hold that back, so the address
/// passes on only when nothing is on its way to the tenant before.
fn all_over(trace: &mut Trace, ledger: &Ledger) -> Result<()> {
    for attempt in &ledger.attempts {
        let (Err(_), Some(from)) = (&attempt.outcome, attempt.from) else {
            continue;
        };
        trace.expect(0, &[("direction", "outbound"), ("src.addr", &from.to_string())])?;
    }
    Ok(())
}

/// Holds that whoever answered an attempt is who both proxies took it for.
///
/// `settled` are the attempts, by number, that began while both proxies knew who has the address: those must have gone
/// to that identity. Gives the numbers of answers, and of those that went to nobody known.
fn answered_as_known(trace: &mut Trace, ledger: &Ledger, settled: &[Range<usize>]) -> Result<(usize, usize)> {
    let (mut answers, mut unknown) = (0, 0);
    for attempt in &ledger.attempts {
        let (Ok(answer), Some(from)) = (&attempt.outcome, attempt.from) else {
            continue;
        };
        let who = answer.split(' ').nth(1).with_context(|| answer.clone())?;
        let identity = format!("spiffe://cluster.local/ns/{ENROLLED}/sa/{who}");
        let from = from.to_string();
        let values = [
            ("direction", "outbound"),
            ("src.addr", from.as_str()),
            ("level", "info"),
        ];
        let line = trace.expect(0, &values)?;
        match line.get("dst.identity") {
            Some(known) => ensure!(known == identity, "{who} answered {attempt:?}: {line:?}"),
            // Begun when the address was nobody's, or its tenant was not known to the client's proxy yet.
            None => {
                let settled = settled.iter().any(|s| s.contains(&attempt.number));
                ensure!(!settled, "{who} answered {attempt:?}: {line:?}");
                unknown += 1;
            }
        }
        answers += 1;
    }
    Ok((answers, unknown))
}

fn by_pod_label(lab: &mut Lab) -> Result<()> {
    change(lab, |lab, member| {
        for name in ["one", "two"] {
            let spec = spec(name);
            let mode = if member { "ambient" } else { "none" };
            lab.config().pod(&spec.label("istio.io/dataplane-mode", mode))?;
        }
        Ok(())
    })
}

fn by_namespace_label(lab: &mut Lab) -> Result<()> {
    change(lab, |lab, member| lab.config().namespace(PLAIN, member))
}

fn spec(name: &str) -> PodSpec {
    PodSpec::new(PLAIN, name, usize::from(name == "two"))
}

/// Two running pods become members and leave again, twice, with load and open connections in both directions: nothing fails.
///
/// A connection that was opened inside the mesh is served until it ends, or until the time for that is over.
fn change(lab: &mut Lab, set: impl Fn(&Lab, bool) -> Result<()>) -> Result<()> {
    namespaces(lab)?;
    let one = Party::of(lab, &spec("one"), false)?;
    let two = Party::of(lab, &spec("two"), false)?;
    let loads = [
        Load::start(one.namespace(), two.echo(), "one to two")?,
        Load::start(two.namespace(), one.echo(), "two to one")?,
    ];
    let answered = |n| loads.iter().try_for_each(|l: &Load| l.answered(n));
    answered(10)?;
    let open = |a: &Party, b: &Party| hold(a.namespace(), b.echo());
    let mut from_before = [open(&one, &two)?, open(&two, &one)?];
    for round in 0..2 {
        set(lab, true)?;
        settled(lab, &[&one.pod, &two.pod], "HBONE")?;
        answered(10)?;
        each(&mut from_before, "opened before the pods joined")?;
        for (a, b) in [(&one, &two), (&two, &one)] {
            expect(lab, a, b, true)?;
        }
        let mut inside = [open(&one, &two)?, open(&two, &one)?];
        let begun = Instant::now();
        set(lab, false)?;
        for _ in 0..SPEAKS {
            thread::sleep(BETWEEN_WORDS);
            each(&mut inside, "opened inside the mesh, while the pods leave")?;
        }
        // One ends by itself, and one overstays its time.
        let [ends, stays] = inside;
        drop(ends);
        let overstays = round == 1;
        if overstays {
            let end = stays.end();
            ensure!(end.is_rejection(), "a connection of the mesh: {end:?}");
            ensure!(begun.elapsed() >= DRAIN, "cut after {:?}", begun.elapsed());
        } else {
            drop(stays);
        }
        settled(lab, &[&one.pod, &two.pod], "TCP")?;
        let took = begun.elapsed();
        ensure!(
            overstays || took < DRAIN,
            "nobody waits for what has ended: {took:?}"
        );
        answered(10)?;
        each(&mut from_before, "opened before the pods joined, after they left")?;
        for (a, b) in [(&one, &two), (&two, &one)] {
            expect(lab, a, b, false)?;
        }
    }
    for ledger in loads.map(Load::stop) {
        ledger.nothing_failed("pods joined and left twice")?;
    }
    Ok(())
}

fn each(held: &mut [Held], what: &str) -> Result<()> {
    held.iter_mut()
        .try_for_each(|h| h.echo("still here").context(what.to_owned()))
}

/// Waits until both ztunnels know both pods so, and their own node's pod is served or not.
fn settled(lab: &Lab, pods: &[&Pod], protocol: &str) -> Result<()> {
    for node in lab.nodes() {
        for pod in pods {
            holds(node, pod.spec(), protocol)?;
        }
    }
    for pod in pods {
        lab::wait::until("CHECK to agree", crate::lifecycle_restart::LIMIT, || {
            pod.check().ok()
        })?;
    }
    Ok(())
}

/// Waits until a ztunnel knows a pod as reached by this protocol.
pub(crate) fn holds(node: &lab::Node, pod: &PodSpec, protocol: &str) -> Result<()> {
    let what = format!("{} as {protocol}", pod.name);
    node.wait_for_config(&what, |dump| {
        let mut workloads = dump["workloads"].as_array().into_iter().flatten();
        workloads.any(|w| w["name"] == pod.name.as_str() && w["protocol"] == protocol)
    })
}

/// A new connection, and whether it went through the mesh.
fn expect(lab: &mut Lab, from: &Party, to: &Party, mesh: bool) -> Result<()> {
    let mut trace = Trace::follow(lab)?;
    let mut held = hold(from.namespace(), to.echo())?;
    let port = held.local()?.to_string();
    held.echo("new")?;
    drop(held);
    if mesh {
        let (client, server) = (from.identity(), to.identity());
        let both = [("src.identity", client.as_str()), ("dst.identity", &server)];
        let out = [("direction", "outbound"), ("src.addr", &port)];
        trace.expect(from.node(), &[&both[..], &out].concat())?;
        trace.expect(to.node(), &[&both[..], &[("direction", "inbound")]].concat())?;
        return Ok(());
    }
    let lines = trace.rest();
    let odd = lines.iter().find(|(_, l)| l.is("src.addr", &port));
    ensure!(odd.is_none(), "after it left the mesh: {odd:#?}");
    Ok(())
}

const TENANTS: usize = 5;
/// How long connections are given to end (`UNENROLL_DRAIN_SECONDS`), as these tests leave it.
const DRAIN: Duration = Duration::from_secs(10);
/// A connection speaks for longer than pods would need to leave without it.
const SPEAKS: u32 = 20;
const BETWEEN_WORDS: Duration = Duration::from_millis(200);
