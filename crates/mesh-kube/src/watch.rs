//! Everything of a kind, from now on: a list, and then what changes.
//!
//! A watch outlives what happens to it: connections that end, API servers that are away, histories that were forgotten,
//! objects that make no sense, resources that are not served. What was said stays true meanwhile; [`News::Away`] says
//! since when nothing is known. After a gap that cannot be closed everything is listed anew, so whoever listens takes
//! what a complete list does not name as gone.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use crate::backoff::Backoff;
use crate::client::{Call, KubeClient};
use crate::error::{KubeError, chain};
use crate::read::Page;
use crate::resource::{ObjectName, Resource, escape};
use line::{Line, Lines, Said};

pub mod line;

/// What is watched or listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Of which resource.
    pub resource: Resource,
    /// In which namespace; in all of them without.
    pub namespace: Option<String>,
    /// Such as `spec.nodeName=a`.
    pub field_selector: Option<String>,
    /// Such as `istio.io/config=true`.
    pub label_selector: Option<String>,
    /// Only `metadata` is sent.
    pub metadata_only: bool,
}

/// What a watch says.
#[derive(Clone, Debug, PartialEq)]
pub enum News<T> {
    /// About the objects.
    Event(Event<T>),
    /// An object that is no `T`: it exists, and is not gone from a list that is being sent.
    Malformed {
        /// Which one; empty where even that is not to be read.
        object: ObjectName,
        /// One line.
        reason: String,
    },
    /// Everything is known up to now, and changes will be told.
    Current,
    /// Nothing can be known at present; it is tried again. Said for each attempt.
    Away(KubeError),
    /// The resource is not served; it is asked for again. Said once.
    NotServed,
}

/// What happened to the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// A complete list begins; an unfinished one is void.
    ListBegins,
    /// An object of the list.
    Listed(T),
    /// The list is complete.
    ListEnds,
    /// An object was made or changed.
    Applied(T),
    /// An object was deleted; this was its last content.
    Deleted(T),
}

/// A watch: a stream that never ends.
pub type Watch<T> = Pin<Box<dyn Stream<Item = News<T>> + Send>>;

/// Watches what is selected. Nothing is asked before the stream is polled.
#[must_use]
pub fn watch<T: DeserializeOwned + Send + 'static>(client: &KubeClient, selection: Selection) -> Watch<T> {
    let watcher = Watcher {
        client: client.clone(),
        selection,
        step: Step::List { next: String::new() },
        news: VecDeque::new(),
        delay: None,
        backoff: Backoff::new(RETRY, RETRY_MOST),
        said_not_served: false,
    };
    Box::pin(stream::unfold(watcher, |mut watcher| async move {
        let news = watcher.next().await;
        Some((news, watcher))
    }))
}

struct Watcher<T> {
    client: KubeClient,
    selection: Selection,
    step: Step,
    news: VecDeque<Queued<T>>,
    /// Before the next request.
    delay: Option<Duration>,
    backoff: Backoff,
    said_not_served: bool,
}

/// What is to be said.
enum Queued<T> {
    News(News<T>),
    /// An object of a list, as a part of the page that it came in: read when it is its turn, so that not all of a page is in
    /// memory twice.
    Item(Bytes),
}

enum Step {
    /// To list; on from a page.
    List { next: String },
    /// To watch from a version.
    Watch { version: String },
    /// Watching.
    Follow(Box<Following>),
}

struct Following {
    version: String,
    body: Body,
    lines: Lines,
    since: Instant,
}

impl<T: DeserializeOwned> Watcher<T> {
    async fn next(&mut self) -> News<T> {
        loop {
            match self.news.pop_front() {
                Some(Queued::News(news)) => return news,
                Some(Queued::Item(item)) => {
                    return match line::object(&item) {
                        Ok(object) => News::Event(Event::Listed(object)),
                        Err((object, reason)) => News::Malformed { object, reason },
                    };
                }
                None => {}
            }
            if let Some(delay) = self.delay.take() {
                sleep(delay).await;
            }
            match &mut self.step {
                Step::List { next } => {
                    let next = std::mem::take(next);
                    self.list(&next).await;
                }
                Step::Watch { version } => {
                    let version = std::mem::take(version);
                    self.begin(version).await;
                }
                Step::Follow(following) => {
                    let read = following.read().await;
                    self.follow(read);
                }
            }
        }
    }

