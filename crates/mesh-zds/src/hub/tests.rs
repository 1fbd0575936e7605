use super::*;
use crate::message::{encode_answer, encode_hello};

fn uid(n: u8) -> PodUid {
    PodUid::new(format!("pod-{n}"))
}

fn info(n: u8) -> PodInfo {
    PodInfo {
        name: format!("web-{n}").into(),
        namespace: "shop".into(),
        service_account: "web".into(),
    }
}

fn add_event(n: u8) -> PodEvent<u8> {
    PodEvent::Add {
        uid: uid(n),
        info: info(n),
        netns: n,
    }
}

fn del_event(n: u8) -> PodEvent<u8> {
    PodEvent::Del { uid: uid(n) }
}

/// A hub whose pods have numbers, and ztunnels that answer.
#[derive(Default)]
struct Bench {
    hub: Hub<u8>,
}

impl Bench {
    fn add(&mut self, n: u8) -> Ticket {
        self.hub.add(uid(n), info(n), Some(n))
    }

    fn greet(&mut self) -> ConnectionId {
        let id = self.hub.connected();
        self.hub.packet(id, &encode_hello()).expect("hello");
        id
    }

    fn answer(&mut self, id: ConnectionId, answer: &Answer) {
        self.hub
            .packet(id, &encode_answer(answer))
            .expect("an answer is due");
    }

    /// Takes everything that there is to send, answering each with success.
    fn drain(&mut self, id: ConnectionId) -> Vec<PodEvent<u8>> {
        let mut events = Vec::new();
        while let Some(event) = self.hub.poll_send(id) {
            self.answer(id, &Ok(()));
            events.push(event);
        }
        events
    }
}

#[test]
fn a_ztunnel_gets_every_pod_then_the_end_of_the_snapshot_then_changes() {
    let mut bench = Bench::default();
    bench.add(1);
    bench.hub.restore(uid(2), info(2), None);
    let id = bench.greet();
    assert_eq!(
        bench.drain(id),
        [
            add_event(1),
            PodEvent::Keep { uid: uid(2) },
            PodEvent::SnapshotSent
        ]
    );
    bench.add(3);
    bench.hub.del(&uid(1));
    assert_eq!(bench.drain(id), [add_event(3), del_event(1)]);
}

#[test]
fn nothing_is_sent_before_the_hello_nor_before_the_last_answer() {
    let mut bench = Bench::default();
    bench.add(1);
    let id = bench.hub.connected();
    assert_eq!(bench.hub.poll_send(id), None);
    bench.hub.packet(id, &encode_hello()).expect("hello");
    assert_eq!(bench.hub.poll_send(id), Some(add_event(1)));
    assert!(bench.hub.awaits_answer(id));
    assert_eq!(bench.hub.poll_send(id), None);
}

#[test]
fn an_add_waits_for_a_ztunnel_and_ends_with_its_answer() {
    let mut bench = Bench::default();
    let ticket = bench.add(1);
    assert_eq!(bench.hub.take_outcomes(), []);
    let id = bench.greet();
    bench.drain(id);
    assert_eq!(bench.hub.take_outcomes(), [(ticket, Outcome::Done)]);

    let refused = Refused("port 15001 in use".to_owned());
    let ticket = bench.add(2);
    bench.hub.poll_send(id);
    bench.answer(id, &Err(refused.clone()));
    assert_eq!(bench.hub.take_outcomes(), [(ticket, Outcome::Refused(refused))]);
}

#[test]
fn adds_go_to_the_newest_and_dels_to_all() {
    let mut bench = Bench::default();
    let old = bench.greet();
    bench.drain(old);
    let new = bench.greet();
    bench.drain(new);

    let add = bench.add(1);
    assert_eq!(bench.drain(old), []);
    assert_eq!(bench.drain(new), [add_event(1)]);
    assert_eq!(bench.hub.take_outcomes(), [(add, Outcome::Done)]);

    let del = bench.hub.del(&uid(1));
    assert_eq!(bench.drain(new), [del_event(1)]);
    assert_eq!(
        bench.hub.take_outcomes(),
        [],
        "the older ztunnel may still hold the pod"
    );
    assert_eq!(bench.drain(old), [del_event(1)]);
    assert_eq!(bench.hub.take_outcomes(), [(del, Outcome::Done)]);
}

#[test]
fn the_answer_of_a_ztunnel_that_is_no_longer_the_newest_does_not_count() {
    let mut bench = Bench::default();
    let old = bench.greet();
    bench.drain(old);
    let add = bench.add(1);
    assert_eq!(bench.hub.poll_send(old), Some(add_event(1)));
    let new = bench.greet();
    bench.answer(old, &Ok(()));
    assert_eq!(bench.hub.take_outcomes(), []);
    bench.drain(new);
    assert_eq!(bench.hub.take_outcomes(), [(add, Outcome::Done)]);
}

#[test]
fn when_the_newest_leaves_the_next_gets_what_it_lacks() {
    let mut bench = Bench::default();
    bench.add(1);
    let old = bench.greet();
    bench.drain(old);
    let new = bench.greet();
    bench.drain(new);
    bench.add(2);
    bench.drain(new);
    let pending = bench.add(3);
    bench.hub.poll_send(new);
    bench.hub.take_outcomes();
    bench.hub.disconnected(new);
    assert_eq!(bench.drain(old), [add_event(2), add_event(3)]);
    assert_eq!(bench.hub.take_outcomes(), [(pending, Outcome::Done)]);
}

