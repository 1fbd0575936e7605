use std::path::PathBuf;

use mesh_net::NetnsId;
use mesh_register::{Membership, Options};

use super::*;

/// A world in which every operation succeeds unless told otherwise.
struct Bench {
    state: State,
    log: Vec<String>,
    started: Vec<(PodKey, Epoch, Operation)>,
    host: Vec<BTreeSet<IpAddr>>,
    answers: BTreeMap<RequestId, Answer>,
    persisted: Vec<Record>,
}

impl Bench {
    fn new() -> Self {
        Self::restored(Vec::new())
    }

    fn restored(records: Vec<Record>) -> Self {
        let mut bench = Self {
            state: State::restore(records.clone(), Authority::ControlPlane),
            log: Vec::new(),
            started: Vec::new(),
            host: Vec::new(),
            answers: BTreeMap::new(),
            persisted: records,
        };
        bench.event(Event::Audit);
        bench
    }

    /// With the control plane's snapshot of these assignments.
    fn with(assignments: &[Assignment]) -> Self {
        let mut bench = Self::new();
        bench.snapshot(assignments);
        bench.settle();
        bench.log.clear();
        bench
    }

    fn snapshot(&mut self, assignments: &[Assignment]) {
        self.event(Event::Connected);
        for assignment in assignments {
            self.assign(assignment.clone());
        }
        self.event(Event::Assignment(AssignmentEvent::SnapshotComplete));
    }

    fn assign(&mut self, assignment: Assignment) {
        self.event(Event::Assignment(AssignmentEvent::Assign(assignment)));
    }

    fn event(&mut self, event: Event) {
        for action in self.state.decide(event) {
            match action {
                Action::Persist => self.persisted = self.state.records().cloned().collect(),
                Action::Start(key, epoch, operation) => {
                    // What is begun was written down before.
                    if let Operation::EnsureRules(_) = operation {
                        assert!(
                            self.persisted
                                .iter()
                                .any(|r| r.key == key && r.enrolment.is_some()),
                            "rules before the record"
                        );
                    }
                    self.log.push(format!("{} {operation:?}", key.0));
                    self.started.push((key, epoch, operation));
                }
                Action::SetHost(addresses) => self.host.push(addresses),
                Action::Answer(request, answer) => {
                    let before = self.answers.insert(request, answer);
                    assert_eq!(before, None, "one answer a request");
                }
                Action::RetryAfter(key, epoch, _) => self.log.push(format!("{} rests {epoch:?}", key.0)),
                Action::RetryHostAfter(_) => self.log.push("host rests".to_owned()),
                Action::Search(sought) => {
                    let keys: Vec<_> = sought.iter().map(|pod| pod.key.0.as_str()).collect();
                    self.log.push(format!("search {}", keys.join(" ")));
                }
                Action::RetrySearchAfter(_) => self.log.push("search rests".to_owned()),
                Action::Forget(key) => self.log.push(format!("{} forgotten", key.0)),
            }
        }
    }

    /// Ends the oldest operation; false when there is none.
    fn end(&mut self, result: Result<(), Failure>) -> bool {
        if let Some(addresses) = self.host.pop() {
            self.event(Event::HostDone(addresses, Ok(())));
            return true;
        }
        if self.started.is_empty() {
            return false;
        }
        let (key, epoch, _) = self.started.remove(0);
        self.event(Event::Done(key, epoch, result));
        true
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            if !self.end(Ok(())) {
                return;
            }
        }
        panic!("the agent does not come to rest: {:?}", self.log);
    }

    fn retry(&mut self, key: &str) {
        let key = PodKey(key.to_owned());
        for epoch in 0..=self.state.epoch {
            self.event(Event::Retry(key.clone(), Epoch(epoch)));
        }
    }

    fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

fn record(n: u8) -> Record {
    Record {
        key: PodKey(format!("uid-{n}")),
        pod: NamespacedName::new("shop", format!("web-{n}")),
        container_id: Some(format!("box-{n}")),
        netns_path: PathBuf::from(format!("/run/netns/{n}")),
        netns: NetnsId {
            dev: 4,
            inode: n.into(),
        },
        ips: vec![IpAddr::from([10, 0, 0, n])],
        enrolment: None,
        older: Vec::new(),
    }
}

fn assignment(n: u8, membership: Membership) -> Assignment {
    Assignment {
        workload: record(n).pod,
        service_account: "web".into(),
        membership,
        options: Options::default(),
    }
}

