//! Parts that end and come back while pods talk: what fails, for how long, and what does not notice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lab::Lab;
use nix::sys::signal::Signal;

use crate::client::{Fate, hold, say};
use crate::harness::{Test, test};
use crate::lifecycle_load::Load;
use crate::party::{Party, namespaces};

pub(crate) const TESTS: &[Test] = &[
    test(
        "a_ztunnel_is_replaced_by_its_successor_beside_it_without_a_failed_connection",
        succession,
    ),
    test(
        "a_killed_ztunnel_closes_its_pods_for_new_connections_until_it_is_back",
        killed_ztunnel,
    ),
    test(
        "an_agent_that_is_away_and_comes_back_is_not_noticed_by_connections",
        agent,
    ),
    test(
        "a_control_plane_that_is_away_and_comes_back_is_not_noticed_by_connections",
        control_plane,
    ),
];

/// Two enrolled pods, one on each node, each calling the other all the time.
pub(crate) struct Pair {
    pub(crate) one: Party,
    pub(crate) two: Party,
    pub(crate) loads: [Load; 2],
}

impl Pair {
    pub(crate) fn start(lab: &mut Lab) -> Result<Self> {
        namespaces(lab)?;
        let one = Party::start(lab, "one", 0, true)?;
        let two = Party::start(lab, "two", 1, true)?;
        let loads = [
            Load::start(one.namespace(), two.echo(), "one to two")?,
            Load::start(two.namespace(), one.echo(), "two to one")?,
        ];
        let pair = Self { one, two, loads };
        pair.answered(25)?;
        Ok(pair)
    }

    /// Waits for that many more answers each way.
    pub(crate) fn answered(&self, n: usize) -> Result<()> {
        self.loads.iter().try_for_each(|l| l.answered(n))
    }

    /// Ends the load; nothing may have failed.
    pub(crate) fn nothing_failed(self, during: &str) -> Result<()> {
        for load in self.loads {
            load.stop().nothing_failed(during)?;
        }
        Ok(())
    }
}

fn succession(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    for node in 0..2 {
        // A connection from each side, which the old ztunnel of this node carries on until the deadline.
        let mut from = hold(pair.one.namespace(), pair.two.echo())?;
        let mut to = hold(pair.two.namespace(), pair.one.echo())?;
        let mut old = lab.start_successor(node)?;
        pair.answered(10)?;
        old.signal(Signal::SIGTERM)?;
        pair.answered(25)?;
        for held in [&mut from, &mut to] {
            held.echo("still here").context("while the old ztunnel drains")?;
        }
        drop((from, to));
        let ended = lab::wait::until("the old ztunnel to end", LIMIT, || old.ended())?;
        ensure!(ended.success(), "{ended}");
        pair.answered(25)?;
    }
    pair.nothing_failed("ztunnels replaced by successors beside them")
}

fn killed_ztunnel(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let held = hold(pair.one.namespace(), pair.two.echo())?;
    lab.node(0).ztunnel()?.kill();
    // What it carried has ended, and its pods talk to nobody, nor does anybody reach them.
    let end = held.end();
    ensure!(end.is_rejection(), "{end:?}");
    pair.loads.iter().try_for_each(|l| l.failed(10))?;
    let refused = say(pair.one.namespace(), pair.two.echo(), "anybody?")?;
    ensure!(refused == Fate::Refused, "{refused:?}");
    let [out, inward] = &pair.loads;
    let before = (out.ledger().outage(), inward.ledger().outage());
    lab.start_ztunnel(0)?;
    lab.node(0).wait_ready()?;
    pair.answered(25)?;
    for load in pair.loads {
        let ledger = load.stop();
        println!("a ztunnel killed and started again: {ledger}");
        let odd = ledger.failures();
        let odd: Vec<_> = odd.iter().filter(|a| !a.came_to_nothing()).collect();
        ensure!(odd.is_empty(), "{odd:#?}");
    }
    ensure!(
        before.0 > Duration::ZERO && before.1 > Duration::ZERO,
        "{before:?}"
    );
    Ok(())
}

fn agent(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let mut held = hold(pair.one.namespace(), pair.two.echo())?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        for node in 0..2 {
            lab.node(node).agent()?.signal(signal)?;
            let agent = lab.node(node).agent()?;
            lab::wait::until("the agent to end", LIMIT, || agent.ended())?;
        }
        pair.answered(25)?;
        for node in 0..2 {
            lab.start_agent(node)?;
        }
        lab.wait_ready()?;
        pair.answered(25)?;
    }
    held.echo("through it all")?;
    for party in [&pair.one, &pair.two] {
        party.pod.check().context("CHECK after the agents came back")?;
    }
    pair.nothing_failed("agents ended and started again, by SIGTERM and by SIGKILL")
}

fn control_plane(lab: &mut Lab) -> Result<()> {
    let pair = Pair::start(lab)?;
    let mut held = hold(pair.one.namespace(), pair.two.echo())?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        lab.controlplane()?.signal(signal)?;
        let control = lab.controlplane()?;
        lab::wait::until("the control plane to end", LIMIT, || control.ended())?;
        pair.answered(25)?;
        lab.start_controlplane()?;
        lab.wait_controlplane_ready()?;
        pair.answered(25)?;
        // It is heard again: what changes reaches the proxies.
        let name = format!("after-{signal}").to_lowercase();
        lab.config()
            .service("shop", &name, "10.96.9.9", "two", &[(80, 9000)])?;
        for node in 0..2 {
            crate::party::knows_service(lab, node, &name)?;
        }
        lab.config().remove(&format!("service-shop-{name}.yaml"))?;
    }
    held.echo("through it all")?;
    pair.nothing_failed("the control plane ended and started again, by SIGTERM and by SIGKILL")
}

pub(crate) const LIMIT: Duration = Duration::from_secs(30);
