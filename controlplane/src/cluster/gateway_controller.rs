//! Makes of Gateways of our classes what runs them: an account, a Deployment, a Service, and what settings ask for beside.
//!
//! One replica applies (server-side, as a field manager of its own), whenever what is wanted or what is there differs from
//! what was applied. Nothing is forced: a field that somebody else took stays theirs and is told of ([`fields`]). Objects that are no
//! Gateway's of this name are never touched; those of a Gateway that is gone go with it, by their owner. Which objects there
//! are and whose is [`children`]'s to say (pure).

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use controlplane_index::waypoint::classes::{CLASSES, WaypointClass};
use controlplane_index::waypoint::deployment::plan::{Part, Rendered};
use controlplane_index::waypoint::deployment::{NotRendered, Settings};
use controlplane_index::waypoint::{WaypointPlan, Waypoints};
use futures_util::stream::{Stream, StreamExt as _, select_all};
use mesh_kube::write::Part as Whole;
use mesh_kube::{Apply, KubeClient, KubeError, News, ObjectName, Resource, Selection, watch};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::cluster::duties;
use crate::control::Question;
use children::{Child, ChildKey, Children, Owner, Step};
use telling::Trouble;

pub mod children;
pub mod fields;
pub mod telling;

/// Keeps what Gateways become as it is to be, for as long as the duty is ours. Runs for good.
///
/// # Errors
/// Never; the type is the supervisor's.
pub async fn keep(
    client: KubeClient,
    settings: Settings,
    ask: mpsc::Sender<Question>,
    mut changed: Receiver<u64>,
    mut ours: Receiver<bool>,
) -> Result<(), Infallible> {
    loop {
        duties::begins(&mut ours).await;
        let controller = Controller {
            client: &client,
            settings: &settings,
            children: Children::default(),
            applied: HashMap::new(),
            said: HashMap::new(),
            told: HashSet::new(),
            foreign_classes: HashSet::new(),
        };
        tokio::select! {
            () = duties::ends(&mut ours) => {}
            () = controller.keep_while_ours(&ask, &mut changed) => {}
        }
    }
}

struct Controller<'a> {
    client: &'a KubeClient,
    settings: &'a Settings,
    children: Children,
    /// What was applied, and the version that this gave.
    applied: HashMap<ChildKey, Applied>,
    /// What each Gateway's status says of its objects, once that is known.
    said: HashMap<Owner, Vec<Trouble>>,
    /// What was told already.
    told: HashSet<String>,
    /// Classes that are there, and not for us to see.
    foreign_classes: HashSet<&'static str>,
}

/// What was applied to an object last.
struct Applied {
    object: Value,
    /// The object's version then: another one means that somebody changed something.
    version: String,
}

/// What became of an object.
enum Made {
    /// It is as it is to be, as far as it is ours.
    Well,
    /// Something else has its name.
    NameTaken(String),
}

/// When to look again, though nothing changed.
type Again = Option<Duration>;
type Heard = (Part, News<Child>);