fn member(n: u8) -> Assignment {
    assignment(n, Membership::Member)
}

fn outsider(n: u8) -> Assignment {
    assignment(n, Membership::Outside)
}

fn enrolled(n: u8) -> Record {
    Record {
        enrolment: pod::enrolment(&member(n)),
        ..record(n)
    }
}

fn sandbox(n: u8) -> SandboxName {
    SandboxName {
        container_id: format!("box-{n}"),
        pod: Some(record(n).pod),
    }
}

const RULES: &str = "EnsureRules(Settings { bypass_inbound_capture: false, dns_capture: None, reroute_virtual_interfaces: [] })";
const ADD: &str = "ProxyAdd(Role { service_account: \"web\" })";

fn steps(n: u8, operations: &[&str]) -> Vec<String> {
    operations.iter().map(|o| format!("uid-{n} {o}")).collect()
}

#[test]
fn a_starting_member_gets_rules_before_ztunnel_and_its_answer_last() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    assert_eq!(bench.persisted, [enrolled(1)]);
    for step in [RULES, ADD, "Report(Enabled)"] {
        assert_eq!(bench.take_log(), steps(1, &[step]));
        assert!(bench.answers.is_empty(), "not before {step} is done");
        while !bench.host.is_empty() {
            bench.end(Ok(()));
        }
        bench.end(Ok(()));
        while !bench.host.is_empty() {
            bench.end(Ok(()));
        }
    }
    assert_eq!(bench.answers[&RequestId(1)], Answer::Done);
    assert_eq!(bench.state.counts().enrolled, 1);
}

#[test]
fn a_starting_outsider_is_reported_plain_and_touched_no_further() {
    let mut bench = Bench::with(&[outsider(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    assert_eq!(bench.take_log(), steps(1, &["Report(Plain)"]));
    assert_eq!(bench.answers[&RequestId(1)], Answer::Done);
}

#[test]
fn without_an_assignment_nothing_is_begun_and_the_add_fails_with_the_reason() {
    let mut bench = Bench::new();
    bench.settle();
    for (request, told, reason) in [
        (1, false, "control plane cannot be reached"),
        (2, true, "has not assigned pod shop/web-1"),
    ] {
        if told {
            bench.snapshot(&[member(2)]);
        }
        bench.event(Event::Add(RequestId(request), record(1)));
        bench.event(Event::Deadline(RequestId(request)));
        let Answer::Unavailable(text) = &bench.answers[&RequestId(request)] else {
            panic!("{:?}", bench.answers);
        };
        assert!(text.contains(reason), "{text}");
        bench.settle();
        assert!(
            !bench
                .take_log()
                .iter()
                .any(|l| l.contains("Rules") || l.contains("Report"))
        );
    }
}

#[test]
fn an_add_that_came_first_is_served_when_the_assignment_comes() {
    let mut bench = Bench::with(&[]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    assert!(bench.answers.is_empty());
    bench.assign(member(1));
    bench.settle();
    assert_eq!(bench.answers[&RequestId(1)], Answer::Done);
}

#[test]
fn an_absent_ztunnel_fails_the_add_and_leaves_the_pod_closed() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    while bench
        .started
        .first()
        .is_none_or(|(_, _, o)| !matches!(o, Operation::ProxyAdd(_)))
    {
        bench.end(Ok(()));
    }
    bench.end(Err(Failure::Unavailable("no ztunnel".to_owned())));
    bench.event(Event::Deadline(RequestId(1)));
    assert_eq!(
        bench.answers[&RequestId(1)],
        Answer::Unavailable("no ztunnel".to_owned())
    );
    bench.settle();
    assert!(!bench.take_log().iter().any(|l| l.contains("RemoveRules")));
    // And it goes on by itself.
    bench.retry("uid-1");
    bench.settle();
    assert_eq!(bench.state.counts().enrolled, 1);
}

#[test]
fn a_reason_stands_until_what_failed_succeeds() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    while bench
        .started
        .first()
        .is_none_or(|(_, _, o)| !matches!(o, Operation::ProxyAdd(_)))
    {
        bench.end(Ok(()));
    }
    bench.end(Err(Failure::Unavailable("no ztunnel".to_owned())));
    // Meanwhile the rules are looked at, and are in order.
    bench.event(Event::Audit);
    bench.retry("uid-1");
    bench.end(Ok(()));
    bench.end(Ok(()));
    bench.event(Event::Deadline(RequestId(1)));
    assert_eq!(
        bench.answers[&RequestId(1)],
        Answer::Unavailable("no ztunnel".to_owned())
    );
}

#[test]
fn rules_that_cannot_be_set_fail_the_add_at_once() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.host.clear();
    bench.end(Err(Failure::Refused("no IPv6 rules".to_owned())));
    assert_eq!(
        bench.answers[&RequestId(1)],
        Answer::Refused("no IPv6 rules".to_owned())
    );
}

#[test]
fn a_running_pod_meets_its_proxy_before_its_rules() {
    let mut bench = Bench::with(&[outsider(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.take_log();
    bench.assign(member(1));
    bench.settle();
    assert_eq!(bench.take_log(), steps(1, &[ADD, RULES, "Report(Enabled)"]));
    assert_eq!(bench.persisted, [enrolled(1)]);
}

#[test]
fn a_pod_that_leaves_is_announced_plain_before_it_loses_its_proxy() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.take_log();
    bench.assign(outsider(1));
    bench.settle();
    assert_eq!(
        bench.take_log(),
        steps(
            1,
            &[
                "Report(Plain)",
                "ReleaseRules",
                "Drain(Usual)",
                "RemoveRules",
                "ProxyDel"
            ]
        )
    );
    assert_eq!(bench.persisted, [record(1)]);
    assert_eq!(bench.state.host.done, Some(BTreeSet::new()));
}

#[test]
fn a_change_of_mind_half_way_out_leads_back_in() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.assign(outsider(1));
    bench.end(Ok(()));
    bench.end(Ok(()));
    bench.assign(member(1));
    bench.settle();
    assert_eq!(bench.state.counts().enrolled, 1);
    assert_eq!(bench.persisted, [enrolled(1)]);
}

#[test]
fn another_service_account_takes_the_pod_from_ztunnel_first() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.take_log();
    bench.assign(Assignment {
        service_account: "other".into(),
        ..member(1)
    });
    bench.settle();
    let add = "ProxyAdd(Role { service_account: \"other\" })";
    assert_eq!(bench.take_log(), steps(1, &["ProxyDel", add]));
}

#[test]
fn an_unassignment_leaves_a_running_pod_in_the_mesh() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.take_log();
    bench.event(Event::Assignment(AssignmentEvent::Unassign(record(1).pod)));
    bench.event(Event::Assignment(AssignmentEvent::Disconnected));
    bench.settle();
    assert_eq!(bench.take_log(), Vec::<String>::new());
    assert_eq!(bench.state.counts().enrolled, 1);
}

