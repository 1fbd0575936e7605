use super::*;
use crate::model::{Membership, Options, Redirection};

fn session() -> ClientSession {
    ClientSession::new(Hello {
        instance: "i".to_owned(),
        version: "v".to_owned(),
    })
}

fn name(name: &str) -> NamespacedName {
    NamespacedName::new("default", name)
}

fn report(workload: &str, uid: &str) -> Report {
    Report {
        workload: name(workload),
        uid: uid.to_owned(),
        addresses: vec!["10.0.0.1".parse().unwrap()],
        redirection: Redirection::Enabled,
        network_ready: true,
    }
}

fn withdrawal(workload: &str, uid: &str) -> Withdrawal {
    Withdrawal {
        workload: name(workload),
        uid: uid.to_owned(),
    }
}

fn assignment(workload: &str, account: &str) -> Assignment {
    Assignment {
        workload: name(workload),
        service_account: account.into(),
        membership: Membership::Member,
        options: Options::default(),
    }
}

fn receive(session: &mut ClientSession, response: Response) -> Vec<Effect> {
    session.receive(response.into()).unwrap()
}

/// What is sent now, in words.
fn sent(session: &mut ClientSession) -> Vec<String> {
    std::iter::from_fn(|| session.next_request())
        .map(|request| match Request::try_from(request).unwrap() {
            Request::Hello(hello) => format!("hello {}", hello.instance),
            Request::Report(id, report) => format!("report {id} {}", report.unwrap().uid),
            Request::Withdraw(id, withdrawal) => format!("withdraw {id} {}", withdrawal.unwrap().uid),
            Request::Renew => "renew".to_owned(),
        })
        .collect()
}

fn open(session: &mut ClientSession) {
    session.opened();
    assert_eq!(sent(session), ["hello i"]);
    let welcome = Response::Welcome {
        lease_seconds: 30,
        place: "n1".to_owned(),
    };
    receive(session, welcome);
}

fn events(effects: Vec<Effect>) -> Vec<AssignmentEvent> {
    let event = |effect| match effect {
        Effect::Event(event) => event,
        other => panic!("no event: {other:?}"),
    };
    effects.into_iter().map(event).collect()
}

#[test]
fn everything_is_told_again_on_every_stream() {
    let mut session = session();
    let (ticket, _) = session.report(report("a", "1"));
    assert_eq!(sent(&mut session), [""; 0]);
    open(&mut session);
    assert_eq!(sent(&mut session), ["report 1 1"]);
    let effects = receive(&mut session, Response::Ack(1, Outcome::Accepted));
    assert_eq!(effects, [Effect::Resolved(ticket, Ok(()))]);
    assert_eq!(session.reports(), (1, 1));
    session.closed();
    open(&mut session);
    assert_eq!(session.reports(), (1, 0));
    assert_eq!(sent(&mut session), ["report 2 1"]);
}

#[test]
fn a_withdrawal_is_told_until_it_is_confirmed() {
    let mut session = session();
    open(&mut session);
    session.report(report("a", "1"));
    assert_eq!(sent(&mut session), ["report 1 1"]);
    receive(&mut session, Response::Ack(1, Outcome::Accepted));
    let (ticket, _) = session.withdraw(withdrawal("a", "1"));
    assert_eq!(sent(&mut session), ["withdraw 2 1"]);
    session.closed();
    open(&mut session);
    assert_eq!(sent(&mut session), ["withdraw 3 1"]);
    // What is not known there needs no withdrawal.
    let effects = receive(&mut session, Response::Ack(3, Outcome::NotAssigned));
    assert_eq!(effects, [Effect::Resolved(ticket, Ok(()))]);
    session.closed();
    open(&mut session);
    assert_eq!(sent(&mut session), [""; 0]);
}

#[test]
fn a_withdrawal_replaces_the_report_of_its_instance_only() {
    let mut session = session();
    let (old, _) = session.report(report("a", "1"));
    session.report(report("a", "2"));
    let (_, effects) = session.withdraw(withdrawal("a", "1"));
    assert_eq!(effects, [Effect::Resolved(old, Err(ReportError::Replaced))]);
    open(&mut session);
    assert_eq!(sent(&mut session), ["withdraw 1 1", "report 2 2"]);
}

#[test]
fn only_the_answer_to_the_newest_report_counts() {
    let mut session = session();
    open(&mut session);
    let (first, _) = session.report(report("a", "1"));
    assert_eq!(sent(&mut session), ["report 1 1"]);
    let (second, _) = session.report(report("a", "1"));
    assert_eq!(sent(&mut session), ["report 2 1"]);
    assert_eq!(receive(&mut session, Response::Ack(1, Outcome::Accepted)), []);
    let effects = receive(&mut session, Response::Ack(2, Outcome::Accepted));
    assert_eq!(
        effects,
        [Effect::Resolved(first, Ok(())), Effect::Resolved(second, Ok(()))]
    );
}

