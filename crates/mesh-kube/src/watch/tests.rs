use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::{Event, News, Selection, Watch, watch};
use crate::error::KubeError;
use crate::fake::FakeApi;
use crate::resource::{ObjectName, Resource};

static PODS: Resource = Resource::namespaced("", "v1", "pods", "Pod");

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Pod {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Metadata {
    name: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: String,
}

fn put(api: &FakeApi, name: &str, node: &str) {
    let pod = json!({"metadata": {"namespace": "shop", "name": name}, "spec": {"nodeName": node}});
    api.put(&PODS, pod);
}

/// The next news as a line.
async fn next(watch: &mut Watch<Pod>) -> String {
    let object = |what: &str, pod: Pod| format!("{what} {} on {}", pod.metadata.name, pod.spec.node_name);
    match watch.next().await.expect("watches do not end") {
        News::Event(Event::ListBegins) => "begins".into(),
        News::Event(Event::Listed(pod)) => object("listed", pod),
        News::Event(Event::ListEnds) => "ends".into(),
        News::Event(Event::Applied(pod)) => object("applied", pod),
        News::Event(Event::Deleted(pod)) => object("deleted", pod),
        News::Malformed { object, .. } => format!("malformed {object}"),
        News::Current => "current".into(),
        News::Away(error) => format!("away: {error}"),
        News::NotServed => "not served".into(),
    }
}

async fn expect(watch: &mut Watch<Pod>, lines: &[&str]) {
    for line in lines {
        assert_eq!(next(watch).await, *line);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_and_then_what_changes() {
    let api = FakeApi::new();
    put(&api, "a", "one");
    let mut pods = watch::<Pod>(&api.client(), Selection::all(PODS.clone()));
    expect(&mut pods, &["begins", "listed a on one", "ends", "current"]).await;
    put(&api, "b", "one");
    put(&api, "a", "two");
    api.remove(&PODS, &ObjectName::new("shop", "b"));
    expect(
        &mut pods,
        &["applied b on one", "applied a on two", "deleted b on one"],
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn pages_are_bounded_and_one_list() {
    let api = FakeApi::new();
    for i in 0..600 {
        put(&api, &format!("p{i:03}"), "one");
    }
    let mut pods = watch::<Pod>(
        &api.client(),
        Selection::all(PODS.clone()).with_fields("spec.nodeName=one"),
    );
    let mut seen = 0;
    while next(&mut pods).await != "ends" {
        seen += 1;
    }
    assert_eq!(seen, 601);
    let requests = api.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests
            .iter()
            .all(|r| r.contains("limit=250") && r.contains("fieldSelector=spec.nodeName%3Done"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_of_a_watch_is_not_even_noticed() {
    let api = FakeApi::new();
    put(&api, "a", "one");
    let mut pods = watch::<Pod>(&api.client(), Selection::all(PODS.clone()));
    expect(&mut pods, &["begins", "listed a on one", "ends", "current"]).await;
    api.end_watches();
    put(&api, "b", "one");
    // What happened before the end is told, then it goes on from there.
    expect(&mut pods, &["applied b on one", "current"]).await;
    put(&api, "c", "one");
    expect(&mut pods, &["applied c on one"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_and_then_what_happened_meanwhile() {
    let api = FakeApi::new();
    put(&api, "a", "one");
    let mut pods = watch::<Pod>(&api.client(), Selection::all(PODS.clone()));
    expect(&mut pods, &["begins", "listed a on one", "ends", "current"]).await;
    api.away(true);
    let begun = Instant::now();
    let mut attempts = 0;
    while begun.elapsed() < Duration::from_secs(60) {
        let line = next(&mut pods).await;
        assert!(
            line.starts_with("away: the API server cannot be reached"),
            "{line}"
        );
        attempts += 1;
    }
    assert!((5..20).contains(&attempts), "{attempts} attempts in a minute");
    put(&api, "b", "two");
    api.away(false);
    expect(&mut pods, &["current", "applied b on two"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_gone_is_made_good_by_a_list() {
    let api = FakeApi::new();
    put(&api, "a", "one");
    put(&api, "b", "one");
    let mut pods = watch::<Pod>(&api.client(), Selection::all(PODS.clone()));
    expect(
        &mut pods,
        &["begins", "listed a on one", "listed b on one", "ends", "current"],
    )
    .await;
    api.away(true);
    assert!(next(&mut pods).await.starts_with("away"));
    api.remove(&PODS, &ObjectName::new("shop", "a"));
    api.forget_history();
    api.away(false);
    expect(&mut pods, &["begins", "listed b on one", "ends", "current"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_object_is_named_and_ends_nothing() {
    let api = FakeApi::new();
    let odd = |name: &str| json!({"metadata": {"namespace": "shop", "name": name}, "spec": 7});
    api.put(&PODS, odd("odd"));
    put(&api, "p", "one");
    let mut pods = watch::<Pod>(&api.client(), Selection::all(PODS.clone()));
    expect(
        &mut pods,
        &[
            "begins",
            "malformed shop/odd",
            "listed p on one",
            "ends",
            "current",
        ],
    )
    .await;
    api.put(&PODS, odd("odder"));
    put(&api, "q", "one");
    expect(&mut pods, &["malformed shop/odder", "applied q on one"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_served_is_told_once_and_watched_when_it_appears() {
    let api = FakeApi::new();
    let mut pods = watch::<Pod>(&api.client(), Selection::all(PODS.clone()));
    expect(&mut pods, &["not served"]).await;
    let later = tokio::spawn(async move { (next(&mut pods).await, pods) });
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!later.is_finished());
    put(&api, "a", "one");
    let (line, mut pods) = later.await.expect("the watch");
    assert_eq!(line, "begins");
    expect(&mut pods, &["listed a on one", "ends", "current"]).await;
    api.unserve(&PODS);
    expect(&mut pods, &["not served"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_named_and_asked_for_again() {
    let api = FakeApi::new();
    put(&api, "a", "one");
    api.forbid(&PODS, true);
    let mut pods = watch::<Pod>(&api.client(), Selection::all(PODS.clone()));
    let news = pods.next().await;
    assert_eq!(
        news,
        Some(News::Away(KubeError::Forbidden("no role lets you".into())))
    );
    api.forbid(&PODS, false);
    expect(&mut pods, &["begins", "listed a on one"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_given_up_without_a_list() {
    let api = FakeApi::new();
    put(&api, "a", "one");
    let mut pods = watch::<Pod>(&api.client(), Selection::all(PODS.clone()));
    expect(&mut pods, &["begins", "listed a on one", "ends", "current"]).await;
    // The fake sends no bookmarks: to the watch it is a server that is gone without a word.
    let line = next(&mut pods).await;
    assert!(line.starts_with("away: ") && line.contains("150 s"), "{line}");
    expect(&mut pods, &["current"]).await;
    assert_eq!(api.requests().iter().filter(|r| r.contains("limit=")).count(), 1);
}
