//! An API server in memory, for tests: objects, resource versions, pages, watches with a history, writes with their
//! races and the managers of fields, and the ways in which a real one goes away. What it stores is JSON; it validates nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::client::KubeClient;
use crate::resource::{ObjectName, Resource};
use store::Store;

mod owners;
mod store;

/// An API server. Clones are the same one.
#[derive(Clone, Debug)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
    /// Moves with everything that a watch may have to say.
    moved: Arc<watch::Sender<u64>>,
}

#[derive(Debug, Default)]
struct State {
    store: Store,
    /// Paths of served resources, without namespaces.
    served: BTreeSet<String>,
    pages: BTreeMap<String, String>,
    requests: Vec<String>,
    away: bool,
    hang: bool,
    unauthorized: bool,
    /// Watches that were begun before this was counted up end.
    cut: u64,
    /// What creating a resource is answered with, by its path: reviews.
    reviews: BTreeMap<String, Value>,
    /// Resources that are refused with 403.
    forbidden: BTreeSet<String>,
    /// What is written to a resource's object or namespace of this name is answered with this status code.
    refused: BTreeMap<(String, String), u16>,
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl FakeApi {
    /// One that serves nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: Arc::default(),
            moved: Arc::new(watch::Sender::new(0)),
        }
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> KubeClient {
        let api = self.clone();
        let service = tower::service_fn(move |request| {
            let api = api.clone();
            async move { api.answer(request).await }
        });
        KubeClient::over(kube::Client::new(service, "default"))
    }

    /// Serves a resource from now on.
    pub fn serve(&self, resource: &Resource) {
        self.state.lock().served.insert(resource.path(None));
    }

    /// Serves it no more; its objects are forgotten.
    pub fn unserve(&self, resource: &Resource) {
        let path = resource.path(None);
        let mut state = self.state.lock();
        state.served.remove(&path);
        state.store.forget(&path);
        state.cut += 1;
        drop(state);
        self.wake();
    }

    /// Has what is asked at a path: one that is no resource's, or of which nothing else is to be said.
    pub fn page(&self, path: &str, text: &str) {
        self.state.lock().pages.insert(path.to_owned(), text.to_owned());
    }

    /// Answers the creation of an object of this resource with `status` in it, and keeps nothing.
    pub fn review(&self, resource: &Resource, status: Value) {
        let path = resource.path(None);
        let mut state = self.state.lock();
        state.served.insert(path.clone());
        state.reviews.insert(path, status);
    }

    /// Whether requests about a resource are refused for lack of rights.
    pub fn forbid(&self, resource: &Resource, forbidden: bool) {
        let path = resource.path(None);
        let mut state = self.state.lock();
        if forbidden {
            state.forbidden.insert(path);
        } else {
            state.forbidden.remove(&path);
        }
    }

    /// What writes to a resource are answered with in one namespace, or of a cluster-wide one to the object of this name:
    /// a quota or an admission rule (403, 422), a webhook that fails (500). Without a code they are taken again.
    pub fn refuse(&self, resource: &Resource, place: &str, code: Option<u16>) {
        let key = (resource.path(None), place.to_owned());
        let mut state = self.state.lock();
        match code {
            Some(code) => drop(state.refused.insert(key, code)),
            None => drop(state.refused.remove(&key)),
        }
    }

    /// Makes or replaces an object, as somebody else would; serves its resource.
    pub fn put(&self, resource: &Resource, object: Value) {
        let path = resource.path(None);
        let mut state = self.state.lock();
        state.served.insert(path.clone());
        state.store.put(&path, object, SOMEBODY);
        drop(state);
        self.wake();
    }

    /// Deletes an object, as somebody else would.
    pub fn remove(&self, resource: &Resource, name: &ObjectName) {
        self.state.lock().store.remove(&resource.path(None), name);
        self.wake();
    }

    /// An object as it is now.
    #[must_use]
    pub fn object(&self, resource: &Resource, name: &ObjectName) -> Option<Value> {
        self.state.lock().store.get(&resource.path(None), name).cloned()
    }

    /// Away: connections fail, watches break off.
    pub fn away(&self, away: bool) {
        let mut state = self.state.lock();
        state.away = away;
        state.cut += 1;
        drop(state);
        self.wake();
    }

    /// Knows nobody by his token any more; watches that began before go on.
    pub fn unauthorized(&self, unauthorized: bool) {
        self.state.lock().unauthorized = unauthorized;
    }

    /// Takes requests and never answers.
    pub fn hang(&self, hang: bool) {
        self.state.lock().hang = hang;
    }

    /// Ends every watch in good order.
    pub fn end_watches(&self) {
        self.state.lock().cut += 1;
        self.wake();
    }

    /// Forgets what happened: watches that are behind have to list.
    pub fn forget_history(&self) {
        let mut state = self.state.lock();
        state.store.forget_history();
        state.cut += 1;
        drop(state);
        self.wake();
    }