#[test]
fn a_del_takes_the_pod_back_and_withdraws_it_and_nothing_is_left() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.take_log();
    bench.event(Event::Del(RequestId(2), sandbox(1)));
    assert_eq!(bench.answers.get(&RequestId(2)), None);
    bench.settle();
    let mut expected = steps(1, &["ProxyDel", "Withdraw"]);
    expected.push("uid-1 forgotten".to_owned());
    assert_eq!(bench.take_log(), expected);
    assert_eq!(bench.answers[&RequestId(2)], Answer::Done);
    assert!(bench.persisted.is_empty());
}

#[test]
fn a_del_succeeds_while_the_control_plane_is_away_and_is_done_later() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.event(Event::Del(RequestId(2), sandbox(1)));
    while bench
        .started
        .first()
        .is_none_or(|(_, _, o)| *o != Operation::Withdraw)
    {
        bench.end(Ok(()));
    }
    bench.end(Err(Failure::Unavailable("away".to_owned())));
    bench.event(Event::Deadline(RequestId(2)));
    assert_eq!(bench.answers[&RequestId(2)], Answer::Done);
    assert_eq!(bench.state.records().count(), 1, "still to be withdrawn");
    bench.retry("uid-1");
    bench.settle();
    assert_eq!(bench.state.records().count(), 0);
}

#[test]
fn a_del_of_what_nobody_knows_and_of_an_older_sandbox_succeeds_and_does_nothing() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Del(RequestId(1), sandbox(1)));
    assert_eq!(bench.answers[&RequestId(1)], Answer::Done);
    bench.event(Event::Add(RequestId(2), record(1)));
    bench.settle();
    let older = SandboxName {
        container_id: "box-of-before".to_owned(),
        pod: Some(record(1).pod),
    };
    bench.event(Event::Del(RequestId(3), older));
    bench.settle();
    assert_eq!(bench.state.counts().enrolled, 1);
}

