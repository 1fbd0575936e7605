//! One kind, for as long and in the version that it is served.

use std::time::Duration;

use controlplane_k8s_api::RawObject;
use futures_util::{Stream, StreamExt as _, stream};
use mesh_kube::watch::Watch;
use mesh_kube::{KubeClient, KubeError, News, watch};
use serde::Deserialize;
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use crate::resources::{CRDS, Watched};

/// What is said of a kind, in one namespace where one is named. Never ends; where the kind is not served, it is looked for again when `crds` changes, and now
/// and then.
pub fn follow(
    client: KubeClient,
    watched: &'static Watched,
    namespace: Option<String>,
    crds: Receiver<u64>,
) -> impl Stream<Item = News<RawObject>> + Send {
    let following = Following {
        client,
        watched,
        namespace,
        crds,
        watch: None,
        said_not_served: false,
        wait: None,
    };
    stream::unfold(following, |mut following| async move {
        let news = following.next().await;
        Some((news, following))
    })
}

/// Counts changes of the CRDs that there are. Never ends.
pub fn crds(client: &KubeClient) -> impl Stream<Item = ()> + Send + use<> {
    let selection = mesh_kube::Selection::all(CRDS.clone()).metadata_only();
    let news = watch::<Nothing>(client, selection);
    news.filter_map(|news| async move { matches!(news, News::Event(_)).then_some(()) })
}

/// Nothing of an object.
#[derive(Debug, Deserialize)]
struct Nothing {}

struct Following {
    client: KubeClient,
    watched: &'static Watched,
    namespace: Option<String>,
    crds: Receiver<u64>,
    watch: Option<Watch<RawObject>>,
    said_not_served: bool,
    wait: Option<Wait>,
}

#[derive(Clone, Copy)]
enum Wait {
    NotServed,
    Moment,
}

impl Following {
    async fn next(&mut self) -> News<RawObject> {
        loop {
            if let Some(wait) = self.wait.take() {
                self.pause(wait).await;
            }
            if let Some(watch) = &mut self.watch {
                match watch.next().await {
                    Some(News::NotServed) | None => {
                        self.watch = None;
                        // Another version may be; a moment later, since the API server says that this one is, too.
                        self.wait = Some(Wait::Moment);
                        continue;
                    }
                    Some(news) => return news,
                }
            }
            // What changes from here on is looked at again.
            self.crds.mark_unchanged();
            match version(self.client.clone(), self.watched).await {
                Ok(Some(version)) => {
                    self.said_not_served = false;
                    let mut selection = self.watched.selection(version);
                    selection.namespace.clone_from(&self.namespace);
                    self.watch = Some(watch(&self.client, selection));
                }
                Ok(None) => {
                    self.wait = Some(Wait::NotServed);
                    if !std::mem::replace(&mut self.said_not_served, true) {
                        return News::NotServed;
                    }
                }
                Err(e) => {
                    self.wait = Some(Wait::Moment);
                    // Whoever heard of this has to hear when it is over.
                    self.said_not_served = false;
                    return News::Away(e);
                }
            }
        }
    }

    async fn pause(&mut self, wait: Wait) {
        match wait {
            Wait::Moment => sleep(TRY_AGAIN).await,
            Wait::NotServed => tokio::select! {
                // A CRD is served a moment after it was made.
                Ok(()) = self.crds.changed() => sleep(SERVED_AFTER).await,
                () = sleep(LOOK_AGAIN) => {}
            },
        }
    }
}

/// The version to watch a kind in, if it is served in one that is understood.
async fn version(client: KubeClient, watched: &Watched) -> Result<Option<&'static str>, KubeError> {
    if watched.built_in {
        return Ok(watched.group().versions().first().copied());
    }
    let group = watched.group().name();
    let served = client.served_versions(group, watched.plural).await?;
    Ok(watched.version(&served))
}

const SERVED_AFTER: Duration = Duration::from_millis(500);
const TRY_AGAIN: Duration = Duration::from_secs(2);
/// Where nobody tells of CRDs, and for those that take their time.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
