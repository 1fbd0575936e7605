use controlplane_index::status::StatusReason;

use super::*;

const NOW: &str = "2026-11-21T15:00:00Z";

fn at(now: &str) -> At<'_> {
    At {
        now,
        count: Count::Done,
    }
}
const BEFORE: &str = "2026-11-20T00:00:00Z";

fn bound(holds: bool) -> StatusCondition {
    StatusCondition {
        kind: ConditionType::WaypointBound,
        holds,
        reason: if holds {
            StatusReason::WaypointAccepted
        } else {
            StatusReason::WaypointIsNotReady
        },
        message: "through shop/waypoint".to_owned(),
        generation: None,
    }
}

#[test]
fn what_others_say_stays_and_what_we_said_goes() {
    let theirs = json!({"type": "Ready", "status": "True", "reason": "x", "message": "", "lastTransitionTime": BEFORE});
    let old = json!({"type": "istio.io/WaypointMissing", "status": "True"});
    let object =
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}, "conditions": [old, theirs]}});
    let status = merged(&object, &[bound(true)], None, at(NOW));
    assert_eq!(status["loadBalancer"], object["status"]["loadBalancer"]);
    let kinds: Vec<_> = status["conditions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| c["type"].clone())
        .collect();
    assert_eq!(kinds, ["Ready", "istio.io/WaypointBound"]);
    assert_eq!(status["conditions"][0], theirs);
    assert_eq!(status["conditions"][1]["lastTransitionTime"], NOW);
}

#[test]
fn what_did_not_change_is_the_very_same() {
    let first = merged(&json!({}), &[bound(false)], Some(3), at(BEFORE));
    assert_eq!(first["conditions"][0]["observedGeneration"], 3);
    let again = merged(&json!({ "status": first }), &[bound(false)], Some(3), at(NOW));
    assert_eq!(again, first);
    // What is about another generation than the rest says so.
    let mut of_another = bound(false);
    of_another.generation = Some(4);
    let status = merged(&json!({}), &[of_another], Some(3), at(BEFORE));
    assert_eq!(status["conditions"][0]["observedGeneration"], 4);
    let turned = merged(&json!({ "status": first }), &[bound(true)], Some(3), at(NOW));
    assert_eq!(turned["conditions"][0]["lastTransitionTime"], NOW);
    assert_eq!(turned["conditions"][0]["status"], "True");
}

#[test]
fn nothing_to_say_leaves_nothing_of_ours() {
    let first = merged(&json!({}), &[bound(false)], None, at(BEFORE));
    assert_eq!(merged(&json!({ "status": first }), &[], None, at(NOW)), json!({}));
    let gateway = json!({"status": {"conditions": [{"type": "Accepted", "status": "True"}]}});
    assert_eq!(
        merged(&gateway, &[], None, at(NOW)),
        gateway["status"],
        "another controller's"
    );
}

#[test]
fn how_far_it_came_stands_as_it_is_while_nobody_counted() {
    let before = json!([
        {"type": "lateen.dev/Delivered", "status": "True", "lastTransitionTime": BEFORE},
        {"type": "istio.io/WaypointBound", "status": "True", "lastTransitionTime": BEFORE},
    ]);
    let object = json!({"status": {"conditions": before}});
    let not_yet = At {
        now: NOW,
        count: Count::NotYet,
    };
    let status = merged(&object, &[], None, not_yet);
    assert_eq!(status["conditions"], json!([before[0]]), "nothing else is kept");
    assert_eq!(merged(&object, &[], None, at(NOW)), json!({}));
}