#[test]
fn a_del_during_enrolment_overtakes_it() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    let overtaken = bench.started.remove(0);
    bench.event(Event::Del(RequestId(2), sandbox(1)));
    bench.settle();
    bench.event(Event::Done(overtaken.0, overtaken.1, Ok(())));
    assert_eq!(bench.state.records().count(), 0);
    assert!(matches!(bench.answers[&RequestId(1)], Answer::Refused(_)));
    assert_eq!(bench.answers[&RequestId(2)], Answer::Done);
}

#[test]
fn an_address_given_to_another_pod_ends_the_one_whose_del_was_missed() {
    let mut bench = Bench::with(&[member(1), member(2)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    let heir = Record {
        ips: record(1).ips,
        ..record(2)
    };
    bench.event(Event::Add(RequestId(2), heir));
    bench.settle();
    let keys: Vec<_> = bench.state.records().map(|r| r.key.0.clone()).collect();
    assert_eq!(keys, ["uid-2"]);
    assert_eq!(bench.answers[&RequestId(2)], Answer::Done);
}

#[test]
fn a_new_sandbox_of_the_same_pod_starts_from_nothing() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.take_log();
    let again = Record {
        container_id: Some("box-1b".to_owned()),
        netns: NetnsId { dev: 4, inode: 77 },
        ..record(1)
    };
    bench.event(Event::Add(RequestId(2), again));
    bench.settle();
    assert_eq!(bench.take_log(), steps(1, &[RULES, ADD, "Report(Enabled)"]));
    // The DEL of the old one comes late.
    bench.event(Event::Del(RequestId(3), sandbox(1)));
    bench.settle();
    assert_eq!(bench.state.counts().enrolled, 1);
}

#[test]
fn the_same_add_twice_is_one_enrolment_and_two_answers() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.event(Event::Add(RequestId(2), record(1)));
    bench.settle();
    assert_eq!(bench.answers.len(), 2);
    assert_eq!(bench.state.counts().enrolled, 1);
}

#[test]
fn after_a_restart_everything_is_checked_handed_over_and_reported_again() {
    let mut bench = Bench::restored(vec![enrolled(1), record(2)]);
    bench.settle();
    // Without the control plane what was begun is kept up; who is outside waits.
    assert_eq!(
        bench.take_log(),
        [
            format!("uid-1 {RULES}"),
            "uid-2 EnsureNamespace".to_owned(),
            format!("uid-1 {ADD}"),
            "uid-1 Report(Enabled)".to_owned(),
        ]
    );
    bench.snapshot(&[member(1), outsider(2)]);
    bench.settle();
    assert_eq!(bench.take_log(), ["uid-2 Report(Plain)"]);
}

#[test]
fn a_restart_within_an_enrolment_leaves_the_pod_closed_and_goes_on() {
    let mut before = Bench::with(&[member(1)]);
    before.event(Event::Add(RequestId(1), record(1)));
    // Rules are being installed; nothing was answered, so no container has started.
    let mut after = Bench::restored(before.persisted);
    after.snapshot(&[member(1)]);
    after.settle();
    assert!(!after.take_log().iter().any(|l| l.contains("RemoveRules")));
    assert_eq!(after.state.counts().enrolled, 1);
}

#[test]
fn a_restart_within_a_reversal_finishes_it() {
    let mut bench = Bench::restored(vec![enrolled(1)]);
    bench.snapshot(&[outsider(1)]);
    bench.settle();
    assert_eq!(bench.state.counts().outside, 1);
    assert_eq!(bench.persisted, [record(1)]);
}

#[test]
fn a_pod_whose_namespace_is_gone_is_withdrawn() {
    let mut bench = Bench::restored(vec![enrolled(1)]);
    let (key, epoch, _) = bench.started.remove(0);
    bench.take_log();
    bench.event(Event::Done(key, epoch, Err(Failure::NamespaceGone)));
    bench.settle();
    let mut expected = steps(1, &["ProxyDel", "Withdraw"]);
    expected.push("uid-1 forgotten".to_owned());
    assert_eq!(bench.take_log(), expected);
}

