//! All kinds together: batches of changes, and whether everything is known.
//!
//! Namespaces and ConfigMaps are listed before anything else is watched: they say which namespaces belong to the mesh.
//! When that changes, the other watches begin anew, and their lists say what is new and what is gone.

use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;

use controlplane_k8s_api::gateway::LabelSelector;
use controlplane_k8s_api::mesh::is_of_revision;
use controlplane_k8s_api::{Kind, Object, ObjectKey, RawObject};
use futures_util::stream::{ReadyChunks, SelectAll, Stream, StreamExt as _, select_all};
use mesh_kube::{Event, Fault, KubeClient, News};
use tokio::sync::{mpsc, watch};

use crate::board::{KubeBoard, WatchState};
use crate::follow::{crds, follow};
use crate::mirror::{Broken, Mirror, ObjectChange};
use crate::remark::Remark;
use crate::resources::{Need, WATCHED, Watched};
use crate::scope::Scope;
use crate::spare::Texts;

/// Watches an API server.
pub struct KubeSource {
    client: KubeClient,
    root_namespace: String,
    revision: String,
    scope: Scope,
    board: KubeBoard,
    kinds: Vec<Followed>,
    texts: Texts,
    /// Another set of namespaces belongs to the mesh.
    rescoped: bool,
    /// The mesh's selectors, once they are known.
    selectors: watch::Sender<Option<Vec<LabelSelector>>>,
}

/// What a source is told.
#[derive(Clone, Debug)]
pub struct KubeSettings {
    /// The mesh's own namespace.
    pub root_namespace: String,
    /// Whose configuration counts, beside that of nobody in particular.
    pub revision: String,
    /// Whether Secrets are read at all.
    pub read_secrets: bool,
    /// The only namespaces whose Secrets are read, each by a right of its own; those of all namespaces where none is named.
    pub secret_namespaces: Vec<String>,
}

/// What one round of news brought.
#[derive(Debug, Default)]
pub struct KubeBatch {
    /// Objects that changed.
    pub changes: Vec<ObjectChange>,
    /// Why not everything is known: one line for each kind. Empty when it is, and until another set of namespaces belongs
    /// to the mesh: then everything is listed anew.
    pub unknown: Vec<String>,
    /// All that is to be said of objects in their statuses, where it is not what it was.
    pub remarks: Option<Vec<Remark>>,
}

struct Followed {
    watched: &'static Watched,
    /// Where only those of one namespace are followed, that.
    namespace: Option<String>,
    mirror: Mirror,
    state: WatchState,
    /// Everything that is to be known of it is known: it was listed in the present scope, or there is nothing to list.
    known: bool,
    moved: bool,
    remarks: Vec<Remark>,
}

type Heard = (usize, News<RawObject>);
type Watching = Pin<Box<dyn Stream<Item = Heard> + Send>>;
type Chunks = ReadyChunks<SelectAll<Watching>>;

impl KubeSource {
    /// A source that knows of nothing yet.
    #[must_use]
    pub fn new(client: KubeClient, settings: &KubeSettings) -> Self {
        let kinds = WATCHED.iter().flat_map(|watched| {
            let namespaces = namespaces(watched, settings).into_iter();
            namespaces.map(|namespace| Followed {
                watched,
                namespace,
                mirror: Mirror::new(watched.kind),
                state: WatchState::Listing,
                known: false,
                moved: true,
                remarks: Vec::new(),
            })
        });
        Self {
            client,
            root_namespace: settings.root_namespace.clone(),
            revision: settings.revision.clone(),
            scope: Scope::new(&settings.root_namespace, &settings.revision),
            board: KubeBoard::default(),
            kinds: kinds.collect(),
            texts: Texts::default(),
            rescoped: false,
            selectors: watch::Sender::new(None),
        }
    }

    /// Which namespaces belong to the mesh: MeshConfig `discoverySelectors`, once they are known; without any, all.
    #[must_use]
    pub fn selectors(&self) -> watch::Receiver<Option<Vec<LabelSelector>>> {
        self.selectors.subscribe()
    }

    /// Where it is to be seen how the watches stand.
    #[must_use]
    pub fn board(&self) -> KubeBoard {
        self.board.clone()
    }