    async fn list(&mut self, next: &str) {
        let body = match self.client.call(self.selection.list_call(next)).await {
            Ok(body) => body,
            Err(KubeError::NotFound(_)) => return self.not_served(),
            // The rest of the list is forgotten: from the start.
            Err(KubeError::Expired(_)) if !next.is_empty() => return self.list_later(),
            Err(e) => return self.away(e),
        };
        let page: Page<'_> = match serde_json::from_slice(&body) {
            Ok(page) => page,
            Err(e) => return self.away(KubeError::BadAnswer(e.to_string())),
        };
        self.said_not_served = false;
        if next.is_empty() {
            self.say(News::Event(Event::ListBegins));
        }
        let items = page.items.unwrap_or_default().into_iter();
        self.news
            .extend(items.map(|item| Queued::Item(body.slice_ref(item.get().as_bytes()))));
        if page.metadata.next.is_empty() {
            self.say(News::Event(Event::ListEnds));
            self.backoff.reset();
            self.step = Step::Watch {
                version: page.metadata.resource_version,
            };
        } else {
            self.step = Step::List {
                next: page.metadata.next,
            };
        }
    }

    async fn begin(&mut self, version: String) {
        match self.client.open(self.selection.watch_call(&version)).await {
            Ok(response) => {
                self.say(News::Current);
                self.step = Step::Follow(Box::new(Following {
                    version,
                    body: response.into_body(),
                    lines: Lines::default(),
                    since: Instant::now(),
                }));
            }
            Err(KubeError::NotFound(_)) => self.not_served(),
            Err(KubeError::Expired(_) | KubeError::Refused(_)) => self.list_later(),
            Err(e) => {
                self.away(e);
                self.step = Step::Watch { version };
            }
        }
    }

    fn follow(&mut self, read: Read) {
        let Step::Follow(following) = &mut self.step else {
            return;
        };
        match read {
            Read::Line(line) => match line::read(&line) {
                Ok(line) => self.take(line),
                // Not even the envelope: nobody knows what was lost.
                Err(reason) => {
                    self.list_later();
                    self.say(News::Away(KubeError::BadAnswer(reason)));
                }
            },
            Read::End => {
                let version = std::mem::take(&mut following.version);
                // Watches end now and then; one that ends at once is a server that cannot.
                if following.since.elapsed() < SHORT {
                    self.delay = Some(self.backoff.next_delay());
                }
                self.step = Step::Watch { version };
            }
            Read::Failed(error) => {
                let version = std::mem::take(&mut following.version);
                self.away(error);
                self.step = Step::Watch { version };
            }
            Read::TooLong => {
                self.list_later();
                let error = KubeError::BadAnswer("an object that is longer than any".to_owned());
                self.say(News::Away(error));
            }
        }
    }

    fn take(&mut self, line: Line<T>) {
        let Step::Follow(following) = &mut self.step else {
            return;
        };
        let news = match line {
            Line::Error(KubeError::Expired(_)) => return self.list_later(),
            Line::Error(error) => {
                let version = std::mem::take(&mut following.version);
                self.away(error);
                self.step = Step::Watch { version };
                return;
            }
            Line::Said { version, said } => {
                if let Some(version) = version {
                    following.version = version;
                }
                self.backoff.reset();
                match said {
                    Said::Applied(object) => News::Event(Event::Applied(object)),
                    Said::Deleted(object) => News::Event(Event::Deleted(object)),
                    Said::Malformed(object, reason) => News::Malformed { object, reason },
                    Said::Nothing => return,
                }
            }
        };
        self.say(news);
    }

    fn say(&mut self, news: News<T>) {
        self.news.push_back(Queued::News(news));
    }

    /// Everything anew, a moment later.
    fn list_later(&mut self) {
        self.delay = Some(self.backoff.next_delay());
        self.step = Step::List { next: String::new() };
    }

    /// Tries the same again later; a list from its start.
    fn away(&mut self, error: KubeError) {
        self.list_later();
        self.say(News::Away(error));
    }

    fn not_served(&mut self) {
        if !self.said_not_served {
            self.said_not_served = true;
            self.say(News::NotServed);
        }
        self.step = Step::List { next: String::new() };
        self.delay = Some(LOOK_AGAIN);
    }
}

