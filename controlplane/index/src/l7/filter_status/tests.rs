use controlplane_k8s_api::Kind;

use crate::fixture::Mesh;

const FILTERS: &str = "
apiVersion: lateen.dev/v1alpha1
kind: FaultFilter
metadata: {name: slow, namespace: shop, generation: 3}
spec: {delay: {fixedDelay: 1s}}
---
apiVersion: lateen.dev/v1alpha1
kind: ExternalProcessorFilter
metadata: {name: scan, namespace: shop, generation: 4}
spec: {backendRef: {name: scanner, port: 9000}}
---
";
const SCANNER: &str = "{apiVersion: v1, kind: Service, metadata: {name: scanner, namespace: shop}, \
                       spec: {clusterIP: 10.96.0.9, ports: [{name: grpc, port: 9000}]}}";

/// `<type>=<status> <reason>` of an object's conditions, and the generation that they are of.
fn said(mesh: &Mesh, kind: Kind) -> (Vec<String>, Option<i64>) {
    let statuses = mesh.index.statuses();
    let status = statuses.iter().find(|s| s.object.kind == kind).expect("a status");
    let said = status.conditions.iter();
    let said = said.map(|c| format!("{}={} {}", c.kind, c.holds, c.reason));
    (said.collect(), status.observed_generation)
}

#[test]
fn a_filters_author_is_told_that_it_is_there_and_whether_its_service_is() {
    let mut mesh = Mesh::of(FILTERS);
    assert_eq!(
        said(&mesh, Kind::FaultFilter),
        (vec!["Accepted=true Accepted".to_owned()], Some(3))
    );
    let missing = ["Accepted=true Accepted", "ResolvedRefs=false BackendNotFound"];
    let found = ["Accepted=true Accepted", "ResolvedRefs=true ResolvedRefs"];
    assert_eq!(
        said(&mesh, Kind::ExternalProcessorFilter),
        (missing.map(str::to_owned).to_vec(), Some(4))
    );
    mesh.set(SCANNER);
    assert_eq!(said(&mesh, Kind::ExternalProcessorFilter).0, found);
    mesh.remove(Kind::Service, "shop/scanner");
    assert_eq!(said(&mesh, Kind::ExternalProcessorFilter).0, missing);
}
