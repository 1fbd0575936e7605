//! Asks for a Lease again and again, keeps it, gives it back at the end; or looks whether others do.

use std::convert::Infallible;
use std::future::Future;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{Decision, Holder, Observed, PodRun, Record, decide};
use crate::client::KubeClient;
use crate::error::KubeError;
use crate::resource::{ObjectName, Resource};
use crate::watch::Selection;
use crate::write::Part;

/// A Lease to be held.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which one.
    pub lease: ObjectName,
    /// Who we are: differs between processes that run.
    pub me: Holder,
    /// For how long others believe us without a renewal.
    pub duration: Duration,
}

/// Asks for a Lease and keeps it until `stop` is ready, then gives it back. The receiver says whether it is ours; it says
/// no from the moment when it might not be.
///
/// `sees` says whether a pod of the Lease's namespace is believed to run, from what is known already. Where it says no of the pod
/// that holds the Lease, the API server is asked; where that does not know it either, nobody waits for the Lease's end.
pub fn hold(
    client: KubeClient,
    settings: Settings,
    sees: impl Fn(&PodRun) -> bool,
    stop: impl Future<Output = ()>,
) -> (watch::Receiver<bool>, impl Future<Output = ()>) {
    let (ours, is_ours) = watch::channel(false);
    let keeper = Keeper {
        client,
        me: settings.me.to_string(),
        settings,
        sees,
        observed: None,
        object: None,
        kept: None,
        ours,
    };
    (is_ours, keeper.run(stop))
}

/// Follows a Lease that is others' to hold. The receiver says whether somebody does ([`Observed::is_in_use`]); it says yes until it
/// was looked at for so long, and what it said last while the API server is away. The future runs for good.
pub fn follow(
    client: KubeClient,
    lease: ObjectName,
    within: Duration,
) -> (watch::Receiver<bool>, impl Future<Output = Infallible>) {
    let (tell, in_use) = watch::channel(true);
    let following = async move {
        let mut observed = None;
        loop {
            if let Ok(object) = client.find::<Value>(&LEASES, &lease).await {
                let record = object.as_ref().map(Record::of).unwrap_or_default();
                let now = Instant::now();
                let seen = Observed::after(observed.take(), record, now);
                let is = seen.is_in_use(within, now);
                tell.send_if_modified(|told| std::mem::replace(told, is) != is);
                observed = Some(seen);
            }
            sleep(within / 6).await;
        }
    };
    (in_use, following)
}

struct Keeper<S> {
    client: KubeClient,
    settings: Settings,
    /// The settings' `me`, as Leases say it.
    me: String,
    sees: S,
    observed: Option<Observed>,
    /// The Lease as it was read or written last.
    object: Option<Value>,
    /// When we last began to renew with success.
    kept: Option<Instant>,
    ours: watch::Sender<bool>,
}

