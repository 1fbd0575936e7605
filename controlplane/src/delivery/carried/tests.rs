use std::sync::Arc;

use controlplane_k8s_api::parse;

use super::*;

fn set(yaml: &str) -> FileChange {
    let located = parse(yaml).remove(0).expect("an object");
    FileChange::Set(located.value.key().expect("a key"), Arc::new(located))
}

fn filter(kind: &str, name: &str) -> String {
    format!("{{type: ExtensionRef, extensionRef: {{group: lateen.dev, kind: {kind}, name: {name}}}}}")
}

fn route(kind: &str, name: &str, filters: &str) -> FileChange {
    set(&format!(
        "{{apiVersion: gateway.networking.k8s.io/v1, kind: {kind}, metadata: {{name: {name}, namespace: shop}}, spec: {{parentRefs: \
         [{{group: '', kind: Service, name: web}}], rules: [{{filters: [{filters}], backendRefs: [{{name: web, port: 80, filters: \
         [{}]}}]}}]}}}}",
        filter("FaultFilter", "at-the-backend")
    ))
}

fn key(kind: Kind, name: &str) -> ObjectKey {
    ObjectKey {
        kind,
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn carried(all: &Carried, kind: Kind, name: &str) -> Vec<String> {
    let by = all.by(&key(kind, name)).iter();
    by.map(|filter| filter.reference().to_string()).collect()
}

#[test]
fn a_route_carries_the_filters_that_it_names_as_long_as_it_names_them() {
    let mut all = Carried::default();
    let both = [
        filter("FaultFilter", "slow"),
        filter("ExternalProcessorFilter", "ask"),
    ]
    .join(", ");
    all.take(&[
        route("HTTPRoute", "web", &both),
        route("GRPCRoute", "web", &filter("FaultFilter", "at-the-backend")),
    ]);
    assert_eq!(
        carried(&all, Kind::HttpRoute, "web"),
        [
            "FaultFilter shop/at-the-backend",
            "FaultFilter shop/slow",
            "ExternalProcessorFilter shop/ask",
        ]
    );
    assert_eq!(
        carried(&all, Kind::GrpcRoute, "web"),
        ["FaultFilter shop/at-the-backend"]
    );
    all.take(&[FileChange::Removed(key(Kind::HttpRoute, "web"))]);
    assert_eq!(carried(&all, Kind::HttpRoute, "web"), [""; 0]);
    all.take(&[set(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: web, namespace: shop}, spec: {rules: []}}",
    )]);
    assert_eq!(carried(&all, Kind::GrpcRoute, "web"), [""; 0]);
}
