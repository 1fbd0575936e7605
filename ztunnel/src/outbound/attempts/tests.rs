use std::borrow::Cow;

use mesh_dataplane::record::ResponseFlag;
use mesh_model::Workload;
use mesh_testkit::{pod, service};
use mesh_types::{NextHop, Strng};

use super::*;
use crate::outbound::plan::{Target, WaypointTrouble};

fn plan(name: &str, of_service: bool, via: Via) -> Plan {
    Plan::Plain(Target {
        next: NextHop::new("10.0.0.1:80".parse().unwrap()),
        workload: Some(Arc::new(pod(name).build())),
        service: of_service.then(|| Arc::new(service("web").build())),
        via,
    })
}

fn failure(retryable: bool, nobody: bool) -> ConnectFailure {
    ConnectFailure {
        flag: ResponseFlag::ConnectFailure,
        error: Cow::Borrowed("no"),
        retryable,
        nobody,
    }
}

const CLOSED: Via = Via::Waypoint { fail_open: false };
const OPEN: Via = Via::Waypoint { fail_open: true };

#[test]
fn a_service_gets_three_attempts_at_different_endpoints() {
    let mut attempts = Attempts::default();
    let gone = failure(true, true);
    assert!(attempts.again_after(&plan("a", true, Via::Nothing), &gone));
    assert!(attempts.again_after(&plan("b", true, Via::Nothing), &gone));
    assert!(!attempts.again_after(&plan("c", true, Via::Nothing), &gone));
    // The same again is no other.
    let mut attempts = Attempts::default();
    assert!(attempts.again_after(&plan("a", true, Via::Nothing), &gone));
    assert!(!attempts.again_after(&plan("a", true, Via::Nothing), &gone));
}

#[test]
fn what_another_endpoint_would_not_mend_is_not_tried_again() {
    let refused = failure(false, false);
    assert!(!Attempts::default().again_after(&plan("a", true, Via::Nothing), &refused));
    let gone = failure(true, true);
    // A workload that was asked for by its own address has no other.
    assert!(!Attempts::default().again_after(&plan("a", false, Via::Nothing), &gone));
    let unknown = Plan::Passthrough(NextHop::new("192.0.2.1:80".parse().unwrap()));
    assert!(!Attempts::default().again_after(&unknown, &gone));
}

#[test]
fn a_waypoint_has_other_endpoints_also_for_a_workload() {
    assert!(Attempts::default().again_after(&plan("a", false, CLOSED), &failure(true, true)));
}

#[test]
fn past_a_waypoint_that_is_not_there_goes_only_who_may() {
    let client = pod("client").build();
    let unreachable = |attempts: &Attempts| attempts.question(&client, to()).waypoint_unreachable;
    for (via, of_service, past) in [(OPEN, true, true), (OPEN, false, true), (CLOSED, true, false)] {
        let mut attempts = Attempts::default();
        let gone = failure(true, true);
        assert!(attempts.again_after(&plan("a", of_service, via.clone()), &gone));
        assert!(!unreachable(&attempts), "its other endpoints first");
        assert_eq!(attempts.again_after(&plan("a", of_service, via), &gone), past);
        assert_eq!(unreachable(&attempts), past);
    }
    // Somebody is there, and says no: that is an answer.
    let mut attempts = Attempts::default();
    assert!(!attempts.again_after(&plan("a", true, OPEN), &failure(false, false)));
    assert!(!unreachable(&attempts));
}

#[test]
fn past_a_waypoint_the_destination_has_attempts_of_its_own() {
    let mut attempts = Attempts::default();
    let gone = failure(true, true);
    for waypoint in ["a", "b", "c"] {
        assert!(attempts.again_after(&plan(waypoint, true, OPEN), &gone));
    }
    let past = Via::Past {
        waypoint: Strng::from("wp"),
        why: WaypointTrouble::Unreachable,
    };
    assert!(attempts.again_after(&plan("x", true, past.clone()), &gone));
    assert!(attempts.again_after(&plan("y", true, past.clone()), &gone));
    assert!(!attempts.again_after(&plan("z", true, past), &gone));
}

#[test]
fn an_endpoint_that_cannot_be_resolved_gives_way_to_others() {
    let refused = |uid: &str| Refused::Unresolved {
        workload: WorkloadUid::new(uid),
        error: "no".into(),
    };
    let mut attempts = Attempts::default();
    assert!(attempts.again_after_refusal(&refused("a")));
    assert!(!attempts.again_after_refusal(&refused("a")));
    assert!(!attempts.again_after_refusal(&Refused::SelfCall("127.0.0.1:15001".parse().unwrap())));
}

#[test]
fn chance_stays_the_same_until_the_next_attempt() {
    let mut attempts = Attempts::default();
    let drawn = |attempts: &Attempts| attempts.random().u64(..);
    assert_eq!(drawn(&attempts), drawn(&attempts));
    attempts.learn("a.example".into(), Ok(["192.0.2.1".parse().unwrap()].into()));
    let before = drawn(&attempts);
    assert_eq!(before, drawn(&attempts));
    assert!(attempts.again_after(&plan("a", true, Via::Nothing), &failure(true, true)));
    assert_ne!(before, drawn(&attempts));
    let client: Workload = pod("client").build();
    let question = attempts.question(&client, to());
    assert_eq!(question.names.len(), 1);
    assert_eq!(question.avoid.len(), 1);
}

fn to() -> OrigDst {
    OrigDst::new("10.96.0.1:80".parse().unwrap())
}
