use super::*;
use crate::{Object, parse};

#[test]
fn a_config_map_counts_for_the_revision_that_its_name_says() {
    for (name, revision, counts) in [
        ("istio", "default", true),
        ("istio", "", true),
        ("istio", "canary", false),
        ("istio-canary", "canary", true),
        ("istio-canary", "default", false),
        ("istio-canary", "can", false),
        ("istio-canary-2", "canary", false),
        // In files.
        ("mesh", "default", true),
        ("mesh", "canary", true),
    ] {
        assert_eq!(is_of_revision(name, revision), counts, "{name} for {revision:?}");
    }
}

#[test]
fn the_configuration_of_every_revision_is_read_as_such() {
    let kind = |name: &str, key: &str| {
        let text = format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: istio-system}}, data: {{{key}: 'accessLogFile: a'}}}}"
        );
        let object = parse(&text).remove(0).expect("it is well-formed").value;
        matches!(object, Object::MeshConfig(_))
    };
    assert!(kind("istio", "mesh") && kind("istio-canary", "mesh"));
    // Others have such names, too, and such keys.
    assert!(!kind("istio-canary", "config") && !kind("istioless", "mesh") && !kind("options", "mesh"));
}