impl Controller<'_> {
    async fn keep_while_ours(mut self, ask: &mpsc::Sender<Question>, changed: &mut Receiver<u64>) {
        let mut news = select_all(Part::ALL.map(|part| self.watching(part)));
        let mut due = Some(Instant::now());
        changed.mark_changed();
        loop {
            let at = due.unwrap_or_else(Instant::now);
            let moved = tokio::select! {
                Some((part, news)) = news.next() => self.children.take(part, news),
                moved = changed.changed() => {
                    if moved.is_err() {
                        std::future::pending::<()>().await;
                    }
                    true
                }
                () = sleep_until(at), if due.is_some() => {
                    due = None;
                    false
                }
            };
            if moved {
                let soon = Instant::now() + TOGETHER;
                due = Some(due.map_or(soon, |at| at.min(soon)));
            }
            if due.is_some() {
                continue;
            }
            if !self.children.are_known() {
                continue;
            }
            if let Some(waypoints) = duties::answer(ask, Question::Waypoints).await {
                let again = self.reconcile(&waypoints).await;
                due = again.map(|after| Instant::now() + after);
            }
        }
    }

    fn watching(&self, part: Part) -> Pin<Box<dyn Stream<Item = Heard> + Send>> {
        let all = Selection::all(resource(part).clone());
        let managed = all.with_labels(children::MANAGED).metadata_only();
        let news = watch::<Child>(self.client, managed);
        Box::pin(news.map(move |news| (part, news)))
    }

    async fn reconcile(&mut self, waypoints: &Waypoints) -> Again {
        let mut again = self.make_classes(waypoints).await;
        let mut wanted: HashSet<ChildKey> = HashSet::new();
        for plan in &waypoints.plans {
            let Some(owner) = Owner::of(&plan.gateway) else {
                continue;
            };
            match plan.objects(self.settings) {
                Ok(_) if !self.is_ours(plan) => self.pass_by(plan),
                Ok(objects) => {
                    let keys = objects.iter().map(|rendered| key(plan, rendered));
                    wanted.extend(keys);
                    again = sooner(again, self.make(plan, &owner, objects).await);
                }
                // Somebody else's, or something that stands already.
                Err(NotRendered::ForeignClass(_) | NotRendered::Unmanaged) => {}
                // Its status says so; what there is stays.
                Err(_) => wanted.extend(self.children.of(&owner).map(|(key, _)| key.clone())),
            }
        }
        self.applied.retain(|key, _| wanted.contains(key));
        let owners = waypoints.plans.iter();
        let owners: HashSet<Owner> = owners.filter_map(|plan| Owner::of(&plan.gateway)).collect();
        self.said.retain(|owner, _| owners.contains(owner));
        again
    }

    /// Two revisions that make one Gateway's objects, each as its own, would undo each other's work for good.
    fn is_ours(&self, plan: &WaypointPlan) -> bool {
        let labels = &plan.gateway.metadata.labels;
        duties::is_of_revision(
            |key| labels.get(key).map(|label| &**label),
            &self.settings.revision,
        )
    }

    /// Says so once: nobody makes anything of it where there is no other revision.
    fn pass_by(&mut self, plan: &WaypointPlan) {
        let (name, revision) = (plan.name(), &self.settings.revision);
        let what = format!(
            "Gateway {name} names no revision and is left to the default one; label istio.io/rev={revision} has this one serve it"
        );
        if self.told.insert(what.clone()) {
            tracing::info!("{what}");
        }
    }

    /// Classes that there are none of are made, as upstream does.
    async fn make_classes(&mut self, waypoints: &Waypoints) -> Again {
        let mut again = None;
        for class in &CLASSES {
            if waypoints.classes.contains(class.name) {
                self.foreign_classes.remove(class.name);
                continue;
            }
            if self.foreign_classes.contains(class.name) {
                continue;
            }
            match self
                .client
                .create::<Value>(&GATEWAY_CLASSES, "", &object_of(class))
                .await
            {
                Ok(_) => tracing::info!(class = class.name, "made the GatewayClass"),
                // Of another revision.
                Err(KubeError::AlreadyExists(_)) => drop(self.foreign_classes.insert(class.name)),
                // There is no Gateway API yet.
                Err(KubeError::NotFound(_)) => again = sooner(again, Some(LOOK_AGAIN)),
                Err(e) => {
                    self.tell(format!("GatewayClass {} cannot be made: {e}", class.name));
                    again = sooner(again, Some(RETRY));
                }
            }
        }
        again
    }

    /// Makes what is wanted of a Gateway, and takes away what it does not ask for any more.
    async fn make(&mut self, plan: &WaypointPlan, owner: &Owner, objects: Vec<Rendered>) -> Again {
        let mut again = None;
        let mut kept = Vec::with_capacity(objects.len());
        let mut troubles = Vec::new();
        for rendered in objects {
            let key = key(plan, &rendered);
            kept.push(key.clone());
            let look_again = match self.make_one(owner, &key, rendered).await {
                Ok(Made::Well) => None,
                Ok(Made::NameTaken(message)) => {
                    self.tell(message.clone());
                    troubles.push(Trouble::name_taken(message));
                    Some(LOOK_AGAIN)
                }
                Err(e) => {
                    self.tell(format!("{key} of Gateway {}: {e}", plan.name()));
                    troubles.extend(Trouble::refused(&key, &e));
                    Some(RETRY)
                }
            };
            again = sooner(again, look_again);
        }
        again = sooner(again, self.say(owner, troubles).await);
        let superfluous = self.children.of(owner).filter(|(key, _)| !kept.contains(key));
        let superfluous = superfluous.filter(|(_, child)| child.is_owned_by(owner));
        let superfluous: Vec<_> = superfluous
            .map(|(key, child)| (key.clone(), child.uid()))
            .collect();
        for (key, uid) in superfluous {
            let name = ObjectName::new(key.namespace.as_str(), key.name.as_str());
            match self.client.delete(resource(key.part), &name, Some(&uid)).await {
                Ok(_) => tracing::info!("{key} is not asked for any more: deleted"),
                // Another one of this name: it is looked at when it is seen.
                Err(KubeError::Conflict(_)) => {}
                Err(e) => {
                    self.tell(format!("{key} cannot be deleted: {e}"));
                    again = sooner(again, Some(RETRY));
                }
            }
        }
        again
    }

    /// Says in the Gateway's status what is wrong with its objects, and what is not any more.
    async fn say(&mut self, owner: &Owner, troubles: Vec<Trouble>) -> Again {
        if self.said.get(owner) == Some(&troubles) {
            return None;
        }
        let now = duties::now();
        let manager = duties::gateway_manager(&self.settings.revision);
        let decide = |gateway: &Value| {
            owner
                .is(gateway)
                .then(|| telling::status(gateway, &troubles, &now))
        };
        let name = owner.object();
        let said = self.client.apply_status(&GATEWAYS, &name, &manager, decide).await;
        match said {
            Ok(_) => {
                self.said.insert(owner.clone(), troubles);
                None
            }
            Err(e) => {
                self.tell(format!("Gateway {owner}: its status cannot be written: {e}"));
                Some(RETRY)
            }
        }
    }

    async fn make_one(
        &mut self,
        owner: &Owner,
        key: &ChildKey,
        rendered: Rendered,
    ) -> Result<Made, KubeError> {
        let resource = resource(key.part);
        let name = ObjectName::new(key.namespace.as_str(), key.name.as_str());
        // Without the label, or made a moment ago.
        let unseen = match self.children.get(key) {
            Some(_) => None,
            None => self.client.find::<Child>(resource, &name).await?,
        };
        let child = self.children.get(key).or(unseen.as_ref());
        let seen = child.map(Child::version).unwrap_or_default();
        let applied = self
            .applied
            .get(key)
            .filter(|applied| applied.object == rendered.object);
        let version = applied.map(|applied| applied.version.as_str());
        match children::step(child, owner, version) {
            Step::Nothing => return Ok(Made::Well),
            // An account that its author names may be there already.
            Step::Foreign if key.part == Part::ServiceAccount => return Ok(Made::Well),
            Step::Foreign => {
                return Ok(Made::NameTaken(format!(
                    "{key} is not what Gateway {owner} became: it is left as it is; another name: annotation \
                     gateway.istio.io/name-override"
                )));
            }
            Step::Apply => {}
        }
        let Some(object) = self.apply_what_is_ours(key, &name, &rendered.object).await? else {
            self.note(key, rendered, seen);
            return Ok(Made::Well);
        };
        if let Ok(child) = serde_json::from_value::<Child>(object) {
            let version = child.version();
            self.children.put(key.clone(), child);
            self.note(key, rendered, version);
        }
        Ok(Made::Well)
    }

    /// Applies an object but for fields that somebody else took; nothing where they cannot be told from the rest.
    async fn apply_what_is_ours(
        &mut self,
        key: &ChildKey,
        name: &ObjectName,
        wanted: &Value,
    ) -> Result<Option<Value>, KubeError> {
        let resource = resource(key.part);
        let manager = duties::gateway_manager(&self.settings.revision);
        let how = Apply {
            manager: &manager,
            force: false,
        };
        let mut ours = wanted.clone();
        for _ in 0..TRIES {
            let applied = self
                .client
                .apply::<Value>(resource, name, Whole::Main, how, &ours);
            let (message, owned) = match applied.await {
                Ok(object) => return Ok(Some(object)),
                Err(KubeError::Owned { message, fields }) => (message, fields),
                Err(e) => return Err(e),
            };
            self.tell(format!(
                "{key}: fields that somebody else set are left to them: {message}"
            ));
            match fields::without(&ours, &owned) {
                Some(rest) => ours = rest,
                None => break,
            }
        }
        Ok(None)
    }

    fn note(&mut self, key: &ChildKey, rendered: Rendered, version: String) {
        let applied = Applied {
            object: rendered.object,
            version,
        };
        self.applied.insert(key.clone(), applied);
    }

    /// Says something once.
    fn tell(&mut self, what: String) {
        if self.told.len() >= MOST_TOLD {
            self.told.clear();
        }
        if self.told.insert(what.clone()) {
            tracing::warn!("{what}");
        }
    }
}

