//! Telling others what became of a pod: the control plane, by the registration stream, or everybody, by an annotation of
//! its object.
//!
//! # Layout
//! - this file: telling. [`settling`]: waiting until others know of a pod that has left.

pub mod settling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_kube::write::Part;
use mesh_kube::{KubeClient, KubeError, ObjectName, Resource};
use mesh_register::{Redirection, RegisterHandle, Report, ReportError, Withdrawal};
use mesh_types::NamespacedName;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{sleep, timeout};

use settling::Settling;

use crate::enroll::pod::annotation;
use crate::enroll::{Failure, Record};
use crate::roster::{Instance, REDIRECTION};

/// Whoever is to be told.
#[derive(Clone)]
pub enum Announcer {
    /// The control plane.
    Registration(Registration),
    /// Everybody who reads the pod's object.
    Annotation(Annotator),
}

/// Reports on the registration stream. Cloning shares it.
#[derive(Clone)]
pub struct Registration {
    /// The stream.
    pub registrar: RegisterHandle,
    /// How long proxies need until they have what the control plane has published.
    pub settle: Duration,
}

/// Writes the annotation. Cloning shares it.
#[derive(Clone)]
pub struct Annotator {
    inner: Arc<Inner>,
}

struct Inner {
    client: KubeClient,
    /// Until others know of a pod that has left the mesh, and send it no more mutual TLS.
    settling: Settling,
    link: Mutex<Link>,
}

#[derive(Default)]
struct Link {
    connected: bool,
    last_error: Option<String>,
    /// What the API server says of each pod of this node now: its uid and annotation.
    pods: BTreeMap<NamespacedName, Instance>,
}

/// Whether whoever says what belongs here can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// Whether it can.
    pub connected: bool,
    /// Why not, or why not the last time.
    pub last_error: Option<String>,
}

impl Announcer {
    /// Tells of a pod that it is in the mesh, on its way, or not in it; returns once that is known.
    ///
    /// # Errors
    /// Fails when nobody could be told, or took it.
    pub async fn report(&self, record: &Record, redirection: Redirection) -> Result<(), Failure> {
        match self {
            Self::Registration(Registration { registrar, settle }) => {
                let report = registrar.report(Report {
                    workload: record.pod.clone(),
                    uid: record.key.0.clone(),
                    addresses: record.ips.clone(),
                    redirection,
                    network_ready: true,
                });
                self.registered(record, timeout(DEADLINE, report).await.ok())?;
                if redirection == Redirection::Plain && record.enrolment.is_some() {
                    // It leaves the mesh: others have been told of it, and have not said that they know.
                    sleep(*settle).await;
                }
            }
            Self::Annotation(annotator) => {
                if !annotator.annotate(record, redirection).await? {
                    return Ok(());
                }
            }
        }
        tracing::info!(pod = %record.pod, ?redirection, "it is announced what became of a pod");
        Ok(())
    }

    /// Its proxy did not take a pod that has its rules. Said as well as may be: the pod waits in any case.
    ///
    /// Where nobody was there to take it, a pod that is announced to be in the mesh stays so: whoever held it for one outside would
    /// send to it in the clear, and be refused.
    pub async fn report_pending(&self, record: &Record, why: &Failure) {
        let Self::Annotation(annotator) = self else {
            return;
        };
        let was_refused = matches!(why, Failure::Refused(_));
        if !was_refused && annotator.says_enabled(record) {
            return;
        }
        if let Err(failure) = annotator.annotate(record, Redirection::Pending).await {
            tracing::debug!(pod = %record.pod, reason = failure.reason(), "it cannot be said that a pod is pending");
        }
    }

    /// Tells that a pod is gone. Of an object that is gone with it nobody need be told.
    ///
    /// # Errors
    /// As [`Self::report`].
    pub async fn withdraw(&self, record: &Record) -> Result<(), Failure> {
        let Self::Registration(Registration { registrar, .. }) = self else {
            return Ok(());
        };
        let withdrawal = registrar.withdraw(Withdrawal {
            workload: record.pod.clone(),
            uid: record.key.0.clone(),
        });
        match timeout(DEADLINE, withdrawal).await.ok() {
            // What the control plane does not know, or does not take, is not registered.
            Some(Err(ReportError::NotAssigned | ReportError::Invalid(_))) => Ok(()),
            answer => self.registered(record, answer),
        }
    }

    /// Whether whoever says what belongs here can be reached.
    #[must_use]
    pub fn status(&self) -> LinkStatus {
        match self {
            Self::Registration(Registration { registrar, .. }) => {
                let status = registrar.status();
                LinkStatus {
                    connected: status.connected,
                    last_error: status.last_error.map(|error| error.to_string()),
                }
            }
            Self::Annotation(annotator) => annotator.status(),
        }
    }