#[test]
fn a_workload_that_is_not_assigned_is_told_again_when_it_is() {
    let mut session = session();
    open(&mut session);
    let (ticket, _) = session.report(report("a", "1"));
    assert_eq!(sent(&mut session), ["report 1 1"]);
    let effects = receive(&mut session, Response::Ack(1, Outcome::NotAssigned));
    assert_eq!(effects, [Effect::Resolved(ticket, Err(ReportError::NotAssigned))]);
    session.retry();
    assert_eq!(sent(&mut session), [""; 0]);
    receive(&mut session, Response::Assign(Ok(assignment("a", "sa"))));
    assert_eq!(sent(&mut session), ["report 2 1"]);
}

#[test]
fn what_cannot_be_taken_now_is_told_again_later() {
    let mut session = session();
    open(&mut session);
    session.report(report("a", "1"));
    assert_eq!(sent(&mut session), ["report 1 1"]);
    receive(
        &mut session,
        Response::Ack(1, Outcome::Unavailable("busy".to_owned())),
    );
    assert_eq!(sent(&mut session), [""; 0]);
    session.retry();
    session.renew();
    assert_eq!(sent(&mut session), ["renew", "report 2 1"]);
}

#[test]
fn a_refused_report_stays_refused_until_it_changes() {
    let mut session = session();
    open(&mut session);
    let (ticket, _) = session.report(report("a", "1"));
    assert_eq!(sent(&mut session), ["report 1 1"]);
    let why = "report.addresses[0]: is another node's".to_owned();
    let effects = receive(&mut session, Response::Ack(1, Outcome::Invalid(why.clone())));
    assert_eq!(
        effects,
        [Effect::Resolved(ticket, Err(ReportError::Invalid(why)))]
    );
    session.retry();
    assert_eq!(sent(&mut session), [""; 0]);
    session.report(report("a", "1"));
    assert_eq!(sent(&mut session), ["report 2 1"]);
}

#[test]
fn requests_without_an_answer_are_bounded() {
    let mut session = session();
    open(&mut session);
    for n in 0..200 {
        session.report(report("a", &format!("{n:03}")));
    }
    assert_eq!(sent(&mut session).len(), MAX_IN_FLIGHT);
    receive(&mut session, Response::Ack(1, Outcome::Accepted));
    assert_eq!(sent(&mut session).len(), 1);
    session.renew();
    assert_eq!(sent(&mut session), ["renew"]);
}

#[test]
fn across_streams_only_differences_are_events() {
    let mut session = session();
    open(&mut session);
    for (workload, account) in [("a", "1"), ("b", "1"), ("c", "1")] {
        receive(&mut session, Response::Assign(Ok(assignment(workload, account))));
    }
    assert_eq!(
        events(receive(&mut session, Response::SnapshotComplete)),
        [AssignmentEvent::SnapshotComplete]
    );
    assert_eq!(session.closed(), Some(AssignmentEvent::Disconnected));
    assert_eq!(session.closed(), None);
    open(&mut session);
    assert_eq!(
        receive(&mut session, Response::Assign(Ok(assignment("a", "1")))),
        []
    );
    let changed = receive(&mut session, Response::Assign(Ok(assignment("b", "2"))));
    assert_eq!(events(changed), [AssignmentEvent::Assign(assignment("b", "2"))]);
    assert_eq!(
        events(receive(&mut session, Response::SnapshotComplete)),
        [
            AssignmentEvent::Unassign(name("c")),
            AssignmentEvent::SnapshotComplete
        ]
    );
    assert_eq!(
        events(receive(&mut session, Response::Unassign(name("a")))),
        [AssignmentEvent::Unassign(name("a"))]
    );
    assert_eq!(receive(&mut session, Response::Unassign(name("a"))), []);
}

#[test]
fn a_malformed_assignment_leaves_what_was_known() {
    let mut session = session();
    open(&mut session);
    receive(&mut session, Response::Assign(Ok(assignment("a", "1"))));
    receive(&mut session, Response::SnapshotComplete);
    session.closed();
    open(&mut session);
    let mut bad = assignment("a", "1");
    bad.options.reroute_virtual_interfaces = vec!["eth0; flush".to_owned()];
    assert_eq!(receive(&mut session, Response::Assign(Ok(bad))), []);
    assert_eq!(
        events(receive(&mut session, Response::SnapshotComplete)),
        [AssignmentEvent::SnapshotComplete]
    );
    assert_eq!(session.assigned().count(), 1);
}

#[test]
fn messages_out_of_order_end_the_stream() {
    let mut session = session();
    session.opened();
    sent(&mut session);
    let refused = session.receive(Response::SnapshotComplete.into()).unwrap_err();
    assert_eq!(refused.to_string(), "payload: came out of order");
    session.closed();
    open(&mut session);
    let welcome = Response::Welcome {
        lease_seconds: 1,
        place: "n1".to_owned(),
    };
    assert_eq!(session.receive(welcome.into()).unwrap_err().field, "welcome");
    assert_eq!(
        session
            .receive(Response::Ack(9, Outcome::Accepted).into())
            .unwrap_err()
            .field,
        "ack.id"
    );
    receive(&mut session, Response::SnapshotComplete);
    assert_eq!(
        session
            .receive(Response::SnapshotComplete.into())
            .unwrap_err()
            .field,
        "snapshot_complete"
    );
}