#[test]
fn an_audit_looks_at_every_pod_and_at_the_node() {
    let mut bench = Bench::with(&[member(1), outsider(2)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.event(Event::Add(RequestId(2), record(2)));
    bench.settle();
    bench.take_log();
    bench.event(Event::Audit);
    assert_eq!(bench.host, [BTreeSet::from([IpAddr::from([10, 0, 0, 1])])]);
    bench.settle();
    let expected = [format!("uid-1 {RULES}"), "uid-2 EnsureNamespace".to_owned()];
    assert_eq!(bench.take_log(), expected);
}

#[test]
fn changed_rules_are_looked_at_at_once_and_those_of_others_are_not() {
    let mut bench = Bench::with(&[member(1), member(2)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.event(Event::Add(RequestId(2), record(2)));
    bench.settle();
    bench.take_log();
    bench.event(Event::RulesChanged(record(1).key));
    bench.event(Event::RulesChanged(PodKey("nobody".to_owned())));
    bench.settle();
    assert_eq!(bench.take_log(), [format!("uid-1 {RULES}")]);
}

#[test]
fn rules_that_change_while_they_are_looked_at_are_looked_at_again_once() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.take_log();
    bench.event(Event::RulesChanged(record(1).key));
    // The look has begun, and may have seen what was before.
    bench.event(Event::RulesChanged(record(1).key));
    bench.settle();
    let look = format!("uid-1 {RULES}");
    assert_eq!(bench.take_log(), [look.clone(), look]);
}

#[test]
fn a_check_looks_now() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Check(RequestId(1), sandbox(1)));
    assert!(matches!(bench.answers[&RequestId(1)], Answer::Refused(_)));
    bench.event(Event::Add(RequestId(2), record(1)));
    bench.settle();
    bench.event(Event::Check(RequestId(3), sandbox(1)));
    assert!(!bench.answers.contains_key(&RequestId(3)));
    bench.settle();
    assert_eq!(bench.answers[&RequestId(3)], Answer::Done);
}

#[test]
fn gc_ends_what_is_not_listed() {
    let mut bench = Bench::with(&[member(1), member(2)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.event(Event::Add(RequestId(2), record(2)));
    bench.settle();
    bench.event(Event::Gc(RequestId(3), BTreeSet::from(["box-2".to_owned()])));
    bench.settle();
    let keys: Vec<_> = bench.state.records().map(|r| r.key.0.clone()).collect();
    assert_eq!(keys, ["uid-2"]);
}

#[test]
fn the_nodes_rules_are_tried_again_but_not_in_a_hot_loop() {
    let mut bench = Bench::new();
    let addresses = bench.host.pop().expect("the node's rules come first");
    bench.event(Event::HostDone(addresses, Err("no nft".to_owned())));
    assert_eq!(
        (bench.take_log(), bench.host.len()),
        (vec!["host rests".to_owned()], 0)
    );
    bench.event(Event::RetryHost);
    assert_eq!(bench.host.len(), 1);
}

#[test]
fn a_state_file_that_cannot_be_written_fails_the_adds() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.event(Event::PersistFailed("disk full".to_owned()));
    assert!(matches!(&bench.answers[&RequestId(1)], Answer::Unavailable(text) if text.contains("disk full")));
}

/// Whatever happens in whatever order, with whatever failures: every request gets one answer, no ADD of a member is
/// granted before its rules, ztunnel and the registration are there, and the agent comes to rest where it should be.
#[test]
fn every_interleaving_ends_where_it_should() {
    for seed in 0..600_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut below = move |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let mut bench = Bench::new();
        let (mut requests, mut last) = (0, [None; 4]);
        for _ in 0..80 {
            let n = u8::try_from(below(4)).expect("small");
            requests += 1;
            let request = RequestId(requests);
            match below(13) {
                0 | 1 => bench.event(Event::Add(request, record(n))),
                2 => bench.event(Event::Del(request, sandbox(n))),
                3 => bench.event(Event::Check(request, sandbox(n))),
                4 => bench.event(Event::Audit),
                kind @ (5 | 6) => {
                    let membership = if kind == 5 {
                        Membership::Member
                    } else {
                        Membership::Outside
                    };
                    last[usize::from(n)] = Some(membership);
                    bench.assign(assignment(n, membership));
                }
                7 => bench.event(Event::Deadline(RequestId(1 + below(requests)))),
                8 => drop(bench.end(Err(Failure::Unavailable("away".to_owned())))),
                9 => drop(bench.end(Err(Failure::Refused("no".to_owned())))),
                11 => bench.event(Event::RulesChanged(record(n).key)),
                10 => bench.retry(&format!("uid-{n}")),
                _ => drop(bench.end(Ok(()))),
            }
        }
        for _ in 0..3 {
            bench.settle();
            (0..4).for_each(|n| bench.retry(&format!("uid-{n}")));
            bench.event(Event::RetryHost);
        }
        bench.settle();
        for record in bench.state.records() {
            let pod = &bench.state.pods[&record.key];
            let n: usize = record.key.0.trim_start_matches("uid-").parse().expect("a number");
            match last[n] {
                Some(Membership::Member) => assert!(pod.is_enrolled(), "seed {seed}: {record:?}"),
                Some(Membership::Outside) => assert_eq!(record.enrolment, None, "seed {seed}"),
                None => {}
            }
            // Only a pod that nobody assigned may still wait, for its deadline.
            assert!(pod.adds.is_empty() || last[n].is_none(), "seed {seed}");
            assert!(pod.dels.is_empty(), "seed {seed}");
        }
    }
}

/// What the API server says of a running pod.
fn instance(n: u8) -> Instance {
    Instance {
        uid: format!("uid-{n}"),
        ips: record(n).ips,
        redirection: None,
    }
}

/// As the search finds it.
fn found(n: u8) -> Record {
    Record {
        container_id: None,
        ..record(n)
    }
}

#[test]
fn a_running_pod_that_no_plugin_told_of_is_sought_and_enrolled_proxy_first() {
    let mut bench = Bench::with(&[]);
    bench.event(Event::Expect(outsider(1), instance(1)));
    bench.settle();
    assert_eq!(bench.take_log(), [""; 0], "nobody asks where an outsider is");
    bench.event(Event::Expect(member(1), instance(1)));
    assert_eq!(bench.take_log(), ["search uid-1"]);
    bench.event(Event::Expect(member(2), instance(2)));
    assert_eq!(bench.take_log(), [""; 0], "one search at a time");
    bench.event(Event::Searched(vec![found(1)]));
    bench.settle();
    let mut log = bench.take_log();
    let next = log.iter().position(|line| line == "search uid-2");
    log.remove(next.expect("the other one is looked for at once"));
    assert_eq!(log, steps(1, &[ADD, RULES, "Report(Enabled)"]));
    // Who is not found is looked for again after a while, and nobody else waits for that.
    bench.event(Event::Expect(member(3), instance(3)));
    bench.event(Event::Searched(Vec::new()));
    assert_eq!(bench.take_log(), ["search rests", "search uid-3"]);
    bench.event(Event::Searched(Vec::new()));
    assert_eq!(bench.take_log(), [""; 0], "one rest for both");
    bench.event(Event::RetrySearch);
    assert_eq!(bench.take_log(), ["search uid-2 uid-3"]);
    bench.event(Event::Expect(outsider(2), instance(2)));
    bench.event(Event::Expect(outsider(3), instance(3)));
    bench.event(Event::Searched(Vec::new()));
    bench.take_log();

    bench.event(Event::Expect(outsider(1), announced(1, Some("enabled"))));
    bench.settle();
    let leaving = steps(
        1,
        &[
            "Report(Plain)",
            "ReleaseRules",
            "Drain(Usual)",
            "RemoveRules",
            "ProxyDel",
        ],
    );
    assert_eq!(bench.take_log()[..5], leaving);
    assert_eq!(bench.state.counts().outside, 1);
}

#[test]
fn a_pod_without_addresses_is_still_to_be_added_and_one_that_is_added_is_not_sought() {
    let mut bench = Bench::with(&[]);
    let unborn = Instance {
        ips: Vec::new(),
        ..instance(1)
    };
    bench.event(Event::Expect(member(1), unborn));
    assert_eq!(bench.take_log(), [""; 0]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    assert_eq!(bench.take_log(), steps(1, &[RULES, ADD, "Report(Enabled)"]));
    bench.event(Event::Expect(member(1), announced(1, Some("enabled"))));
    bench.settle();
    assert_eq!(bench.take_log(), [""; 0]);
    assert_eq!(bench.answers[&RequestId(1)], Answer::Done);
}

#[test]
fn what_is_said_of_a_pods_predecessor_of_the_same_name_does_not_count_for_it() {
    let mut bench = Bench::with(&[]);
    let before = Instance {
        uid: "uid-0".to_owned(),
        ..instance(1)
    };
    bench.event(Event::Expect(outsider(1), before));
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    assert!(bench.answers.is_empty(), "outside is what the other was");
    bench.event(Event::Expect(member(1), instance(1)));
    bench.settle();
    assert_eq!(bench.answers[&RequestId(1)], Answer::Done);
    assert_eq!(bench.state.counts().enrolled, 1);
}

#[test]
fn a_pod_that_is_marked_and_does_not_belong_to_the_mesh_is_freed_of_what_it_may_have() {
    let mut bench = Bench::with(&[]);
    let marked = Instance {
        redirection: Some("enabled".to_owned()),
        ..instance(1)
    };
    bench.event(Event::Expect(outsider(1), marked));
    assert_eq!(bench.take_log(), ["search uid-1"]);
    bench.event(Event::Searched(vec![found(1)]));
    bench.settle();
    let leaving = steps(
        1,
        &["Report(Plain)", "ReleaseRules", "Drain(Usual)", "RemoveRules"],
    );
    assert_eq!(bench.take_log()[..4], leaving);
}

#[test]
fn a_pod_that_stopped_belonging_while_it_was_sought_is_let_be() {
    let mut bench = Bench::with(&[]);
    bench.event(Event::Expect(member(1), instance(1)));
    bench.event(Event::Expect(outsider(1), instance(1)));
    bench.take_log();
    bench.event(Event::Searched(vec![found(1)]));
    bench.settle();
    assert_eq!(bench.take_log(), [""; 0]);
    assert!(bench.persisted.is_empty());
}

#[test]
fn when_the_mesh_leaves_every_pod_does_and_none_joins() {
    let mut bench = Bench::restored(vec![enrolled(1)]);
    bench.snapshot(&[]);
    bench.event(Event::Expect(member(2), instance(2)));
    bench.event(Event::Searched(vec![found(2)]));
    bench.settle();
    bench.take_log();
    bench.event(Event::Leave);
    assert!(!bench.state.has_left());
    bench.event(Event::Expect(member(3), instance(3)));
    bench.settle();
    let log = bench.take_log();
    for n in [1, 2] {
        for step in steps(
            n,
            &["Report(Plain)", "ReleaseRules", "Drain(Leaving)", "RemoveRules"],
        ) {
            assert!(log.contains(&step), "{step}: {log:?}");
        }
    }
    assert!(bench.state.has_left() && !log.iter().any(|line| line.contains("search")));
}

#[test]
fn who_is_to_stay_while_its_connections_end_stays_at_once_and_the_end_of_the_wait_does_nothing() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.assign(outsider(1));
    let drain = loop {
        match bench.started.first() {
            Some((_, _, Operation::Drain(_))) => break bench.started.remove(0),
            _ => assert!(bench.end(Ok(()))),
        }
    };
    bench.take_log();
    bench.assign(outsider(1));
    assert_eq!(bench.take_log(), [""; 0], "nothing new: the wait goes on");
    bench.assign(member(1));
    assert_eq!(bench.take_log(), [format!("uid-1 {RULES}")]);
    bench.event(Event::Done(drain.0, drain.1, Ok(())));
    bench.settle();
    assert_eq!(bench.take_log(), ["uid-1 Report(Enabled)"]);
    assert_eq!(bench.state.counts().enrolled, 1);
}

#[test]
fn a_wait_for_connections_is_cut_short_when_the_mesh_leaves() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.assign(outsider(1));
    while !matches!(bench.started.first(), Some((_, _, Operation::Drain(_)))) {
        assert!(bench.end(Ok(())));
    }
    bench.take_log();
    bench.event(Event::Leave);
    assert_eq!(bench.take_log(), ["uid-1 Drain(Leaving)"]);
    bench.event(Event::Leave);
    assert_eq!(bench.take_log(), [""; 0]);
    bench.settle();
    assert!(bench.state.has_left());
}