    fn registered(&self, record: &Record, answer: Option<Result<(), ReportError>>) -> Result<(), Failure> {
        let pod = &record.pod;
        match answer {
            Some(Ok(())) => Ok(()),
            Some(Err(error @ ReportError::Invalid(_))) => {
                Err(Failure::Refused(format!("pod {pod}: {error}")))
            }
            Some(Err(error)) => Err(Failure::Unavailable(format!("pod {pod}: {error}"))),
            None => {
                let status = self.status();
                Err(Failure::Unavailable(
                    match (status.connected, status.last_error) {
                        (true, _) => {
                            format!(
                                "the control plane has not confirmed the registration of pod {pod} in time"
                            )
                        }
                        (false, Some(error)) => {
                            format!("the control plane cannot be reached to register pod {pod}: {error}")
                        }
                        (false, None) => format!("the control plane cannot be reached to register pod {pod}"),
                    },
                ))
            }
        }
    }
}

impl Annotator {
    /// Writes through this client.
    #[must_use]
    pub fn new(client: KubeClient, settling: Settling) -> Self {
        let inner = Inner {
            client,
            settling,
            link: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The API server was heard, or was not; whether that is new.
    pub(crate) fn heard(&self, error: Option<String>) -> bool {
        let mut link = self.inner.link.lock();
        let connected = error.is_none();
        let news = link.connected != connected || (!connected && link.last_error != error);
        link.connected = connected;
        if error.is_some() {
            link.last_error = error;
        }
        news
    }

    /// What the API server says of a pod now.
    pub(crate) fn seen(&self, pod: NamespacedName, instance: Option<Instance>) {
        let mut link = self.inner.link.lock();
        match instance {
            Some(instance) => drop(link.pods.insert(pod, instance)),
            None => drop(link.pods.remove(&pod)),
        }
    }

    /// Returns once the API server says that this node has no such pod (any more).
    pub async fn gone(&self, pod: &NamespacedName) {
        while self.inner.link.lock().pods.contains_key(pod) {
            sleep(LOOK).await;
        }
    }

    fn status(&self) -> LinkStatus {
        let link = self.inner.link.lock();
        LinkStatus {
            connected: link.connected,
            last_error: link.last_error.clone(),
        }
    }

    /// Whether the pod's object says that it is in the mesh; of one that nobody has read yet nothing is known, and nothing taken
    /// back.
    fn says_enabled(&self, record: &Record) -> bool {
        let pods = &self.inner.link.lock().pods;
        pods.get(&record.pod)
            .is_none_or(|now| now.redirection.as_deref() == annotation(Redirection::Enabled))
    }

    /// Makes the annotation say this; whether it did not.
    async fn annotate(&self, record: &Record, redirection: Redirection) -> Result<bool, Failure> {
        let value = annotation(redirection);
        let now = self.inner.link.lock().pods.get(&record.pod).cloned();
        if let Some(now) = &now {
            let another = record.uid().is_some_and(|uid| uid != now.uid);
            if another || now.redirection.as_deref() == value {
                return Ok(false);
            }
        }
        let name = ObjectName::new(record.pod.namespace.as_str(), record.pod.name.as_str());
        let patch = json!({"metadata": {"annotations": {REDIRECTION: value}}});
        // Both parts of a Pod can change its annotations; the right to change its status is the smaller one.
        let patched = self.inner.client.merge_patch(&POD, &name, Part::Status, &patch);
        match timeout(DEADLINE, patched).await {
            Ok(Ok(())) => {}
            // Who would read it is gone as well.
            Ok(Err(KubeError::NotFound(_))) => return Ok(false),
            Ok(Err(error)) if error.is_worth_retrying() => return Err(unavailable(record, &error)),
            Ok(Err(error)) => {
                let text = format!("pod {}: its annotation {REDIRECTION}: {error}", record.pod);
                return Err(Failure::Refused(text));
            }
            Err(_) => return Err(unavailable(record, &"the API server gives no answer in time")),
        }
        if let Some(instance) = self.inner.link.lock().pods.get_mut(&record.pod) {
            instance.redirection = value.map(str::to_owned);
        }
        if redirection == Redirection::Plain {
            self.inner.settling.settled(record).await;
        }
        Ok(true)
    }
}

fn unavailable(record: &Record, why: &dyn std::fmt::Display) -> Failure {
    Failure::Unavailable(format!("pod {}: its annotation {REDIRECTION}: {why}", record.pod))
}

/// Pods.
pub static POD: Resource = Resource::namespaced("", "v1", "pods", "Pod");
const DEADLINE: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);