    /// `METHOD path?query` of everything that was asked.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().requests.clone()
    }

    /// The last of them; empty where there was none.
    #[must_use]
    pub fn last_request(&self) -> String {
        self.state.lock().requests.last().cloned().unwrap_or_default()
    }

    fn wake(&self) {
        self.moved.send_modify(|moved| *moved += 1);
    }

    async fn answer(&self, request: Request<Body>) -> Result<Answer, tower::BoxError> {
        let (head, body) = request.into_parts();
        let hang = {
            let mut state = self.state.lock();
            state.requests.push(format!("{} {}", head.method, head.uri));
            if state.away {
                return Err("connection refused".into());
            }
            state.hang
        };
        if hang {
            std::future::pending::<()>().await;
        }
        let body = body.collect().await?.to_bytes();
        let query = Query::of(head.uri.query().unwrap_or_default());
        let is_page = self.state.lock().pages.contains_key(head.uri.path());
        let answer = match Target::of(head.uri.path()) {
            Some(target) if !is_page => self.about(&target, &head.method, &query, &body),
            _ => None,
        };
        Ok(answer.unwrap_or_else(|| self.discovery(head.uri.path())))
    }

    /// An answer about objects; nothing where the path leads to none that are served.
    fn about(&self, target: &Target, method: &Method, query: &Query, body: &[u8]) -> Option<Answer> {
        let mut state = self.state.lock();
        if !state.served.contains(&target.resource) {
            return None;
        }
        if state.unauthorized {
            return Some(failure(401, "Unauthorized", "Unauthorized"));
        }
        if state.forbidden.contains(&target.resource) {
            return Some(failure(403, "Forbidden", "no role lets you"));
        }
        let place = target.namespace.as_ref().or(target.name.as_ref());
        let refused = place.and_then(|place| state.refused.get(&(target.resource.clone(), place.clone())));
        if let Some(code) = refused.filter(|_| *method != Method::GET) {
            return Some(failure(*code, "Refused", "it is not taken here"));
        }
        if query.has("watch") {
            drop(state);
            return Some(self.watching(target, query));
        }
        let sent: Value = serde_json::from_slice(body).unwrap_or_default();
        let review = state.reviews.get(&target.resource).cloned();
        let answer = match (method, review) {
            (&Method::POST, Some(status)) => {
                let mut review = sent;
                review["status"] = status;
                success(&review)
            }
            _ => state.store.request(target, method, query, sent),
        };
        drop(state);
        self.wake();
        Some(answer)
    }

    fn watching(&self, target: &Target, query: &Query) -> Answer {
        let from = query.number("resourceVersion").unwrap_or(0);
        let (target, state, cut) = (target.clone(), self.state.clone(), self.state.lock().cut);
        if state.lock().store.is_forgotten(from) {
            return failure(410, "Expired", "too old resource version");
        }
        let follow = (from, self.moved.subscribe(), false);
        let lines = stream::unfold(follow, move |(from, mut moved, ended)| {
            let (state, target) = (state.clone(), target.clone());
            async move {
                loop {
                    if ended {
                        return None;
                    }
                    moved.mark_unchanged();
                    let (text, next, over) = {
                        let state = state.lock();
                        let (text, next) = state.store.since(&target, from);
                        (text, next, state.cut != cut)
                    };
                    if !text.is_empty() || over {
                        return Some((text, (next, moved, over)));
                    }
                    moved.changed().await.ok()?;
                }
            }
        });
        let frames = lines.map(|text| Ok::<_, Infallible>(Frame::data(Bytes::from(text))));
        let body = StreamBody::new(frames).boxed_unsync();
        Response::new(body)
    }

    /// Which groups, versions and resources are served; pages that tests put there.
    fn discovery(&self, path: &str) -> Answer {
        let state = self.state.lock();
        if let Some(page) = state.pages.get(path) {
            return respond(StatusCode::OK, page.clone());
        }
        let below = format!("{}/", path.trim_end_matches('/'));
        let below: Vec<&str> = state
            .served
            .iter()
            .filter_map(|s| s.strip_prefix(&below))
            .collect();
        if below.is_empty() {
            return failure(
                404,
                "NotFound",
                "the server could not find the requested resource",
            );
        }
        let resources: Vec<Value> = below
            .iter()
            .filter(|rest| !rest.contains('/'))
            .map(|plural| json!({ "name": plural }))
            .collect();
        let versions: BTreeSet<&str> = below
            .iter()
            .filter_map(|rest| Some(rest.split_once('/')?.0))
            .collect();
        let versions: Vec<Value> = versions.iter().map(|v| json!({ "version": v })).collect();
        success(&json!({ "resources": resources, "versions": versions }))
    }
}

impl Default for FakeApi {
    fn default() -> Self {
        Self::new()
    }
}

/// What a path leads to.
#[derive(Clone, Debug)]
struct Target {
    /// Without the namespace.
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
    status: bool,
}

impl Target {
    fn of(path: &str) -> Option<Self> {
        let mut parts = path.trim_start_matches('/').split('/');
        let root = match parts.next()? {
            "api" => format!("/api/{}", parts.next()?),
            "apis" => format!("/apis/{}/{}", parts.next()?, parts.next()?),
            _ => return None,
        };
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, name, part) = match *rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(name), None),
            [plural, name, part] => (plural, Some(name), Some(part)),
            _ => return None,
        };
        Some(Self {
            resource: format!("{root}/{plural}"),
            namespace: namespace.map(str::to_owned),
            name: name.map(|name| name.replace("%3A", ":")),
            status: part == Some("status"),
        })
    }
}

/// A query, unescaped as far as tests need it.
#[derive(Clone, Debug, Default)]
struct Query(BTreeMap<String, String>);

impl Query {
    fn of(query: &str) -> Self {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let plain = |text: &str| text.replace("%3D", "=").replace("%2F", "/").replace("%2C", ",");
        Self(pairs.map(|(key, value)| (key.to_owned(), plain(value))).collect())
    }

    fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.0.get(key)?.parse().ok()
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

fn success(object: &Value) -> Answer {
    respond(StatusCode::OK, object.to_string())
}

fn failure(code: u16, reason: &str, message: &str) -> Answer {
    let status =
        json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message});
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(code, status.to_string())
}

fn respond(status: StatusCode, text: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// The field manager of what tests put there.
pub const SOMEBODY: &str = "somebody";
