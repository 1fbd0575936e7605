use std::time::Duration;

use mesh_kube::ObjectName;
use mesh_kube::fake::FakeApi;
use mesh_net::NetnsId;
use mesh_register::{Membership, Redirection};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::announce::Announcer;
use crate::announce::settling::Settling;
use crate::enroll::{Failure, PodKey, Record};
use crate::roster::selector::Enablement;

fn rules() -> Rules {
    Rules {
        enablement: Enablement::default(),
        excluded: [].into(),
        own_namespace: "istio-system".to_owned(),
        own_daemonset: "istio-cni-node".to_owned(),
    }
}

fn pod(annotation: Option<&str>) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "annotations": {}},
        "spec": {"nodeName": "n1"}, "status": {"phase": "Running", "podIP": "10.0.0.1"},
    });
    if let Some(annotation) = annotation {
        pod["metadata"]["annotations"]["ambient.istio.io/redirection"] = json!(annotation);
    }
    pod
}

fn namespace(mode: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"istio.io/dataplane-mode": mode}},
    })
}

fn record() -> Record {
    Record {
        key: PodKey("u1".to_owned()),
        pod: NamespacedName::new("shop", "web"),
        container_id: Some("box".to_owned()),
        netns_path: "/run/netns/x".into(),
        netns: NetnsId { dev: 1, inode: 2 },
        ips: vec!["10.0.0.1".parse().expect("an address")],
        enrolment: None,
        older: Vec::new(),
    }
}

struct World {
    api: FakeApi,
    source: Source,
    announcer: Announcer,
}

impl World {
    fn new(annotation: Option<&str>) -> Self {
        let api = FakeApi::new();
        api.put(&NAMESPACE, namespace("ambient"));
        api.put(&POD, pod(annotation));
        let annotator = Annotator::new(api.client(), Settling::blindly(SETTLE));
        Self {
            source: Source::api_server(&api.client(), "n1", rules(), annotator.clone()),
            announcer: Announcer::Annotation(annotator),
            api,
        }
    }

    /// Events until one is such.
    async fn until(&mut self, is_such: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.source.next().await;
            if is_such(&event) {
                return event;
            }
        }
    }

    async fn expectation(&mut self) -> (Membership, Option<String>) {
        match self.until(|event| matches!(event, Event::Expect(..))).await {
            Event::Expect(assignment, instance) => (assignment.membership, instance.redirection),
            other => panic!("{other:?}"),
        }
    }

    fn annotation(&self) -> Value {
        let object = self
            .api
            .object(&POD, &ObjectName::new("shop", "web"))
            .expect("the pod");
        object["metadata"]["annotations"]["ambient.istio.io/redirection"].clone()
    }

    fn writes(&self) -> usize {
        self.api
            .requests()
            .iter()
            .filter(|request| request.starts_with("PATCH"))
            .count()
    }
}

#[tokio::test]
async fn pods_of_this_node_are_told_and_every_change_of_their_labels() {
    let mut world = World::new(None);
    assert_eq!(world.expectation().await, (Membership::Member, None));
    world
        .until(|event| matches!(event, Event::Assignment(AssignmentEvent::SnapshotComplete)))
        .await;
    let asked = world.api.requests();
    assert!(
        asked
            .iter()
            .any(|request| request.contains("fieldSelector=spec.nodeName%3Dn1")),
        "{asked:?}"
    );
    world.api.put(&NAMESPACE, namespace("none"));
    assert_eq!(world.expectation().await.0, Membership::Outside);
    world.api.remove(&POD, &ObjectName::new("shop", "web"));
    world
        .until(|event| matches!(event, Event::Assignment(AssignmentEvent::Unassign(_))))
        .await;
}

#[tokio::test]
async fn an_api_server_that_is_away_is_told_and_changes_nothing() {
    let mut world = World::new(None);
    world.expectation().await;
    world.until(|event| matches!(event, Event::Connected)).await;
    assert!(world.announcer.status().connected);
    world.api.away(true);
    world
        .until(|event| matches!(event, Event::Assignment(AssignmentEvent::Disconnected)))
        .await;
    let status = world.announcer.status();
    assert!(!status.connected && status.last_error.is_some());
    let failed = world.announcer.report(&record(), Redirection::Enabled).await;
    assert!(matches!(failed, Err(Failure::Unavailable(_))), "{failed:?}");
    world.api.away(false);
    world.until(|event| matches!(event, Event::Connected)).await;
    world.api.put(&NAMESPACE, namespace("none"));
    assert_eq!(world.expectation().await.0, Membership::Outside);
}

#[tokio::test]
async fn who_is_announced_stays_so_while_its_ztunnel_is_away_and_is_pending_when_that_refuses_it() {
    let mut world = World::new(Some("enabled"));
    world.expectation().await;
    world.announcer.report_pending(&record(), &away()).await;
    assert_eq!(
        world.annotation(),
        "enabled",
        "others send it mutual TLS or nothing"
    );
    let refused = Failure::Refused("a port is in use".to_owned());
    world.announcer.report_pending(&record(), &refused).await;
    assert_eq!(world.annotation(), "pending");
}

fn away() -> Failure {
    Failure::Unavailable("no ztunnel is connected to the node agent".to_owned())
}

#[tokio::test]
async fn the_annotation_says_what_became_of_a_pod_and_is_written_only_to_change_it() {
    let mut world = World::new(None);
    world.expectation().await;
    world.announcer.report_pending(&record(), &away()).await;
    assert_eq!(world.annotation(), "pending");
    for _ in 0..2 {
        world
            .announcer
            .report(&record(), Redirection::Enabled)
            .await
            .expect("told");
        assert_eq!(world.annotation(), "enabled");
    }
    assert_eq!(world.writes(), 2);
    let began = Instant::now();
    world
        .announcer
        .report(&record(), Redirection::Plain)
        .await
        .expect("told");
    assert_eq!(world.annotation(), Value::Null);
    assert!(began.elapsed() >= SETTLE, "others are given time to learn it");
    world
        .announcer
        .report(&record(), Redirection::Plain)
        .await
        .expect("told");
    assert_eq!(world.writes(), 3, "nothing to learn");
}

#[tokio::test]
async fn a_successor_of_the_same_name_is_not_marked_in_its_predecessors_place() {
    let mut world = World::new(Some("enabled"));
    assert_eq!(world.expectation().await.1.as_deref(), Some("enabled"));
    let before = Record {
        key: PodKey("u0".to_owned()),
        ..record()
    };
    world
        .announcer
        .report(&before, Redirection::Plain)
        .await
        .expect("nobody to tell");
    assert_eq!((world.writes(), world.annotation()), (0, json!("enabled")));
    // Of a pod that is gone nobody need be told.
    world.api.remove(&POD, &ObjectName::new("shop", "web"));
    world
        .until(|event| matches!(event, Event::Assignment(AssignmentEvent::Unassign(_))))
        .await;
    world
        .announcer
        .report(&record(), Redirection::Enabled)
        .await
        .expect("nobody to tell");
}

#[tokio::test]
async fn rights_that_are_missing_are_named() {
    let mut world = World::new(None);
    world.expectation().await;
    world.api.forbid(&POD, true);
    let failed = world
        .announcer
        .report(&record(), Redirection::Enabled)
        .await
        .expect_err("not allowed");
    let reason = failed.reason();
    assert!(
        reason.contains("shop/web") && reason.contains("ambient.istio.io/redirection"),
        "{reason}"
    );
}

const SETTLE: Duration = Duration::from_millis(50);
