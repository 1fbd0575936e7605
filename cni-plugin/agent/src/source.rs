//! Who says what belongs on this node: the control plane, by the registration stream, or the API server, by its pods and
//! namespaces. Both give the same events.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use mesh_kube::watch::Watch;
use mesh_kube::{KubeClient, News, Resource, Selection, watch};
use mesh_register::{AssignmentEvent, AssignmentEvents, RegisterHandle};
use mesh_types::NamespacedName;
use tokio::sync::watch as state;

use crate::announce::{Annotator, POD};
use crate::enroll::{Authority, Event};
use crate::roster::object::{NamespaceObject, PodObject};
use crate::roster::rules::Rules;
use crate::roster::{Change, Roster};

/// Who says it.
pub enum Source {
    /// The control plane.
    Registration(Registration),
    /// The API server.
    ApiServer(Box<ApiServer>),
}

/// The registration stream.
pub struct Registration {
    assignments: AssignmentEvents,
    connected: state::Receiver<bool>,
}

/// The API server.
pub struct ApiServer {
    roster: Roster,
    pods: Watch<PodObject>,
    namespaces: Watch<NamespaceObject>,
    annotator: Annotator,
    events: VecDeque<Event>,
}

impl Source {
    /// What the control plane assigns.
    #[must_use]
    pub fn registration(assignments: AssignmentEvents, registrar: &RegisterHandle) -> Self {
        Self::Registration(Registration {
            assignments,
            connected: registrar.connected(),
        })
    }

    /// What the API server has for this node.
    #[must_use]
    pub fn api_server(client: &KubeClient, node: &str, rules: Rules, annotator: Annotator) -> Self {
        let pods = Selection::all(POD.clone()).with_fields(format!("spec.nodeName={node}"));
        Self::ApiServer(Box::new(ApiServer {
            roster: Roster::new(rules),
            pods: watch(client, pods),
            namespaces: watch(client, Selection::all(NAMESPACE.clone()).metadata_only()),
            annotator,
            events: VecDeque::new(),
        }))
    }

    /// Who it is.
    #[must_use]
    pub fn authority(&self) -> Authority {
        match self {
            Self::Registration(_) => Authority::ControlPlane,
            Self::ApiServer(_) => Authority::ApiServer,
        }
    }

    /// What is said next. May be cancelled without loss.
    pub async fn next(&mut self) -> Event {
        match self {
            Self::Registration(registration) => registration.next().await,
            Self::ApiServer(server) => server.next().await,
        }
    }
}

impl Registration {
    async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                Some(event) = self.assignments.next() => return Event::Assignment(event),
                Ok(()) = self.connected.changed() => {
                    if *self.connected.borrow_and_update() {
                        return Event::Connected;
                    }
                }
                // Its driver has ended, and with it the process.
                else => std::future::pending().await,
            }
        }
    }
}

impl ApiServer {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            tokio::select! {
                Some(news) = self.pods.next() => self.pods(news),
                Some(news) = self.namespaces.next() => self.namespaces(news),
                else => std::future::pending().await,
            }
        }
    }

    fn pods(&mut self, news: News<PodObject>) {
        match news {
            News::Event(event) => {
                let changes = self.roster.pods(event);
                self.take(changes);
            }
            News::Malformed { object, reason } => {
                tracing::error!(pod = %object, reason, "a pod's object cannot be read; it stays as it was");
                self.roster.malformed_pod(NamespacedName::new(
                    object.namespace.as_str(),
                    object.name.as_str(),
                ));
            }
            other => self.link(&other, "pods"),
        }
    }

    fn namespaces(&mut self, news: News<NamespaceObject>) {
        match news {
            News::Event(event) => {
                let changes = self.roster.namespaces(event);
                self.take(changes);
            }
            News::Malformed { object, reason } => {
                tracing::error!(
                    namespace = object.name,
                    reason,
                    "a namespace cannot be read; it stays as it was"
                );
                self.roster.malformed_namespace(object.name);
            }
            other => self.link(&other, "namespaces"),
        }
    }

    fn take(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.events.push_back(match change {
                Change::Expect(expected) => {
                    let name = &expected.assignment.workload;
                    for warning in &expected.warnings {
                        tracing::warn!(pod = %name, warning, "a part of a pod's annotations is without effect");
                    }
                    self.annotator.seen(name.clone(), Some(expected.instance.clone()));
                    Event::Expect(expected.assignment, expected.instance)
                }
                Change::Gone(name) => {
                    self.annotator.seen(name.clone(), None);
                    Event::Assignment(AssignmentEvent::Unassign(name))
                }
                Change::Complete => Event::Assignment(AssignmentEvent::SnapshotComplete),
            });
        }
    }

    fn link<T>(&mut self, news: &News<T>, what: &str) {
        let error = match news {
            News::Current => None,
            News::Away(error) => Some(error.to_string()),
            News::NotServed => Some(format!("the API server has no {what}")),
            News::Event(_) | News::Malformed { .. } => return,
        };
        let news = self.annotator.heard(error.clone());
        match error {
            None => self.events.push_back(Event::Connected),
            Some(error) => {
                // It is tried again and again; it is said once.
                if news {
                    tracing::warn!(
                        error,
                        "the API server is away: pods that run stay as they are, those that start wait"
                    );
                }
                self.events
                    .push_back(Event::Assignment(AssignmentEvent::Disconnected));
            }
        }
    }
}

static NAMESPACE: Resource = Resource::cluster_wide("", "v1", "namespaces", "Namespace");

#[cfg(test)]
mod tests;