impl<S: Fn(&PodRun) -> bool> Keeper<S> {
    async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        loop {
            let next = tokio::select! {
                () = &mut stop => break,
                next = self.look() => next,
            };
            tokio::select! {
                () = &mut stop => break,
                () = sleep_until(next) => {}
                // Between two looks our time may be over.
                () = self.doubted() => self.lost(),
            }
        }
        self.release().await;
    }

    /// Looks once and does what is to be done; says when to look again.
    async fn look(&mut self) -> Instant {
        let begun = Instant::now();
        let limit = self.deadline().unwrap_or(begun + self.settings.duration);
        let done = timeout_at(limit.max(begun), self.step(begun)).await;
        let done =
            done.unwrap_or_else(|_| Err(KubeError::Unreachable("too slow to keep a Lease".to_owned())));
        match done {
            Ok(wait) => wait.unwrap_or(begun + self.settings.duration / 3),
            Err(_) => {
                if self.deadline().is_none_or(|deadline| deadline <= Instant::now()) {
                    self.lost();
                }
                Instant::now() + self.settings.duration / 15
            }
        }
    }

    async fn step(&mut self, begun: Instant) -> Result<Option<Instant>, KubeError> {
        self.object = self.client.find::<Value>(&LEASES, &self.settings.lease).await?;
        self.observe();
        let gone = self.holder_is_gone().await;
        match decide(self.observed.as_ref(), begun, &self.me, gone) {
            Decision::Wait(until) => {
                self.lost();
                // A release is seen sooner than an end.
                Ok(Some(until.min(begun + self.settings.duration / 6)))
            }
            Decision::Acquire | Decision::Renew => match self.write().await {
                Ok(()) => {
                    self.kept = Some(begun);
                    self.ours.send_replace(true);
                    Ok(None)
                }
                Err(KubeError::Conflict(_) | KubeError::AlreadyExists(_)) => Ok(Some(begun)),
                Err(e) => Err(e),
            },
        }
    }

    /// Whether it is held by a pod that does not run any more. What is not known for certain is a no.
    async fn holder_is_gone(&self) -> bool {
        let holder = self.observed.as_ref().map(|seen| Holder::of(&seen.record.holder));
        let Some(Holder::Pod(holder)) = holder.filter(|holder| *holder != self.settings.me) else {
            return false;
        };
        if (self.sees)(&holder) {
            return false;
        }
        // What is known may be behind. The API server's own answer is not: without a version it is of now.
        let one = Selection::all(PODS)
            .in_namespace(&*self.settings.lease.namespace)
            .with_fields(format!("metadata.name={}", holder.name));
        let found = self.client.list::<Value>(&one).await;
        found.is_ok_and(|pods| !pods.iter().any(|pod| runs(pod, &holder)))
    }

    fn observe(&mut self) {
        self.observed = self.object.as_ref().map(|lease| {
            let record = Record::of(lease);
            Observed::after(self.observed.take(), record, Instant::now())
        });
    }

    async fn write(&mut self) -> Result<(), KubeError> {
        let Settings { lease, duration, .. } = &self.settings;
        let before = self.object.as_ref().map(Record::of).unwrap_or_default();
        let acquired = self
            .object
            .as_ref()
            .and_then(|l| l["spec"]["acquireTime"].as_str());
        let spec = before.held(&self.me, *duration, &now(), acquired);
        let written = match self.object.clone() {
            Some(mut object) => {
                object["spec"] = spec;
                self.client.replace(&LEASES, lease, Part::Main, &object).await?
            }
            None => {
                let object = json!({
                    "apiVersion": LEASES.api_version(),
                    "kind": "Lease",
                    "metadata": {"namespace": lease.namespace, "name": lease.name},
                    "spec": spec,
                });
                self.client.create(&LEASES, &lease.namespace, &object).await?
            }
        };
        self.object = Some(written);
        self.observe();
        Ok(())
    }

    /// Ours, unless others may take it by then. They count from when they saw the renewal, so later than this.
    fn deadline(&self) -> Option<Instant> {
        let kept = self.kept?;
        Some(kept + self.settings.duration * 2 / 3)
    }

    async fn doubted(&self) {
        match self.deadline() {
            Some(deadline) if *self.ours.borrow() => sleep_until(deadline).await,
            _ => std::future::pending().await,
        }
    }

    fn lost(&mut self) {
        self.kept = None;
        self.ours.send_if_modified(std::mem::take);
    }

    /// Others need not wait for its end.
    async fn release(mut self) {
        let held = *self.ours.borrow();
        self.lost();
        let Some(mut object) = self.object.take().filter(|_| held) else {
            return;
        };
        object["spec"]["holderIdentity"] = json!("");
        object["spec"]["renewTime"] = json!(now());
        let written = self
            .client
            .replace::<Value>(&LEASES, &self.settings.lease, Part::Main, &object);
        // Not given back, it ends by itself.
        drop(timeout_at(Instant::now() + RELEASE, written).await);
    }
}

/// Whether this is that pod, and its processes have not ended.
fn runs(pod: &Value, holder: &PodRun) -> bool {
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    pod["metadata"]["name"] == *holder.name && pod["metadata"]["uid"] == *holder.uid && !ended
}

/// Now, as Kubernetes writes it: RFC 3339 with microseconds.
fn now() -> String {
    let now = OffsetDateTime::from(SystemTime::now());
    now.format(MICRO_TIME).unwrap_or_default()
}

const MICRO_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
static LEASES: Resource = Resource::namespaced("coordination.k8s.io", "v1", "leases", "Lease");
const PODS: Resource = Resource::namespaced("", "v1", "pods", "Pod");
/// What a stopping process waits for it.
const RELEASE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
