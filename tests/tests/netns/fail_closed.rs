//! What happens to pods while a part of the mesh is away: they cannot start, and nothing turns into plaintext.
//!
//! Who closes what: rules in the pod send every new connection, both ways, to ports of ztunnel's. While no ztunnel
//! listens there, connections are refused; while one listens, what it cannot carry over mTLS it refuses. The rules alone
//! stand for that, so whoever may change them (root in the pod's namespace) can open the pod, in both directions, until
//! the agent's next audit.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::Lab;
use lab::capture::Capture;
use lab::config::PodSpec;
use lab::cut::{CUT_OFF, MENDED};
use lab::ip::Namespace;
use lab::lab::Options;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::client::{Fate, say};
use crate::harness::{Test, test};
use crate::lifecycle_load::Load;
use crate::lifecycle_pods::holds;
use crate::lifecycle_restart::{LIMIT, Pair};
use crate::party::{ENROLLED, Party, namespaces};
use crate::trace::Trace;

pub(crate) const TESTS: &[Test] = &[
    Test {
        name: "while_agent_ztunnel_or_control_plane_is_away_a_pod_cannot_start_is_told_why_and_can_be_started_later",
        options: hurried,
        run: no_start,
    },
    test(
        "a_pod_that_ended_while_the_agent_was_away_is_forgotten_later_and_its_address_is_free",
        late_del,
    ),
    Test {
        name: "an_agent_killed_between_rules_and_acknowledgement_leaves_a_closed_pod_and_starts_it_next_time",
        options: hurried,
        run: between_rules_and_acknowledgement,
    },
    test(
        "no_word_of_enrolled_pods_crosses_the_wire_in_the_clear_while_each_part_is_killed_and_comes_back",
        nothing_in_the_clear,
    ),
    test(
        "no_word_to_a_strict_pod_crosses_the_wire_in_the_clear_though_its_clients_proxy_hears_of_it_later",
        late_news,
    ),
    test(
        "no_word_to_a_strict_port_crosses_the_wire_in_the_clear_while_its_clients_node_alone_has_lost_the_control_plane",
        cut_off,
    ),
    Test {
        name: "rules_that_somebody_removed_from_a_pod_are_put_back_by_the_audit",
        options: hurried,
        run: flushed_rules,
    },
    Test {
        name: "rules_that_somebody_removed_from_a_pod_are_put_back_without_waiting_for_the_audit",
        options: without_audit,
        run: flushed_rules,
    },
];

/// Agents that give up early and look often.
fn hurried() -> Options {
    let env = [("ADD_DEADLINE_SECONDS", "3"), ("AUDIT_INTERVAL_SECONDS", "1")];
    Options {
        agent_env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..Options::default()
    }
}

/// Agents that find nothing by looking while a test runs: only what they hear of.
fn without_audit() -> Options {
    Options {
        agent_env: [("AUDIT_INTERVAL_SECONDS".to_owned(), "600".to_owned())].into(),
        ..Options::default()
    }
}

fn no_start(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let spec = PodSpec::new(ENROLLED, "late", 1);
    lab.config().pod(&spec)?;

    lab.node(1).agent()?.kill();
    refused(lab, &spec, "agent")?;
    lab.start_agent(1)?;
    lab.wait_ready()?;
    lab.attach_pod(&spec)?.delete()?;

    lab.controlplane()?.kill();
    // A pod that the agent has not heard of: what it was told before still holds.
    let unknown = PodSpec::new(ENROLLED, "unheard-of", 1);
    lab.config().pod(&unknown)?;
    refused(lab, &unknown, "control plane")?;
    refused(lab, &spec, "control plane")?;
    lab.start_controlplane()?;
    lab.wait_controlplane_ready()?;
    for spec in [&unknown, &spec] {
        lab.attach_pod(spec)?.delete()?;
    }
    pair.answered(10)?;
    pair.nothing_failed("pods started in vain while agent and control plane were away")?;

    lab.node(1).ztunnel()?.kill();
    refused(lab, &spec, "ztunnel")?;
    lab.start_ztunnel(1)?;
    lab.wait_ready()?;
    lab.attach_pod(&spec)?.delete()
}

/// ADD fails within its bound and names who is missing.
fn refused(lab: &mut Lab, spec: &PodSpec, missing: &str) -> Result<()> {
    let start = Instant::now();
    let added = lab.attach_pod(spec);
    let took = start.elapsed();
    let Err(error) = added else {
        anyhow::bail!("{} started without the {missing}", spec.name);
    };
    let reason = format!("{error:#}");
    println!("without the {missing}, after {took:.1?}: {reason}");
    ensure!(reason.contains(missing), "without the {missing}: {reason}");
    ensure!(!reason.contains('\n'), "more than a line: {reason}");
    ensure!(took < BOUND, "took {took:?}");
    Ok(())
}

