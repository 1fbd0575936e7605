use serde_json::{Value, json};

use super::{Apply, Part, SharedStatus, Written};
use crate::error::KubeError;
use crate::fake::FakeApi;
use crate::resource::{ObjectName, Resource};

static MAPS: Resource = Resource::namespaced("", "v1", "configmaps", "ConfigMap");

fn name() -> ObjectName {
    ObjectName::new("shop", "a")
}

fn map(data: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "shop", "name": "a"}, "data": {"k": data}})
}

#[tokio::test]
async fn only_the_first_of_two_makes_an_object() {
    let api = FakeApi::new();
    api.serve(&MAPS);
    let client = api.client();
    let made: Value = client.create(&MAPS, "shop", &map("one")).await.expect("made");
    assert_eq!(made["data"]["k"], "one");
    let error = client
        .create::<Value>(&MAPS, "shop", &map("two"))
        .await
        .expect_err("exists");
    assert!(matches!(error, KubeError::AlreadyExists(_)), "{error}");
    let there: Value = client.get(&MAPS, &name()).await.expect("there");
    assert_eq!(there["data"]["k"], "one");
}

#[tokio::test]
async fn applying_makes_and_changes() {
    let api = FakeApi::new();
    api.serve(&MAPS);
    let client = api.client();
    let how = Apply {
        manager: "lateen-test",
        force: true,
    };
    for text in ["one", "two"] {
        let object: Value = client
            .apply(&MAPS, &name(), Part::Main, how, &map(text))
            .await
            .expect("applied");
        assert_eq!(object["data"]["k"], text);
    }
    let request = api.last_request();
    assert!(
        request.ends_with("?fieldManager=lateen-test&force=true"),
        "{request}"
    );
}