/// As the API server shows a pod of which this is announced.
fn announced(n: u8, redirection: Option<&str>) -> Instance {
    Instance {
        redirection: redirection.map(str::to_owned),
        ..instance(n)
    }
}

#[test]
fn what_is_announced_is_put_right_when_somebody_else_changes_it_but_not_as_often_as_they_do() {
    for (assignment, right, wrong, report) in [
        (member(1), Some("enabled"), None, "uid-1 Report(Enabled)"),
        (outsider(1), None, Some("enabled"), "uid-1 Report(Plain)"),
    ] {
        let mut bench = Bench::with(&[]);
        bench.event(Event::Expect(assignment.clone(), instance(1)));
        bench.event(Event::Add(RequestId(1), record(1)));
        bench.settle();
        let say = |bench: &mut Bench, what| {
            bench.event(Event::Expect(assignment.clone(), announced(1, what)));
        };
        say(&mut bench, right);
        bench.settle();
        bench.take_log();
        let repaired = |log: &[String]| log.iter().any(|line| line == report);
        say(&mut bench, wrong);
        assert!(repaired(&bench.take_log()), "at once: {assignment:?}");
        bench.settle();
        say(&mut bench, right);
        say(&mut bench, wrong);
        bench.event(Event::Check(RequestId(2), sandbox(1)));
        bench.settle();
        assert!(!repaired(&bench.take_log()), "not at once again");
        assert!(
            !bench.answers.contains_key(&RequestId(2)),
            "nobody is told that it is in order"
        );
        bench.retry("uid-1");
        bench.settle();
        assert!(repaired(&bench.take_log()));
        assert_eq!(bench.answers[&RequestId(2)], Answer::Done);
    }
}

