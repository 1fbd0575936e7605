use std::pin::pin;
use std::time::Duration;

use controlplane_k8s_api::{Kind, RawObject};
use futures_util::StreamExt as _;
use mesh_kube::fake::FakeApi;
use mesh_kube::{Event, News};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{crds, follow};
use crate::resources::{CRDS, WATCHED, Watched};

fn peers() -> &'static Watched {
    WATCHED
        .iter()
        .find(|w| w.kind == Kind::PeerAuthentication)
        .expect("it is watched")
}

fn name(news: Option<News<RawObject>>) -> String {
    match news {
        Some(News::Event(Event::Listed(object))) => object.metadata("name").unwrap_or_default().to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_comes_late_is_watched_within_a_moment_of_its_crd() {
    let api = FakeApi::new();
    api.serve(&CRDS);
    let (counted, changes) = watch::channel(0);
    let client = api.client();
    tokio::spawn(async move {
        let mut crds = pin!(crds(&client));
        while crds.next().await.is_some() {
            counted.send_modify(|n| *n += 1);
        }
    });
    let mut news = pin!(follow(api.client(), peers(), None, changes));
    assert_eq!(format!("{:?}", news.next().await), "Some(NotServed)");
    let crd = json!({"metadata": {"name": "peerauthentications.security.istio.io"}});
    let mesh = json!({"metadata": {"namespace": "istio-system", "name": "default"}});
    let came = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        // Asked anew after the look that found nothing.
        api.put(&peers().resource("v1beta1"), mesh);
        api.put(&CRDS, crd);
        Instant::now()
    };
    let (first, came) = tokio::join!(news.next(), came);
    assert!(matches!(first, Some(News::Event(Event::ListBegins))), "{first:?}");
    assert!(came.elapsed() < Duration::from_secs(1), "{:?}", came.elapsed());
    assert_eq!(name(news.next().await), "default");
}

#[tokio::test(start_paused = true)]
async fn a_kind_whose_version_goes_away_is_followed_in_another() {
    let api = FakeApi::new();
    let mesh = json!({"metadata": {"namespace": "istio-system", "name": "default"}});
    api.put(&peers().resource("v1"), mesh.clone());
    api.put(&peers().resource("v1beta1"), mesh);
    let (_counted, changes) = watch::channel(0);
    let mut news = pin!(follow(api.client(), peers(), None, changes));
    for _ in 0..4 {
        news.next().await;
    }
    assert!(
        api.last_request().contains("/v1/peerauthentications?watch"),
        "{}",
        api.last_request()
    );
    api.unserve(&peers().resource("v1"));
    assert!(matches!(news.next().await, Some(News::Event(Event::ListBegins))));
    assert!(
        api.last_request().contains("/v1beta1/peerauthentications?limit"),
        "{}",
        api.last_request()
    );
}

#[tokio::test(start_paused = true)]
async fn a_built_in_kind_that_is_not_served_is_not_asked_for_without_pause() {
    let api = FakeApi::new();
    let nodes = WATCHED
        .iter()
        .find(|w| w.kind == Kind::Node)
        .expect("it is watched");
    let (_counted, changes) = watch::channel(0);
    let mut news = pin!(follow(api.client(), nodes, None, changes));
    let listened = tokio::time::timeout(Duration::from_secs(60), news.next()).await;
    assert!(listened.is_err(), "nothing is known of it");
    let asked = api.requests().len();
    assert!((5..=31).contains(&asked), "asked {asked} times in a minute");
    api.serve(&nodes.resource("v1"));
    assert!(matches!(news.next().await, Some(News::Event(Event::ListBegins))));
}