fn key(plan: &WaypointPlan, rendered: &Rendered) -> ChildKey {
    ChildKey {
        part: rendered.part,
        namespace: plan.gateway.metadata.namespace.to_string(),
        name: rendered.name.to_string(),
    }
}

fn sooner(a: Again, b: Again) -> Again {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn object_of(class: &WaypointClass) -> Value {
    json!({
        "apiVersion": GATEWAY_CLASSES.api_version(),
        "kind": "GatewayClass",
        "metadata": {"name": class.name},
        "spec": {"controllerName": class.controller, "description": class.description},
    })
}

fn resource(part: Part) -> &'static Resource {
    match part {
        Part::ServiceAccount => &ACCOUNTS,
        Part::Deployment => &DEPLOYMENTS,
        Part::Service => &SERVICES,
        Part::HorizontalPodAutoscaler => &AUTOSCALERS,
        Part::PodDisruptionBudget => &BUDGETS,
    }
}

static ACCOUNTS: Resource = Resource::namespaced("", "v1", "serviceaccounts", "ServiceAccount");
static DEPLOYMENTS: Resource = Resource::namespaced("apps", "v1", "deployments", "Deployment");
static SERVICES: Resource = Resource::namespaced("", "v1", "services", "Service");
static AUTOSCALERS: Resource = Resource::namespaced(
    "autoscaling",
    "v2",
    "horizontalpodautoscalers",
    "HorizontalPodAutoscaler",
);
static BUDGETS: Resource =
    Resource::namespaced("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget");
static GATEWAYS: Resource = Resource::namespaced("gateway.networking.k8s.io", "v1", "gateways", "Gateway");
static GATEWAY_CLASSES: Resource = Resource::cluster_wide(
    "gateway.networking.k8s.io",
    "v1",
    "gatewayclasses",
    "GatewayClass",
);
/// What changes together is made together.
const TOGETHER: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(5);
/// The first says what others own; somebody may take more meanwhile.
const TRIES: usize = 3;
/// For Gateway API to be there, or a name to be free.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Complaints that are remembered.
const MOST_TOLD: usize = 1000;

#[cfg(test)]
mod tests;
