//! What only one replica does, each under a Lease of its own, so that replicas share the work and one duty's trouble is not
//! another's.

use std::convert::Infallible;
use std::future::Future;
use std::time::{Duration, SystemTime};

use mesh_kube::lease::driver::{Settings, follow, hold};
use mesh_kube::lease::{Holder, PodRun};
use mesh_kube::{KubeClient, ObjectName};
use mesh_runtime::drain::DrainWatcher;
use mesh_types::{NamespacedName, Strng};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{mpsc, oneshot, watch};

use crate::control::Question;
use crate::pods::PodBoard;

/// Something that one replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// What pods trust, in every namespace.
    RootCertificate,
    /// Conditions, in the statuses of objects.
    Statuses,
    /// What Gateways of our classes become.
    Gateways,
    /// Addresses of hosts, in the statuses of ServiceEntries.
    Addresses,
    /// The taint of nodes whose agent is not ready yet.
    Untaint,
}

impl Duty {
    /// The name of the Lease among the replicas of a revision: revisions of one namespace do not wait for each other.
    #[must_use]
    pub fn lease(self, revision: &str) -> String {
        let name = match self {
            Self::RootCertificate => "lateen-root-cert",
            Self::Statuses => STATUSES,
            Self::Gateways => GATEWAYS,
            Self::Addresses => "lateen-addresses",
            Self::Untaint => "lateen-untaint",
        };
        of_revision(name, revision)
    }
}

/// The field manager of what Gateways become: revisions have one each, as they have Gateways of their own.
#[must_use]
pub fn gateway_manager(revision: &str) -> String {
    of_revision(GATEWAYS, revision)
}

/// The field manager of what is applied of statuses: each revision's writer takes away its own.
#[must_use]
pub fn status_manager(revision: &str) -> String {
    of_revision(STATUSES, revision)
}

/// Whether an object with these labels names a revision, so that its own revision alone has it.
#[must_use]
pub fn names_revision<'a>(label: impl FnOnce(&'static str) -> Option<&'a str>) -> bool {
    label(REVISION).is_some()
}

/// Whether a Gateway with these labels is this revision's to carry out: the one that its label names, else the default one.
/// Every revision's proxies heed it all the same (Istio, "Canary Upgrades").
#[must_use]
pub fn is_of_revision<'a>(label: impl FnOnce(&'static str) -> Option<&'a str>, revision: &str) -> bool {
    label(REVISION).unwrap_or(DEFAULT) == revision
}

/// Whether the revision `default` does a duty, for another one that would do it for what names no revision: while somebody holds
/// its Lease, or did not long ago. Of the revision `default` itself it never is another's, and nobody needs to look.
pub fn default_does(
    duty: Duty,
    revision: &str,
    namespace: &str,
    client: KubeClient,
) -> (
    watch::Receiver<bool>,
    Option<impl Future<Output = Result<(), Infallible>> + use<>>,
) {
    if revision == DEFAULT {
        return (watch::channel(false).1, None);
    }
    let lease = ObjectName::new(namespace, duty.lease(DEFAULT).as_str());
    let (does, following) = follow(client, lease, LEASE);
    (does, Some(async move { match following.await {} }))
}

/// A name that revisions do not share. The default one's is the plain one, as there was no other at first.
fn of_revision(name: &str, revision: &str) -> String {
    match revision {
        DEFAULT => name.to_owned(),
        other => format!("{name}-{other}"),
    }
}

/// Asks for the Lease of a duty until the process drains; the receiver says whether it is ours. `pods`: which ones run.
pub fn ask_for(
    lease: ObjectName,
    client: KubeClient,
    me: Holder,
    pods: PodBoard,
    mut drained: DrainWatcher,
) -> (
    watch::Receiver<bool>,
    impl Future<Output = Result<(), Infallible>> + use<>,
) {
    let namespace = Strng::from(&*lease.namespace);
    let sees = move |pod: &PodRun| {
        let name = NamespacedName::new(namespace.clone(), pod.name.as_str());
        pods.runs(&name, &pod.uid)
    };
    let settings = Settings {
        lease,
        me,
        duration: LEASE,
    };
    // The process waits for the last of these: the Lease is given back before it ends.
    let held = drained.clone();
    let stop = async move {
        drained.draining().await;
    };
    let (ours, driver) = hold(client, settings, sees, stop);
    let task = async move {
        driver.await;
        drop(held);
        // Given back: nothing more to do until the process ends.
        std::future::pending().await
    };
    (ours, task)
}

/// Waits until a duty is ours.
pub async fn begins(ours: &mut watch::Receiver<bool>) {
    // Whoever told us ends with the process.
    if ours.wait_for(|ours| *ours).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until a duty is not ours any more.
pub async fn ends(ours: &mut watch::Receiver<bool>) {
    if ours.wait_for(|ours| !*ours).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The time for statuses, in whole seconds (RFC 3339).
#[must_use]
pub fn now() -> String {
    let now = OffsetDateTime::from(SystemTime::now()).replace_nanosecond(0);
    let now = now.ok().and_then(|now| now.format(&Rfc3339).ok());
    now.unwrap_or_default()
}

/// What the control loop answers.
pub async fn answer<T: Default>(
    ask: &mpsc::Sender<Question>,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> T {
    let (answer, answered) = oneshot::channel();
    if ask.send(question(answer)).await.is_err() {
        // The loop is gone only while the process ends.
        std::future::pending::<()>().await;
    }
    answered.await.unwrap_or_default()
}

const GATEWAYS: &str = "lateen-gateways";
const STATUSES: &str = "lateen-status";
const REVISION: &str = "istio.io/rev";
/// The revision that whatever names none belongs to.
const DEFAULT: &str = "default";
/// As upstream's Leases.
const LEASE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