#[tokio::test]
async fn what_somebody_else_set_is_taken_over_by_force_only_and_what_is_not_applied_any_more_goes() {
    let api = FakeApi::new();
    api.serve(&MAPS);
    let client = api.client();
    let apply = async |force, object: Value| {
        let how = Apply {
            manager: "lateen-test",
            force,
        };
        client
            .apply::<Value>(&MAPS, &name(), Part::Main, how, &object)
            .await
    };
    let with = |data: Value| {
        let mut object = map("one");
        object["data"] = data;
        object
    };
    apply(false, with(json!({"k": "one", "l": "two"})))
        .await
        .expect("it is new");
    let first = api.object(&MAPS, &name()).expect("there");
    apply(false, with(json!({"k": "one", "l": "two"})))
        .await
        .expect("it is ours");
    assert_eq!(api.object(&MAPS, &name()), Some(first), "nothing changed");
    api.put(&MAPS, with(json!({"k": "theirs", "l": "two", "m": "more"})));
    let refused = apply(false, with(json!({"k": "one", "l": "two"}))).await;
    let error = refused.expect_err("a conflict").to_string();
    assert!(error.contains(r#"conflict with "somebody": .data.k"#), "{error}");
    let object = apply(false, with(json!({"k": "theirs"})))
        .await
        .expect("the same is no conflict");
    assert_eq!(object["data"], json!({"k": "theirs", "m": "more"}));
    let object = apply(true, with(json!({"k": "one"}))).await.expect("taken over");
    assert_eq!(object["data"], json!({"k": "one", "m": "more"}));
}

#[tokio::test]
async fn a_merge_patch_changes_what_it_names() {
    let api = FakeApi::new();
    api.put(&MAPS, map("one"));
    let client = api.client();
    let patch = json!({"metadata": {"annotations": {"ambient.istio.io/redirection": "enabled"}}});
    client
        .merge_patch(&MAPS, &name(), Part::Main, &patch)
        .await
        .expect("patched");
    let there: Value = client.get(&MAPS, &name()).await.expect("there");
    assert_eq!(there["data"]["k"], "one");
    assert_eq!(
        there["metadata"]["annotations"]["ambient.istio.io/redirection"],
        "enabled"
    );
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_over_a_conflict_and_only_when_it_differs() {
    let api = FakeApi::new();
    api.put(&MAPS, map("one"));
    let client = api.client();
    let mut seen = 0;
    // Somebody else writes between the read and the write.
    let written = client
        .update_status(&MAPS, &name(), |object| {
            seen += 1;
            if seen == 1 {
                api.put(&MAPS, map("theirs"));
            }
            Some(json!({"of": object["data"]["k"]}))
        })
        .await;
    assert_eq!(written, Ok(Written::Changed));
    assert_eq!(seen, 2);
    let there: Value = client.get(&MAPS, &name()).await.expect("there");
    assert_eq!(
        (&there["status"]["of"], &there["data"]["k"]),
        (&json!("theirs"), &json!("theirs"))
    );

    let again = client
        .update_status(&MAPS, &name(), |object| object.get("status").cloned())
        .await;
    assert_eq!(again, Ok(Written::Unchanged));
    let gone = ObjectName::new("shop", "gone");
    assert_eq!(
        client.update_status(&MAPS, &gone, |_| Some(json!({}))).await,
        Ok(Written::Gone)
    );
}

#[tokio::test(start_paused = true)]
async fn a_status_that_others_write_all_the_time_is_a_conflict_in_the_end() {
    let api = FakeApi::new();
    api.put(&MAPS, map("one"));
    let mut seen = 0;
    let (client, name) = (api.client(), name());
    let written = client
        .update_status(&MAPS, &name, |_| {
            seen += 1;
            api.put(&MAPS, map("theirs"));
            Some(json!({"mine": seen}))
        })
        .await;
    let error = written.expect_err("never quick enough");
    assert!(matches!(error, KubeError::Conflict(_)), "{error}");
    assert_eq!(seen, 5);
}

#[tokio::test]
async fn deleting_says_whether_there_was_one() {
    let api = FakeApi::new();
    api.put(&MAPS, map("one"));
    let client = api.client();
    let error = client
        .delete(&MAPS, &name(), Some("another"))
        .await
        .expect_err("another uid");
    assert!(matches!(error, KubeError::Conflict(_)), "{error}");
    assert_eq!(client.delete(&MAPS, &name(), None).await, Ok(true));
    assert_eq!(client.delete(&MAPS, &name(), None).await, Ok(false));
}

static SERVICES: Resource = Resource::namespaced("", "v1", "services", "Service");

fn condition(kind: &str, status: &str) -> Value {
    json!({"type": kind, "status": status})
}

/// A status with only these conditions of ours, and what others say.
fn ours(object: &Value, ours: &[Value]) -> Option<SharedStatus> {
    let before = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let theirs = before.into_iter().filter(|c| c["type"] == "theirs");
    let mut whole: Vec<Value> = theirs.chain(ours.iter().cloned()).collect();
    whole.sort_by_key(|condition| condition["type"].to_string());
    Some(SharedStatus {
        whole: json!({ "conditions": whole }),
        own: json!({ "conditions": ours }),
    })
}

#[tokio::test]
async fn of_a_shared_status_only_our_entries_are_applied_and_taken_away() {
    let api = FakeApi::new();
    let service = |conditions: Value| json!({"metadata": {"namespace": "shop", "name": "a"}, "status": {"conditions": conditions}});
    api.put(&SERVICES, service(json!([condition("theirs", "True")])));
    let client = api.client();
    let apply = async |conditions: &[Value]| {
        let decide = |object: &Value| ours(object, conditions);
        client
            .apply_status(&SERVICES, &name(), "lateen-test", decide)
            .await
    };
    let now = || api.object(&SERVICES, &name()).expect("there")["status"]["conditions"].clone();

    assert_eq!(apply(&[condition("ours", "True")]).await, Ok(Written::Changed));
    assert_eq!(
        now(),
        json!([condition("ours", "True"), condition("theirs", "True")])
    );
    let request = api.last_request();
    assert!(
        request.contains("/a/status?fieldManager=lateen-test&force=true"),
        "{request}"
    );
    assert_eq!(apply(&[condition("ours", "True")]).await, Ok(Written::Unchanged));
    assert_eq!(apply(&[]).await, Ok(Written::Changed));
    assert_eq!(now(), json!([condition("theirs", "True")]));

    // An earlier writer, who did not apply it, said what is not to be said any more.
    let earlier = json!([condition("ours", "False"), condition("theirs", "True")]);
    api.put(&SERVICES, service(earlier));
    assert_eq!(apply(&[]).await, Ok(Written::Changed));
    assert_eq!(now(), json!([condition("theirs", "True")]));
    let request = api.last_request();
    assert!(
        request.starts_with("PATCH") && !request.contains("fieldManager"),
        "{request}"
    );
    let gone = ObjectName::new("shop", "gone");
    let decide = |object: &Value| ours(object, &[]);
    assert_eq!(
        client.apply_status(&SERVICES, &gone, "lateen-test", decide).await,
        Ok(Written::Gone)
    );
}
