use controlplane_k8s_api::Kind;

use crate::fixture::Mesh;
use crate::l7::fixture::SHOP;

fn mesh(kind: &str, spec: &str) -> Mesh {
    let version = if kind == "TCPRoute" { "v1alpha2" } else { "v1" };
    Mesh::of(&format!(
        "{SHOP}{{apiVersion: gateway.networking.k8s.io/{version}, kind: {kind}, metadata: {{name: r, namespace: shop}}, \
         spec: {{parentRefs: [{{group: '', kind: Service, name: web}}], {spec}}}}}"
    ))
}

/// TLSRouteSimpleSameNamespace, TLSRouteInvalidBackendRefNonexistent.
#[test]
fn tls_goes_by_its_server_name() {
    let mesh = mesh(
        "TLSRoute",
        "hostnames: [a.example.com, '*.b.example.com'], rules: [{backendRefs: [{name: api, port: 80, weight: 2}, {name: nobody, port: 1, weight: 1}]}]",
    );
    let web = mesh.get("web", 80, "/");
    for (name, to) in [
        (Some("a.example.com"), "2*api:80 1*500"),
        (Some("x.b.example.com"), "2*api:80 1*500"),
        (Some("b.example.com"), "refused"),
        (None, "refused"),
    ] {
        assert_eq!(web.tls(name), to, "{name:?}");
    }
    assert_eq!(web.goes_to(), "none");
    assert_eq!(
        mesh.parents(Kind::TlsRoute, "shop/r"),
        [
            "web Accepted=true/Accepted",
            "web ResolvedRefs=false/BackendNotFound",
            "web ResolvedWaypoints=true/ResolvedWaypoints",
        ]
    );
}

/// TCPRouteWeightedRouting; of several rules the first counts.
#[test]
fn tcp_goes_by_shares() {
    let mesh = mesh(
        "TCPRoute",
        "rules: [{name: n, backendRefs: [{name: api, port: 80, weight: 9}, {name: web, port: 9090, weight: 0}]}, {backendRefs: [{name: web, port: 80}]}]",
    );
    assert_eq!(mesh.get("web", 80, "/").tcp("10.0.0.1"), "9*api:80 0*web:9090");
    assert_eq!(mesh.get("api", 80, "/").tcp("10.0.0.1"), "none");
    assert_eq!(
        mesh.parents(Kind::TcpRoute, "shop/r")[2],
        "web PartiallyInvalid=true/UnsupportedValue"
    );
}
