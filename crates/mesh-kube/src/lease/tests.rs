use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::{Decision, Holder, Observed, PodRun, Record, decide};

fn record(holder: &str, renewed: &str) -> Record {
    Record {
        holder: holder.into(),
        duration: Duration::from_secs(30),
        renewed: renewed.into(),
        transitions: 2,
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_another_is_waited_for_by_our_own_clock() {
    let start = Instant::now();
    let seconds = |s| start + Duration::from_secs(s);
    // The holder's clock is years off; what counts is since when we see the same.
    let seen = Observed::after(None, record("other", "1999-01-01T00:00:00Z"), start);
    assert_eq!(
        decide(Some(&seen), seconds(29), "me", false),
        Decision::Wait(seconds(30))
    );
    let same = Observed::after(
        Some(seen.clone()),
        record("other", "1999-01-01T00:00:00Z"),
        seconds(29),
    );
    assert_eq!(decide(Some(&same), seconds(30), "me", false), Decision::Acquire);
    let renewed = Observed::after(Some(seen), record("other", "1999-01-01T00:00:10Z"), seconds(29));
    assert_eq!(
        decide(Some(&renewed), seconds(30), "me", false),
        Decision::Wait(seconds(59))
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_holds_is_taken_at_once_and_ours_is_renewed() {
    let now = Instant::now();
    assert_eq!(decide(None, now, "me", false), Decision::Acquire);
    let released = Observed::after(None, record("", "x"), now);
    assert_eq!(decide(Some(&released), now, "me", false), Decision::Acquire);
    let ours = Observed::after(None, record("me", "x"), now);
    assert_eq!(
        decide(Some(&ours), now + Duration::from_secs(100), "me", false),
        Decision::Renew
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_pod_that_is_gone() {
    let now = Instant::now();
    let held = Observed::after(None, record("other", "x"), now);
    assert_eq!(decide(Some(&held), now, "me", true), Decision::Acquire);
}

#[test]
fn a_holder_that_is_a_pod_is_known_by_its_uid() {
    let uid = "0736c43c-8ee0-40eb-97aa-25c9b118d72d";
    let pod = Holder::Pod(PodRun {
        name: "istiod-7f".into(),
        uid: uid.into(),
    });
    assert_eq!(pod.to_string(), format!("istiod-7f_{uid}"));
    for holder in [
        pod,
        Holder::Process("a_host_17".into()),
        Holder::Process("".into()),
    ] {
        assert_eq!(Holder::of(&holder.to_string()), holder);
    }
}

#[test]
fn a_lease_says_when_it_was_taken_and_how_often() {
    let spec = record("other", "x").held("me", Duration::from_secs(30), "now", Some("before"));
    assert_eq!(spec["leaseTransitions"], 3);
    assert_eq!(
        (&spec["acquireTime"], &spec["renewTime"]),
        (&json!("now"), &json!("now"))
    );
    let spec = record("me", "x").held("me", Duration::from_secs(30), "now", Some("before"));
    assert_eq!(spec["leaseTransitions"], 2);
    assert_eq!(spec["acquireTime"], "before");
    assert_eq!(Record::of(&json!({"spec": spec})).holder, "me");
    assert_eq!(Record::of(&json!({"spec": null})), Record::default());
}
