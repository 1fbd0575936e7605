use serde_json::json;

use super::*;

fn merged(base: Value, patch: Value) -> Result<Value, String> {
    let mut base = base;
    merge(&mut base, patch).map(|()| base)
}

#[test]
fn fields_are_merged_and_null_takes_them_away() {
    let base = json!({"spec": {"replicas": 1, "template": {"metadata": {"labels": {"a": "1"}}}}});
    let patch =
        json!({"spec": {"replicas": null, "template": {"metadata": {"labels": {"b": "2"}}}, "paused": true}});
    assert_eq!(
        merged(base, patch),
        Ok(json!({"spec": {"template": {"metadata": {"labels": {"a": "1", "b": "2"}}}, "paused": true}}))
    );
}

#[test]
fn elements_are_found_by_their_key() {
    let base = json!({"containers": [{
        "name": "istio-proxy", "image": "a",
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "ports": [{"containerPort": 15008, "name": "mesh"}],
        "args": ["proxy"],
    }]});
    let patch = json!({"containers": [
        {
            "name": "istio-proxy",
            "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}, {"name": "A", "$patch": "delete"}],
            "ports": [{"containerPort": 15008, "hostPort": 1}],
            "args": ["other"],
        },
        {"name": "beside", "image": "b"},
    ]});
    let expected = json!({"containers": [
        {
            "name": "istio-proxy", "image": "a",
            "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
            "ports": [{"containerPort": 15008, "name": "mesh", "hostPort": 1}],
            "args": ["other"],
        },
        {"name": "beside", "image": "b"},
    ]});
    assert_eq!(merged(base, patch), Ok(expected));
}

#[test]
fn lists_without_a_key_are_replaced_and_directives_replace_and_delete() {
    let base =
        json!({"tolerations": [{"key": "a"}], "resources": {"limits": {"cpu": "2"}}, "ports": [{"port": 1}]});
    let patch = json!({
        "tolerations": [{"key": "b"}],
        "resources": {"$patch": "replace", "requests": {"cpu": "1"}},
        "ports": [{"$patch": "replace"}, {"port": 2}],
        "gone": {"$patch": "delete"},
    });
    assert_eq!(
        merged(base, patch),
        Ok(
            json!({"tolerations": [{"key": "b"}], "resources": {"requests": {"cpu": "1"}}, "ports": [{"port": 2}]})
        )
    );
}

#[test]
fn what_cannot_be_merged_is_said_with_its_field() {
    let containers = json!({"spec": {"containers": [{"image": "a"}]}});
    assert_eq!(
        merged(json!({}), containers),
        Err("spec.containers[0]: has no name, by which elements are told apart".to_owned())
    );
    let retained = json!({"spec": {"$retainKeys": ["a"]}});
    assert_eq!(
        merged(json!({}), retained),
        Err("spec: $retainKeys is not understood".to_owned())
    );
    let word = json!({"$patch": "explode"});
    assert_eq!(
        merged(json!({}), word),
        Err("the whole: $patch is none of merge, replace and delete".to_owned())
    );
}
