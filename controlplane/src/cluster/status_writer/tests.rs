use controlplane_index::status::{ConditionType, StatusCondition, StatusReason};
use mesh_kube::fake::FakeApi;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;

static SERVICES: Resource = Resource::namespaced("", "v1", "services", "Service");

fn key() -> ObjectKey {
    ObjectKey {
        kind: Kind::Service,
        namespace: "shop".into(),
        name: "cart".into(),
    }
}

fn bound(holds: bool) -> ObjectStatus {
    ObjectStatus {
        conditions: vec![StatusCondition {
            kind: ConditionType::WaypointBound,
            holds,
            reason: StatusReason::WaypointAccepted,
            message: String::new(),
        }],
        ..ObjectStatus::new(key())
    }
}

/// A writer, and the control loop that it asks.
struct Fixture {
    api: FakeApi,
    statuses: watch::Sender<Vec<ObjectStatus>>,
    changed: watch::Sender<u64>,
    /// Whose duty it is.
    _ours: watch::Sender<bool>,
}

impl Fixture {
    fn start() -> Self {
        let api = FakeApi::new();
        api.put(
            &SERVICES,
            json!({"metadata": {"namespace": "shop", "name": "cart"}, "spec": {}}),
        );
        let (statuses, known) = watch::channel(vec![bound(true)]);
        let (ask, mut asked) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(question) = asked.recv().await {
                if let Question::KnownStatuses(answer) = question {
                    drop(answer.send(Some(known.borrow().clone())));
                }
            }
        });
        let (changed, changes) = watch::channel(0);
        let (told, ours) = watch::channel(true);
        tokio::spawn(keep(api.client(), ask, changes, ours));
        Self {
            api,
            statuses,
            changed,
            _ours: told,
        }
    }

    async fn say(&self, statuses: Vec<ObjectStatus>) {
        self.statuses.send_replace(statuses);
        self.changed.send_modify(|n| *n += 1);
        a_while().await;
    }

    fn condition(&self) -> Value {
        let object = self
            .api
            .object(&SERVICES, &ObjectName::new("shop", "cart"))
            .expect("a Service");
        object["status"]["conditions"][0]["status"].clone()
    }

    fn writes(&self) -> usize {
        self.api
            .requests()
            .iter()
            .filter(|r| r.starts_with("PUT"))
            .count()
    }
}

async fn a_while() {
    sleep(Duration::from_secs(20)).await;
}

#[tokio::test(start_paused = true)]
async fn what_changes_is_written_once_and_what_is_unsaid_is_taken_away() {
    let fixture = Fixture::start();
    a_while().await;
    assert_eq!(fixture.condition(), "True");
    fixture.say(vec![bound(true)]).await;
    assert_eq!(fixture.writes(), 1, "nothing changed");
    fixture.say(vec![bound(false)]).await;
    assert_eq!(fixture.condition(), "False");
    fixture.say(Vec::new()).await;
    assert_eq!(fixture.condition(), Value::Null);
    assert_eq!(fixture.writes(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_outage_delays_a_write_and_nothing_else() {
    let fixture = Fixture::start();
    a_while().await;
    fixture.api.away(true);
    fixture.say(vec![bound(false)]).await;
    fixture.api.away(false);
    a_while().await;
    assert_eq!(fixture.condition(), "False");
}