fn late_del(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let victim = Party::start(lab, "victim", 1, true)?;
    let (addresses, at) = ([victim.pod.v4(), victim.pod.v6()], victim.echo());
    let spec = victim.pod.spec().clone();
    for node in lab.nodes() {
        holds(node, &spec, "HBONE")?;
    }
    lab.node(1).agent()?.kill();
    let Party { pod, .. } = victim;
    pod.delete().context("DEL while the agent is away")?;
    lab.start_agent(1)?;
    lab.wait_ready()?;
    for node in lab.nodes() {
        node.wait_for_config("no victim", |dump| {
            let mut workloads = dump["workloads"].as_array().into_iter().flatten();
            !workloads.any(|w| w["name"] == "victim")
        })?;
    }
    lab.config().remove(&spec.file())?;
    lab.nodes()[1].give_next(&addresses)?;
    let heir = Party::start(lab, "heir", 1, true)?;
    ensure!(heir.echo() == at, "{} is not {at}", heir.echo());
    holds(&lab.nodes()[0], heir.pod.spec(), "HBONE")?;
    let mut trace = Trace::follow(lab)?;
    let fate = say(pair.one.namespace(), at, "who is there?")?;
    ensure!(fate == Fate::Answered("who is there?".to_owned()), "{fate:?}");
    let identity = heir.identity();
    trace.expect(
        0,
        &[
            ("dst.addr", &format!("{}:15008", at.ip())),
            ("dst.identity", &identity),
        ],
    )?;
    pair.nothing_failed("a pod ended while its agent was away")
}

fn between_rules_and_acknowledgement(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let client = Party::start(lab, "client", 0, true)?;
    let spec = PodSpec::new(ENROLLED, "late", 1);
    // A ztunnel that is stopped takes packets and acknowledges none.
    lab.node(1).ztunnel()?.signal(Signal::SIGSTOP)?;
    let agent = Pid::from_raw(i32::try_from(lab.node(1).agent()?.pid())?);
    let added = thread::scope(|scope| {
        let adding = scope.spawn(|| lab.start_pod(&spec));
        let ruled = lab::wait::until("rules in the starting pod", LIMIT, || {
            let mut namespaces = std::fs::read_dir("/run/netns").ok()?.flatten();
            let late = namespaces.find(|n| n.file_name().to_string_lossy().starts_with("shop-late-"))?;
            let path = format!("--net={}", late.path().display());
            let listed = std::process::Command::new("nsenter")
                .args([&path, "nft", "list", "tables"])
                .output();
            String::from_utf8_lossy(&listed.ok()?.stdout)
                .contains("istio-ambient-nat")
                .then_some(())
        });
        let killed = kill(agent, Signal::SIGKILL).context("kill the agent");
        let added = adding.join().expect("the runtime does not panic");
        ruled.and(killed).map(|()| added)
    })?;
    let Err(error) = added else {
        anyhow::bail!("it started without an acknowledgement");
    };
    println!("the agent was killed: {error:#}");
    lab.node(1).agent()?.kill();
    lab.node(1).ztunnel()?.signal(Signal::SIGCONT)?;
    lab.start_agent(1)?;
    lab.wait_ready()?;
    let late = lab.attach_pod(&spec)?;
    late.check()?;
    let _server = late.serve(lab.products(), &["--tcp", "9000"])?;
    holds(&lab.nodes()[0], &spec, "HBONE")?;
    let fate = say(client.namespace(), SocketAddr::new(late.v6(), 9000), "at last")?;
    ensure!(fate == Fate::Answered("at last".to_owned()), "{fate:?}");
    Ok(())
}