#[test]
fn a_del_overtakes_an_add_that_was_not_sent() {
    let mut bench = Bench::default();
    let id = bench.greet();
    let add = bench.add(1);
    let del = bench.hub.del(&uid(1));
    assert_eq!(bench.hub.take_outcomes(), [(add, Outcome::Removed)]);
    assert_eq!(bench.drain(id), [PodEvent::SnapshotSent, del_event(1)]);
    assert_eq!(bench.hub.take_outcomes(), [(del, Outcome::Done)]);
}

#[test]
fn a_late_answer_to_an_older_add_does_not_confirm_the_newer_one() {
    let mut bench = Bench::default();
    let id = bench.greet();
    bench.drain(id);
    bench.add(1);
    bench.hub.poll_send(id);
    bench.hub.del(&uid(1));
    bench.hub.take_outcomes();
    let again = bench.hub.add(uid(1), info(1), Some(9));
    bench.answer(id, &Ok(()));
    assert_eq!(bench.hub.take_outcomes(), []);
    assert_eq!(bench.drain(id).len(), 2);
    let outcomes = bench.hub.take_outcomes();
    assert!(outcomes.contains(&(again, Outcome::Done)), "{outcomes:?}");
}

#[test]
fn an_overdue_answer_ends_the_add_and_the_connection() {
    let mut bench = Bench::default();
    let id = bench.greet();
    bench.drain(id);
    let add = bench.add(1);
    bench.hub.poll_send(id);
    bench.hub.answer_overdue(id);
    assert_eq!(bench.hub.take_outcomes(), [(add, Outcome::NoAnswer)]);
    assert_eq!(bench.hub.greeted(), 0);
    let next = bench.greet();
    assert_eq!(
        bench.drain(next),
        [add_event(1), PodEvent::SnapshotSent],
        "the pod stays enrolled"
    );
}

#[test]
fn a_del_needs_no_ztunnel_and_does_not_wait_for_one_that_left() {
    let mut bench = Bench::default();
    let del = bench.hub.del(&uid(1));
    assert_eq!(bench.hub.take_outcomes(), [(del, Outcome::Done)]);
    let id = bench.greet();
    let del = bench.hub.del(&uid(1));
    bench.hub.disconnected(id);
    assert_eq!(bench.hub.take_outcomes(), [(del, Outcome::Done)]);
}

#[test]
fn a_stray_answer_and_a_wrong_hello_are_the_peers_fault() {
    let mut bench = Bench::default();
    let id = bench.greet();
    assert_eq!(
        bench.hub.packet(id, &encode_answer(&Ok(()))),
        Err(PeerFault::StrayAck)
    );
    let id = bench.hub.connected();
    let error = bench.hub.packet(id, &[8, 3]).expect_err("version 3");
    assert_eq!(error, PeerFault::Invalid(InvalidPacket::Version(3)));
}

/// Any interleaving of changes, connections and answers leaves the newest ztunnel with exactly the enrolled pods.
#[test]
fn every_interleaving_ends_with_the_truth() {
    for seed in 0..400_u64 {
        let mut state = seed;
        let mut random = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut bench = Bench::default();
        let mut open: Vec<(ConnectionId, BTreeSet<PodUid>)> = Vec::new();
        let mut tickets = BTreeSet::new();
        for _ in 0..120 {
            match random(6) {
                0 => drop(tickets.insert(bench.add(random(5) as u8))),
                1 => drop(tickets.insert(bench.hub.del(&uid(random(5) as u8)))),
                2 if open.len() < 3 => open.push((bench.greet(), BTreeSet::new())),
                3 if !open.is_empty() && random(4) == 0 => {
                    let at = random(open.len() as u64) as usize;
                    bench.hub.disconnected(open.remove(at).0);
                }
                _ if !open.is_empty() => {
                    let at = random(open.len() as u64) as usize;
                    step(&mut bench, &mut open[at]);
                }
                _ => {}
            }
        }
        if open.is_empty() {
            open.push((bench.greet(), BTreeSet::new()));
        }
        for connection in &mut open {
            while step(&mut bench, connection) {}
        }
        let enrolled: BTreeSet<_> = bench.hub.roster.keys().cloned().collect();
        assert_eq!(open.last().expect("one").1, enrolled, "seed {seed}");
        let ended: BTreeSet<_> = bench.hub.take_outcomes().into_iter().map(|(t, _)| t).collect();
        assert_eq!(ended, tickets, "seed {seed}: every request has an outcome");
    }

    fn step(bench: &mut Bench, (id, pods): &mut (ConnectionId, BTreeSet<PodUid>)) -> bool {
        let Some(event) = bench.hub.poll_send(*id) else {
            return false;
        };
        match event {
            PodEvent::Add { uid, .. } | PodEvent::Keep { uid } => drop(pods.insert(uid)),
            PodEvent::Del { uid } => drop(pods.remove(&uid)),
            PodEvent::SnapshotSent => {}
        }
        bench.answer(*id, &Ok(()));
        true
    }
}