enum Read {
    Line(Bytes),
    End,
    Failed(KubeError),
    TooLong,
}

impl Following {
    async fn read(&mut self) -> Read {
        loop {
            match self.lines.next_line() {
                Ok(Some(line)) => return Read::Line(line),
                Ok(None) => {}
                Err(line::TooLong) => return Read::TooLong,
            }
            match timeout(SILENCE, self.body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.lines.push(&data);
                    }
                }
                Ok(Some(Err(e))) => return Read::Failed(KubeError::Unreachable(chain(&e))),
                Ok(None) => return Read::End,
                Err(_) => {
                    let error = format!("nothing was said for {} s", SILENCE.as_secs());
                    return Read::Failed(KubeError::Unreachable(error));
                }
            }
        }
    }
}

impl Selection {
    /// All objects of a resource.
    #[must_use]
    pub fn all(resource: Resource) -> Self {
        Self {
            resource,
            namespace: None,
            field_selector: None,
            label_selector: None,
            metadata_only: false,
        }
    }

    /// Those in a namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Those whose fields are selected.
    #[must_use]
    pub fn with_fields(mut self, selector: impl Into<String>) -> Self {
        self.field_selector = Some(selector.into());
        self
    }

    /// Those whose labels are selected.
    #[must_use]
    pub fn with_labels(mut self, selector: impl Into<String>) -> Self {
        self.label_selector = Some(selector.into());
        self
    }

    /// Only their `metadata`.
    #[must_use]
    pub fn metadata_only(mut self) -> Self {
        self.metadata_only = true;
        self
    }

    pub(crate) fn list_call(&self, next: &str) -> Call {
        let mut path = self.path();
        path.push_str(&format!("?limit={PAGE}"));
        if !next.is_empty() {
            path.push_str("&continue=");
            escape(&mut path, next);
        }
        self.call(path, METADATA_LIST)
    }

    fn watch_call(&self, version: &str) -> Call {
        let mut path = self.path();
        path.push_str("?watch=1&allowWatchBookmarks=true");
        path.push_str(&format!("&timeoutSeconds={WATCH_SECONDS}&resourceVersion="));
        escape(&mut path, version);
        self.call(path, METADATA)
    }

    fn path(&self) -> String {
        self.resource.path(self.namespace.as_deref())
    }

    fn call(&self, mut path: String, metadata: &'static str) -> Call {
        let selectors = [
            ("&fieldSelector=", &self.field_selector),
            ("&labelSelector=", &self.label_selector),
        ];
        for (parameter, selector) in selectors {
            if let Some(selector) = selector {
                path.push_str(parameter);
                escape(&mut path, selector);
            }
        }
        let mut call = Call::get(path);
        if self.metadata_only {
            call.accept = metadata;
        }
        call
    }
}

const METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// Objects a page, whose text is in memory while it is taken.
const PAGE: u32 = 250;
/// Shorter than what most load balancers let an idle connection live.
const WATCH_SECONDS: u32 = 290;
/// API servers send a bookmark about every minute; whoever is silent for longer is gone without a word.
const SILENCE: Duration = Duration::from_secs(150);
const SHORT: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MOST: Duration = Duration::from_secs(10);
/// For a resource that is not served.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