fn nothing_in_the_clear(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    let one = Party::start(lab, "one", 0, true)?;
    let two = Party::start(lab, "two", 1, true)?;
    let plain = [
        Party::start(lab, "one-plain", 0, false)?,
        Party::start(lab, "two-plain", 1, false)?,
    ];
    for node in lab.nodes() {
        holds(node, one.pod.spec(), "HBONE")?;
        holds(node, two.pod.spec(), "HBONE")?;
    }
    let capture = Capture::start(&[SECRET, OPEN])?;
    let v6 = |p: &Party| SocketAddr::new(p.pod.v6(), 9000);
    let loads = [
        Load::start(one.namespace(), two.echo(), SECRET)?,
        Load::start(two.namespace(), v6(&one), SECRET)?,
    ];
    let answered = |n| loads.iter().try_for_each(|l: &Load| l.answered(n));
    let failed = |n| loads.iter().try_for_each(|l: &Load| l.failed(n));
    answered(10)?;
    for node in 0..2 {
        lab.node(node).agent()?.kill();
    }
    answered(10)?;
    for node in 0..2 {
        lab.node(node).ztunnel()?.kill();
        failed(10)?;
        // Neither a ztunnel without its agent has pods to serve, nor does anybody serve them meanwhile.
        lab.start_ztunnel(node)?;
        failed(10)?;
        lab.start_agent(node)?;
        lab.node(node).wait_ready()?;
        answered(10)?;
    }
    lab.controlplane()?.kill();
    answered(10)?;
    // Without configuration a new ztunnel knows nobody, and carries nothing.
    lab.node(0).ztunnel()?.kill();
    lab.start_ztunnel(0)?;
    failed(10)?;
    lab.start_controlplane()?;
    lab.wait_controlplane_ready()?;
    lab.wait_ready()?;
    answered(10)?;
    for load in loads {
        println!("each part killed: {}", load.stop());
    }
    // What is not enrolled is seen, in both families: the capture can see.
    for to in [plain[1].echo(), v6(&plain[1])] {
        let before = capture.seen().found.len();
        let fate = say(plain[0].namespace(), to, OPEN)?;
        ensure!(fate == Fate::Answered(OPEN.to_owned()), "{to}: {fate:?}");
        lab::wait::until("the open word on the wire", LIMIT, || {
            (capture.seen().found.len() > before).then_some(())
        })?;
    }
    let seen = capture.stop();
    let leaked: Vec<_> = seen.found.iter().filter(|f| f.contains(SECRET)).collect();
    ensure!(leaked.is_empty(), "{leaked:#?}");
    Ok(())
}

fn late_news(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    lab.config().write("strict.yaml", STRICT)?;
    let client = Party::start(lab, "client", 0, true)?;
    holds(&lab.nodes()[0], client.pod.spec(), "HBONE")?;
    let capture = Capture::start(&[SECRET])?;
    for n in 0..TRIES {
        let before = capture.seen().found.len();
        let (late, fates) = hears_later(lab, &client, &format!("young-{n}"))?;
        // On a machine that is busy the client's proxy may go on after the pod has let everybody in.
        if late > NEWS_SPREADS / 2 {
            println!("try {n}: too late, after {late:?}: {fates:?}");
            continue;
        }
        println!("LOG1 {}", lab.node(1).ztunnel()?.log());
        let arrived = |fate: &Fate| *fate == Fate::Answered(SECRET.to_owned());
        ensure!(fates.iter().all(arrived), "{fates:?} after {late:?}");
        let seen = capture.stop();
        ensure!(seen.tunnelled > 0, "the capture sees nothing");
        ensure!(seen.found.len() == before, "after {late:?}: {:#?}", seen.found);
        return Ok(());
    }
    anyhow::bail!("of {TRIES} pods none was heard of in time")
}

/// How much later than the proxy of a new pod the proxy of its client goes on, and what became of what clients said meanwhile.
fn hears_later(lab: &mut Lab, client: &Party, name: &str) -> Result<(Duration, Vec<Fate>)> {
    // One that is stopped accepts in its queue, and hears nothing.
    lab.node(0).ztunnel()?.signal(Signal::SIGSTOP)?;
    let young = Party::start(lab, name, 1, true)?;
    holds(&lab.nodes()[1], young.pod.spec(), "HBONE")?;
    let known = Instant::now();
    thread::scope(|scope| {
        let said = || say(client.namespace(), young.echo(), SECRET);
        let saying: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(said)).collect();
        lab.node(0).ztunnel()?.signal(Signal::SIGCONT)?;
        let late = known.elapsed();
        let fates = saying.into_iter().map(|said| said.join().expect("no panic"));
        Ok((late, fates.collect::<Result<_>>()?))
    })
}

