use crate::fixture::Mesh;
use crate::l7::fixture::SHOP;

fn mesh(rules: &str) -> Mesh {
    Mesh::of(&format!(
        "{SHOP}{{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {{name: g, namespace: shop}}, \
         spec: {{parentRefs: [{{group: '', kind: Service, name: web}}], rules: [{rules}]}}}}"
    ))
}

/// GRPCExactMethodMatching, GRPCRouteHeaderMatching, GRPCRouteWeight: what is called is a path.
#[test]
fn methods_are_paths() {
    let to = "backendRefs: [{name: api, port: 80}]";
    for (wanted, called, fits) in [
        ("{service: a.B, method: C}", "/a.B/C", true),
        ("{service: a.B, method: C}", "/a.B/D", false),
        ("{service: a.B, method: C}", "/axB/C", false),
        ("{service: a.B}", "/a.B/D", true),
        ("{service: a.B}", "/a.Bx/D", false),
        ("{method: C}", "/x.Y/C", true),
        ("{method: C}", "/x.Y/z/C", false),
        ("{type: RegularExpression, service: 'a\\.[BC]'}", "/a.C/D", true),
        ("{type: RegularExpression, service: 'a\\.[BC]'}", "/a.D/D", false),
        (
            "{type: RegularExpression, service: 'x|y', method: 'Get.*|List'}",
            "/y/GetAll",
            true,
        ),
        (
            "{type: RegularExpression, service: 'x|y', method: 'Get.*|List'}",
            "/y/ListAll",
            false,
        ),
        (
            "{type: RegularExpression, service: 'x|y', method: 'Get.*|List'}",
            "/x",
            false,
        ),
        (
            "{type: RegularExpression, method: 'Get.*'}",
            "/any.Thing/GetIt",
            true,
        ),
    ] {
        let mesh = mesh(&format!("{{matches: [{{method: {wanted}}}], {to}}}"));
        let expected = if fits { "api:80" } else { "404" };
        assert_eq!(
            mesh.get("web", 80, called).goes_to(),
            expected,
            "{wanted} {called}"
        );
    }
}

#[test]
fn metadata_filters_and_shares() {
    let mesh = mesh(
        "{name: one, matches: [{headers: [{name: Version, value: one}]}], backendRefs: [{name: api, port: 80, weight: 70}, {name: nobody, port: 80, weight: 30}], \
          filters: [{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: X, value: y}]}}], sessionPersistence: {sessionName: s}}, \
         {backendRefs: [{name: web, port: 80}]}",
    );
    assert_eq!(mesh.get("web", 80, "/a.B/C").goes_to(), "web:80");
    let one = mesh.get("web", 80, "/a.B/C").header("version", "one");
    assert_eq!(one.goes_to(), "70*api:80 30*500");
    let rule = one.rule();
    assert_eq!((rule.filters.len(), rule.retry.is_none()), (1, true));
    assert_eq!(rule.session.map(|s| s.name), Some("s".into()));
    assert_eq!(
        mesh.parents(controlplane_k8s_api::Kind::GrpcRoute, "shop/g")[1],
        "web ResolvedRefs=false/BackendNotFound"
    );
}