    /// Watches until nobody takes batches any more.
    ///
    /// # Errors
    /// Never; the type is the supervisor's.
    pub async fn run<B: From<KubeBatch>>(mut self, batches: mpsc::Sender<B>) -> Result<(), Infallible> {
        let (counted, changed) = watch::channel(0_u64);
        let crds = crds(&self.client).for_each(|()| {
            counted.send_modify(|count| *count += 1);
            std::future::ready(())
        });
        tokio::select! {
            () = crds => {}
            () = self.watch_all(&changed, &batches) => {}
        }
        Ok(())
    }

    async fn watch_all<B: From<KubeBatch>>(
        &mut self,
        crds: &watch::Receiver<u64>,
        batches: &mpsc::Sender<B>,
    ) {
        let (first, rest) = (0..FIRST, FIRST..self.kinds.len());
        let mut first_news = self.watching_all(first.clone(), crds);
        let mut rest_news = None;
        loop {
            if rest_news.is_none() && self.kinds.iter().take(FIRST).all(|kind| kind.known) {
                rest_news = Some(self.watching_all(rest.clone(), crds));
            }
            let heard = match &mut rest_news {
                Some(rest_news) => tokio::select! {
                    heard = first_news.next() => heard,
                    heard = rest_news.next() => heard,
                },
                None => first_news.next().await,
            };
            let Some(heard) = heard else { return };
            let mut batch = self.take(heard);
            if std::mem::take(&mut self.rescoped) {
                first_news = self.watching_all(first.clone(), crds);
                rest_news = None;
            }
            if self.pin_up() {
                let all = self.kinds.iter().flat_map(|kind| kind.remarks.iter().cloned());
                batch.remarks = Some(all.collect());
            }
            if batches.send(batch.into()).await.is_err() {
                return;
            }
        }
    }

    /// News of these kinds, those that are there already together.
    fn watching_all(&self, kinds: Range<usize>, crds: &watch::Receiver<u64>) -> Chunks {
        select_all(kinds.map(|kind| self.watching(kind, crds))).ready_chunks(CHUNK)
    }

    fn watching(&self, kind: usize, crds: &watch::Receiver<u64>) -> Watching {
        let Followed {
            watched, namespace, ..
        } = &self.kinds[kind];
        let news = follow(self.client.clone(), watched, namespace.clone(), crds.clone());
        Box::pin(news.map(move |news| (kind, news)))
    }

    fn take(&mut self, heard: Vec<Heard>) -> KubeBatch {
        let mut batch = KubeBatch::default();
        for (kind, news) in heard {
            let changes = self.kinds[kind].take(news, &self.scope, &mut self.texts);
            for change in &changes {
                self.rescoped |= self.rescope(change);
            }
            batch.changes.extend(changes);
        }
        self.tell_selectors();
        if self.rescoped {
            // Each is listed anew: what it said before, it said of other namespaces.
            self.kinds.iter_mut().for_each(|kind| kind.known = false);
        }
        let unknown = self.kinds.iter().filter(|kind| !kind.known);
        batch.unknown = unknown.map(Followed::explain).collect();
        batch
    }

    /// Says which selectors the mesh has; not before the object that has them was looked for.
    fn tell_selectors(&self) {
        let known = self.kinds.iter().take(FIRST).all(|kind| kind.known);
        let now = self.scope.selectors();
        self.selectors.send_if_modified(|told| {
            let is_new = (known || told.is_some()) && told.as_deref() != Some(now);
            if is_new {
                *told = Some(now.to_vec());
            }
            is_new
        });
    }

    /// What a change says about whose business objects are. Says whether it says anything new.
    fn rescope(&mut self, change: &ObjectChange) -> bool {
        match change {
            ObjectChange::Set(key, object) => match &object.value {
                Object::Namespace(namespace) => self
                    .scope
                    .set_namespace(&key.name, Some(&namespace.metadata.labels)),
                Object::MeshConfig(mesh) if self.is_ours(key) => {
                    self.scope.select(mesh.spec.discovery_selectors.clone())
                }
                _ => false,
            },
            ObjectChange::Removed(key) => match key.kind {
                Kind::Namespace => self.scope.set_namespace(&key.name, None),
                Kind::MeshConfig if self.is_ours(key) => self.scope.select(Vec::new()),
                _ => false,
            },
        }
    }

    fn is_ours(&self, key: &ObjectKey) -> bool {
        *key.namespace == *self.root_namespace && is_of_revision(&key.name, &self.revision)
    }