fn cut_off(lab: &mut Lab) -> Result<()> {
    namespaces(lab)?;
    lab.config().write("strict.yaml", STRICT)?;
    lab.config().write("mixed.yaml", MIXED)?;
    let client = Party::start(lab, "client", 0, true)?;
    let stranger = Party::start(lab, "stranger", 0, false)?;
    holds(&lab.nodes()[0], client.pod.spec(), "HBONE")?;
    let proxy = lab.nodes()[0].ztunnel_namespace().clone();
    let rules = |text: &str| proxy.output("nft", &[text]).map(drop);
    rules(CUT_OFF)?;
    let [vault, mixed] = ["vault", "mixed"].map(|name| Party::start(lab, name, 1, true));
    let (vault, mixed) = (vault?, mixed?);
    for party in [&vault, &mixed] {
        holds(&lab.nodes()[1], party.pod.spec(), "HBONE")?;
    }
    let known =
        |lab: &Lab| Ok::<_, anyhow::Error>(lab.nodes()[0].config_dump()?.to_string().contains("\"vault\""));
    ensure!(!known(lab)?, "the client's proxy was not cut off");
    let mut trace = Trace::follow(lab)?;
    let capture = Capture::start(&[SECRET, OPEN])?;
    let closed = [
        vault.echo(),
        SocketAddr::new(vault.pod.v6(), 9000),
        mixed.at(8080),
    ];
    for (from, to) in [&client, &stranger]
        .into_iter()
        .flat_map(|from| closed.map(|to| (from, to)))
    {
        let fate = say(from.namespace(), to, SECRET)?;
        ensure!(fate.is_rejection(), "{} to {to}: {fate:?}", from.name());
        let denied = [
            ("direction", "inbound"),
            ("src.workload", from.name()),
            ("dst.addr", &to.to_string()),
        ];
        trace.expect_error(1, &denied, "policy rejection")?;
    }
    let counted = lab.nodes()[1].metrics()?;
    let refused = |l: &&str| {
        l.starts_with("istio_tcp_connections_failed_total") && l.contains("source_workload=\"client\"")
    };
    ensure!(
        counted.lines().any(|l| refused(&l) && l.contains("\"DENY\"")),
        "{counted}"
    );
    // What may be served in the clear is, and is seen: the capture can see.
    let fate = say(client.namespace(), mixed.echo(), OPEN)?;
    ensure!(fate == Fate::Answered(OPEN.to_owned()), "{fate:?}");
    rules(MENDED)?;
    lab::wait::until("the client's proxy to hear of the pod", LIMIT, || {
        known(lab).is_ok_and(|known| known).then_some(())
    })?;
    let fate = say(client.namespace(), vault.echo(), SECRET)?;
    ensure!(fate == Fate::Answered(SECRET.to_owned()), "{fate:?}");
    let seen = capture.stop();
    let (open, secret): (Vec<_>, Vec<_>) = seen.found.iter().partition(|f| f.contains(OPEN));
    ensure!(!open.is_empty() && seen.tunnelled > 0, "the capture sees nothing");
    ensure!(secret.is_empty(), "{secret:#?}");
    Ok(())
}

fn flushed_rules(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    lab.config().write("strict.yaml", STRICT)?;
    let stranger = Party::start(lab, "stranger", 0, false)?;
    let closed = |stranger: &Party| {
        lab::wait::until("plaintext to be refused", LIMIT, || {
            let fate = say(stranger.namespace(), pair.two.echo(), "let me in").ok()?;
            fate.is_rejection().then_some(())
        })
    };
    closed(&stranger)?;
    // Who puts back what comes in no order.
    let rules = |of: &Namespace| {
        let listed = of.output("nft", &["list", "ruleset"])?;
        let mut tables: Vec<_> = listed.split_inclusive("\n}\n").map(ToOwned::to_owned).collect();
        tables.sort();
        Ok::<_, anyhow::Error>(tables.concat())
    };
    let before = rules(pair.two.namespace())?;
    for table in ["istio-ambient-nat", "lateen-strict"] {
        ensure!(before.contains(table), "{before}");
    }
    pair.two.namespace().output("nft", &["flush", "ruleset"])?;
    lab::wait::until("the rules to be back", LIMIT, || {
        (rules(pair.two.namespace()).ok()? == before).then_some(())
    })?;
    closed(&stranger)?;
    pair.answered(10)?;
    pair.two.pod.check()?;
    for load in pair.loads {
        println!("rules flushed in a pod: {}", load.stop());
    }
    Ok(())
}

const SECRET: &str = "only for those who may know";
const OPEN: &str = "for everybody's eyes";
const STRICT: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: istio-system}\nspec: {mtls: {mode: STRICT}}\n";
/// STRICT but for one port.
const MIXED: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: mixed, namespace: shop}\nspec: {selector: {matchLabels: {app: mixed}}, mtls: {mode: STRICT}, portLevelMtls: {9000: {mode: PERMISSIVE}}}\n";
/// As long as a pod that is STRICT keeps plaintext out when it is new (ztunnel's `NEWS_SPREADS`).
const NEWS_SPREADS: Duration = Duration::from_secs(2);
const TRIES: usize = 5;
const CLIENTS: usize = 8;
/// The agent's own deadline, and what a busy machine adds.
const BOUND: Duration = Duration::from_secs(20);
