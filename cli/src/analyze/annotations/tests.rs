use super::super::tests::said;
use super::*;

fn annotated(annotation: &str) -> Vec<(String, String)> {
    let pod = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: cart, namespace: shop, annotations: {{{annotation}: 'true'}}}}\n\
         spec: {{clusterIP: 10.0.0.1, ports: [{{name: http, port: 80}}]}}\n"
    );
    said(&pod, Code::UnknownAnnotation)
}

#[test]
fn an_annotation_that_nobody_knows_is_told_with_what_may_be_meant() {
    for (annotation, remedy) in [
        (
            "networking.istio.io/traffic-distributon",
            "networking.istio.io/traffic-distribution may be meant",
        ),
        (
            "networking.istio.io/exportto",
            "networking.istio.io/exportTo may be meant",
        ),
        ("istio.io/use-waypoint", "move it to metadata.labels"),
        ("made.up.istio.io/thing", "take it away"),
    ] {
        let found = annotated(annotation);
        assert_eq!(found.len(), 1, "{annotation}");
        assert_eq!(found[0].0, "Service shop/cart");
        assert!(
            found[0]
                .1
                .contains(&format!("metadata.annotations[{annotation}]"))
                && found[0].1.contains(remedy),
            "{found:?}"
        );
    }
}

#[test]
fn known_ones_and_those_of_others_are_fine() {
    for annotation in [
        "networking.istio.io/exportTo",
        "example.com/istio.io",
        "notistio.io/x",
        "lateen.dev/x",
    ] {
        assert_eq!(annotated(annotation), [], "{annotation}");
    }
    for known in KNOWN {
        assert!(is_istios(known), "{known}");
    }
}