    /// Says whether there is something else to be said in statuses than before.
    fn pin_up(&mut self) -> bool {
        let mut remarked = false;
        for kind in self.kinds.iter_mut().filter(|kind| kind.moved) {
            kind.moved = false;
            let (state, count) = (kind.state.clone(), kind.mirror.len());
            let which = (kind.watched.kind, kind.namespace.clone());
            self.board
                .pin_up(which, state, count, kind.mirror.broken().collect());
            let mut remarks: Vec<Remark> = kind.mirror.remarks().collect();
            remarks.sort_by(|one, other| one.object.cmp(&other.object));
            remarked |= remarks != kind.remarks;
            kind.remarks = remarks;
        }
        remarked
    }
}

impl Followed {
    fn take(&mut self, news: News<RawObject>, scope: &Scope, texts: &mut Texts) -> Vec<ObjectChange> {
        self.moved = true;
        match news {
            News::Event(event) => {
                self.known |= matches!(event, Event::ListEnds);
                self.understand(event, scope, texts)
            }
            // Any JSON is an object to begin with: this is none at all. It is there all the same.
            News::Malformed { object, reason } => {
                tracing::error!(kind = %self.watched.kind, %object, "not understood: {reason}");
                self.mirror.listing(&object, texts);
                Vec::new()
            }
            News::Current => {
                if matches!(self.state, WatchState::Away(_)) {
                    tracing::info!(kind = %self.watched.kind, "the API server is back");
                }
                self.state = WatchState::Current;
                Vec::new()
            }
            News::Away(error) => {
                if !matches!(self.state, WatchState::Away(_)) {
                    tracing::warn!(kind = %self.watched.kind, "{error}; what was known still counts");
                }
                let denied = error.fault() == Fault::Rights && self.watched.need == Need::IfAllowed;
                self.known |= denied;
                self.state = WatchState::Away(error.to_string());
                Vec::new()
            }
            News::NotServed => {
                self.known = true;
                self.state = WatchState::NotServed;
                self.mirror.clear()
            }
        }
    }

    /// Says what is wrong with an object when it is new, as files do.
    fn understand(&mut self, event: Event<RawObject>, scope: &Scope, texts: &mut Texts) -> Vec<ObjectChange> {
        let named = match &event {
            Event::Listed(object) | Event::Applied(object) => Some(object.reference(self.watched.kind)),
            Event::ListBegins | Event::ListEnds | Event::Deleted(_) => None,
        };
        let relisted = matches!(event, Event::Listed(_)) && self.mirror.is_complete();
        let before = named
            .as_ref()
            .and_then(|object| self.mirror.broken_object(object));
        let changes = self.mirror.take(event, scope, texts);
        let broken = named.and_then(|object| self.mirror.broken_object(&object));
        if let Some(broken) = broken.filter(|broken| before.as_ref() != Some(broken)) {
            tell(&broken);
        }
        if !relisted {
            changes.iter().for_each(warn);
        }
        changes
    }

    fn explain(&self) -> String {
        let mut kind = self.watched.kind.to_string();
        if let Some(namespace) = &self.namespace {
            kind.push_str(&format!(" of {namespace}"));
        }
        match &self.state {
            WatchState::Away(reason) => format!("{kind}: {reason}"),
            WatchState::Listing | WatchState::Current | WatchState::NotServed => {
                format!("{kind}: not listed yet")
            }
        }
    }
}

/// Which watches a kind has.
fn namespaces(watched: &Watched, settings: &KubeSettings) -> Vec<Option<String>> {
    match watched.kind {
        Kind::Secret if !settings.read_secrets => Vec::new(),
        Kind::Secret if !settings.secret_namespaces.is_empty() => {
            let mut namespaces = settings.secret_namespaces.clone();
            namespaces.sort();
            namespaces.dedup();
            namespaces.into_iter().map(Some).collect()
        }
        _ => vec![None],
    }
}

fn tell(broken: &Broken) {
    let counts = match broken.last_good {
        true => "its last good content still counts",
        false => "it counts for nothing",
    };
    for error in &broken.errors {
        tracing::error!("{error} ({counts})");
    }
}

fn warn(change: &ObjectChange) {
    if let ObjectChange::Set(_, object) = change {
        for warning in &object.warnings {
            tracing::warn!("{}", warning.without_place());
        }
    }
}

/// How many of [`WATCHED`] say whose business the others are.
const FIRST: usize = 2;
/// News that are taken together: objects as they came, each many times as large as what is kept of it.
const CHUNK: usize = 128;

#[cfg(test)]
mod tests;
