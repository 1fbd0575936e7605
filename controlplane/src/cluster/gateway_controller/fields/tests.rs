use serde_json::json;

use super::*;

fn deployment() -> Value {
    json!({
        "metadata": {"labels": {"app": "x", "istio.io/rev": "default", "istio.io": "y"}},
        "spec": {
            "replicas": 2,
            "template": {"spec": {"containers": [
                {"name": "side]car", "image": "other:1"},
                {"name": "proxy", "image": "proxy:1", "args": ["a", "b"], "ports": [
                    {"containerPort": 15008, "protocol": "TCP", "name": "mesh"},
                    {"containerPort": 15008, "protocol": "UDP", "name": "quic"},
                ]},
            ]}},
        },
    })
}

#[test]
fn the_fields_that_are_named_are_left_out_and_nothing_else() {
    let containers = ".spec.template.spec.containers";
    for (path, pointer) in [
        (".spec.replicas".to_owned(), "/spec/replicas"),
        (
            ".metadata.labels.istio.io/rev".to_owned(),
            "/metadata/labels/istio.io~1rev",
        ),
        (
            ".metadata.labels.istio.io".to_owned(),
            "/metadata/labels/istio.io",
        ),
        (
            format!("{containers}[name=\"proxy\"].image"),
            "/spec/template/spec/containers/1/image",
        ),
        (
            format!("{containers}[name=\"side]car\"].image"),
            "/spec/template/spec/containers/0/image",
        ),
        (
            format!("{containers}[name=\"proxy\"].ports[containerPort=15008,protocol=\"UDP\"].name"),
            "/spec/template/spec/containers/1/ports/1/name",
        ),
    ] {
        let before = deployment();
        let after = without(&before, std::slice::from_ref(&path)).expect("it is there");
        assert!(before.pointer(pointer).is_some(), "{pointer}");
        assert!(after.pointer(pointer).is_none(), "{path}: {after}");
        let mut restored = after;
        let (above, last) = pointer.rsplit_once('/').expect("a path");
        let last = last.replace("~1", "/");
        restored.pointer_mut(above).expect("there")[&last] = before.pointer(pointer).expect("there").clone();
        assert_eq!(restored, before, "{path}");
    }
}

#[test]
fn items_are_found_by_their_value_or_their_number() {
    let args = "/spec/template/spec/containers/1/args";
    for path in ["[=\"a\"]", "[0]"] {
        let path = format!(".spec.template.spec.containers[name=\"proxy\"].args{path}");
        let after = without(&deployment(), &[path]).expect("it is there");
        assert_eq!(after.pointer(args), Some(&json!(["b"])));
    }
}

#[test]
fn a_path_that_leads_nowhere_takes_nothing() {
    for path in [
        "",
        "spec",
        ".spec.none",
        ".spec.replicas.more",
        ".spec.template.spec.containers[name=\"none\"].image",
        ".spec.template.spec.containers[7]",
        ".spec.template.spec.containers[name=\"proxy",
        ".spec.template.spec.containers[name]",
    ] {
        let fields = [".spec.replicas".to_owned(), path.to_owned()];
        assert_eq!(without(&deployment(), &fields), None, "{path}");
    }
}