#[test]
fn what_others_say_while_a_report_is_under_way_counts_when_it_is_done() {
    let mut bench = Bench::with(&[]);
    bench.event(Event::Expect(member(1), instance(1)));
    bench.event(Event::Add(RequestId(1), record(1)));
    while !matches!(bench.started.first(), Some((_, _, Operation::Report(_)))) {
        assert!(bench.end(Ok(())));
    }
    bench.take_log();
    // Of before the report, then the report itself.
    bench.event(Event::Expect(member(1), announced(1, None)));
    bench.event(Event::Expect(member(1), announced(1, Some("enabled"))));
    bench.end(Ok(()));
    assert_eq!(bench.take_log(), [""; 0]);
    bench.event(Event::Expect(member(1), announced(1, Some("pending"))));
    assert!(bench.take_log().contains(&"uid-1 Report(Enabled)".to_owned()));
    bench.event(Event::Expect(member(1), announced(1, None)));
    bench.end(Ok(()));
    bench.retry("uid-1");
    assert!(
        bench.take_log().contains(&"uid-1 Report(Enabled)".to_owned()),
        "taken away meanwhile"
    );
}

#[test]
fn a_pod_that_a_new_ztunnel_refuses_is_handed_over_and_announced_again() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    bench.take_log();
    bench.event(Event::ProxyRefused(record(2).key));
    assert_eq!(bench.take_log(), [""; 0]);
    bench.event(Event::ProxyRefused(record(1).key));
    assert_eq!(bench.state.counts().enrolled, 0);
    assert_eq!(bench.take_log(), steps(1, &[ADD]));
    // Its own refusal is told twice.
    bench.event(Event::ProxyRefused(record(1).key));
    bench.end(Err(Failure::Refused("port 15008 is taken".to_owned())));
    bench.retry("uid-1");
    bench.settle();
    let log = bench.take_log();
    assert_eq!(
        log.last().map(String::as_str),
        Some("uid-1 Report(Enabled)"),
        "{log:?}"
    );
    assert_eq!(bench.state.counts().enrolled, 1);
}

