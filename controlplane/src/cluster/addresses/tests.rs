use std::sync::Arc;

use controlplane_index::{Index, MeshConfig, ObjectChange};
use controlplane_k8s_api::RawObject;
use mesh_kube::fake::FakeApi;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::*;

static ENTRIES: Resource =
    Resource::namespaced("networking.istio.io", "v1", "serviceentries", "ServiceEntry");

/// A replica: its index, which sees what the API server has, and its writer.
struct Replica {
    api: FakeApi,
    index: Arc<Mutex<Index>>,
    changed: watch::Sender<u64>,
    ours: watch::Sender<bool>,
}

impl Replica {
    fn start(api: &FakeApi, is_leader: bool) -> Self {
        let index = Arc::new(Mutex::new(Index::new(MeshConfig::default())));
        let (ask, mut asked) = mpsc::channel(1);
        let known = index.clone();
        tokio::spawn(async move {
            while let Some(question) = asked.recv().await {
                if let Question::UnrecordedAddresses(answer) = question {
                    drop(answer.send(known.lock().unrecorded_addresses()));
                }
            }
        });
        let (changed, changes) = watch::channel(0);
        let (ours, told) = watch::channel(is_leader);
        tokio::spawn(keep(api.client(), ask, changes, told));
        Self {
            api: api.clone(),
            index,
            changed,
            ours,
        }
    }

    /// What a watch would say of an entry now.
    async fn see(&self, name: &str) {
        let object = self.api.object(&ENTRIES, &ObjectName::new("shop", name));
        if let Some(object) = object {
            let raw: RawObject = serde_json::from_value(object).expect("JSON");
            let object = raw.understand(Kind::ServiceEntry).expect("a ServiceEntry").value;
            self.index.lock().apply([ObjectChange::Set(object)]);
        }
        self.changed.send_modify(|n| *n += 1);
        sleep(Duration::from_secs(20)).await;
    }
}

fn api() -> FakeApi {
    let api = FakeApi::new();
    api.serve(&ENTRIES);
    api
}

fn entry(name: &str, host: &str, more: &Value) -> Value {
    let mut spec = json!({"hosts": [host], "ports": [{"number": 80, "name": "http"}], "resolution": "DNS"});
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec})
}

fn recorded(api: &FakeApi, name: &str) -> Vec<String> {
    let object = api
        .object(&ENTRIES, &ObjectName::new("shop", name))
        .expect("it is there");
    let addresses = object["status"]["addresses"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text = |a: &Value| format!("{} {}", a["host"].as_str().unwrap(), a["value"].as_str().unwrap());
    addresses.iter().map(text).collect()
}

fn writes(api: &FakeApi) -> usize {
    api.requests().iter().filter(|r| r.starts_with("PUT")).count()
}

#[tokio::test(start_paused = true)]
async fn what_a_host_was_given_is_written_once_and_outlives_every_replica() {
    let api = api();
    api.put(&ENTRIES, entry("db", "db.example.com", &json!({})));
    let first = Replica::start(&api, true);
    first.see("db").await;
    let given = recorded(&api, "db");
    assert_eq!(given.len(), 2, "{given:?}");
    assert!(given[0].starts_with("db.example.com 240.240."), "{given:?}");
    assert!(given[1].starts_with("db.example.com 2001:2:"), "{given:?}");
    first.see("db").await;
    assert_eq!(writes(&api), 1, "it was written already");

    // A host that meets it on the same address on a replica that never heard of it: the record counts.
    let second = Replica::start(&api, false);
    second.see("db").await;
    let seen = second.index.lock().unrecorded_addresses();
    assert_eq!(seen, [], "the new replica takes what is written");
    assert_eq!(writes(&api), 1);
}

#[tokio::test(start_paused = true)]
async fn an_address_of_the_authors_own_takes_the_place_of_what_was_given() {
    let api = api();
    api.put(&ENTRIES, entry("db", "db.example.com", &json!({})));
    let replica = Replica::start(&api, true);
    replica.see("db").await;
    let mut object = api
        .object(&ENTRIES, &ObjectName::new("shop", "db"))
        .expect("it is there");
    object["spec"]["addresses"] = json!(["192.0.2.1"]);
    object["status"]["conditions"] = json!([{"type": "another's", "status": "True"}]);
    api.put(&ENTRIES, object);
    replica.see("db").await;
    assert_eq!(recorded(&api, "db"), [""; 0]);
    let object = api
        .object(&ENTRIES, &ObjectName::new("shop", "db"))
        .expect("it is there");
    assert_eq!(object["status"]["conditions"][0]["type"], "another's");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_takes_away_is_put_back_and_only_by_whose_duty_it_is() {
    let api = api();
    api.put(&ENTRIES, entry("db", "db.example.com", &json!({})));
    let replica = Replica::start(&api, false);
    replica.see("db").await;
    assert_eq!(recorded(&api, "db"), [""; 0], "it is not its duty");
    replica.ours.send_replace(true);
    sleep(Duration::from_secs(20)).await;
    let given = recorded(&api, "db");
    assert_eq!(given.len(), 2);
    replica.see("db").await;
    let mut object = api
        .object(&ENTRIES, &ObjectName::new("shop", "db"))
        .expect("it is there");
    object["status"] = json!({});
    api.put(&ENTRIES, object);
    replica.see("db").await;
    assert_eq!(recorded(&api, "db"), given);
}

#[tokio::test(start_paused = true)]
async fn two_entries_never_have_one_address() {
    let api = api();
    let replica = Replica::start(&api, true);
    // Somebody recorded one address twice, as after a restore of a backup.
    let taken = json!({"addresses": [{"host": "a.example.com", "value": "240.240.9.9"}]});
    let mut a = entry("a", "a.example.com", &json!({}));
    a["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    a["status"] = taken;
    let mut b = entry("b", "b.example.com", &json!({}));
    b["metadata"]["creationTimestamp"] = json!("2026-01-02T00:00:00Z");
    b["status"] = json!({"addresses": [{"host": "b.example.com", "value": "240.240.9.9"}]});
    api.put(&ENTRIES, a);
    api.put(&ENTRIES, b);
    replica.see("b").await;
    replica.see("a").await;
    replica.see("b").await;
    let (a, b) = (recorded(&api, "a"), recorded(&api, "b"));
    assert_eq!(a, ["a.example.com 240.240.9.9"], "the older one keeps it");
    assert!(
        !b.is_empty() && b.iter().all(|b| !b.ends_with("240.240.9.9")),
        "{b:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_made_anew_under_its_name_gets_addresses_too() {
    let api = api();
    api.put(&ENTRIES, entry("db", "db.example.com", &json!({})));
    let replica = Replica::start(&api, false);
    replica.see("db").await;
    let name = ObjectName::new("shop", "db");
    // It goes before its addresses are written, and nobody told of that yet.
    api.remove(&ENTRIES, &name);
    replica.ours.send_replace(true);
    sleep(Duration::from_secs(20)).await;
    let asked = api.requests().len();
    replica.changed.send_modify(|n| *n += 1);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(api.requests().len(), asked, "it is known to be gone");
    api.put(&ENTRIES, entry("db", "db.example.com", &json!({})));
    replica.see("db").await;
    assert_eq!(recorded(&api, "db").len(), 2);
}