#[test]
fn running_pods_are_looked_for_once_before_it_is_said_that_all_are_known() {
    let mut bench = Bench::new();
    assert!(!bench.state.is_surveyed());
    bench.event(Event::Connected);
    bench.event(Event::Expect(member(1), instance(1)));
    bench.event(Event::Assignment(AssignmentEvent::SnapshotComplete));
    assert!(!bench.state.is_surveyed(), "it is being looked for");
    bench.event(Event::Searched(vec![found(1)]));
    assert!(bench.state.is_surveyed());
    assert!(bench.state.records().all(|record| record.enrolment.is_some()));
}

#[test]
fn connections_of_before_are_written_down_until_the_pod_leaves() {
    let mut bench = Bench::with(&[member(1)]);
    bench.event(Event::Add(RequestId(1), record(1)));
    bench.settle();
    let connections: Vec<_> = (0..2000_u16)
        .map(|n| Connection {
            local: ([10, 0, 0, 1], 8080).into(),
            remote: ([10, 0, 0, 9], 10_000 + n).into(),
        })
        .collect();
    bench.event(Event::Older(record(1).key, connections.clone()));
    assert_eq!(
        bench.persisted[0].older,
        connections[..1024],
        "as many as are enough"
    );
    bench.assign(outsider(1));
    bench.settle();
    assert_eq!(bench.persisted, [record(1)]);
}
