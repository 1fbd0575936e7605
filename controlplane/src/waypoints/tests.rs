use super::*;

const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec: {gatewayClassName: mine, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
";
const CLASS: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: mine}
spec: {controllerName: lateen.dev/mesh-controller}
";

fn of(texts: &[&str]) -> Found {
    let mut found = Found::default();
    for text in texts {
        found.take(text).unwrap();
    }
    found
}

#[test]
fn a_gateway_becomes_three_objects_in_either_form() {
    let found = of(&[GATEWAY, CLASS]);
    let settings = Settings::default();
    let yaml = found.render(&settings, Manifest::Yaml).unwrap();
    let json = found.render(&settings, Manifest::Json).unwrap();
    for text in [yaml, json] {
        let kinds: Vec<_> = parse(&text)
            .into_iter()
            .map(|object| match object.unwrap().value {
                Object::ServiceAccount(_) => "account",
                Object::Service(_) => "service",
                Object::Ignored(_) => "other",
                _ => "unexpected",
            })
            .collect();
        assert_eq!(kinds, ["account", "other", "service"], "{text}");
    }
}

#[test]
fn what_nothing_can_be_made_of_is_named() {
    let settings = Settings::default();
    let error = |found: &Found| format!("{:#}", found.render(&settings, Manifest::Yaml).unwrap_err());
    assert_eq!(error(&of(&[CLASS])), "there is no Gateway");
    assert_eq!(
        error(&of(&[GATEWAY])),
        "Gateway shop/waypoint: spec.gatewayClassName: mine is no class of waypoints that are made here"
    );
    let broken = Found::default().take("kind: Gateway").unwrap_err();
    assert!(!format!("{broken:#}").contains('\n'), "{broken:#}");
}

#[test]
fn a_directory_is_read_file_by_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("gateway.yaml"), GATEWAY).unwrap();
    fs::write(dir.path().join("class.yml"), CLASS).unwrap();
    fs::write(dir.path().join("notes.txt"), "kind: {").unwrap();
    let mut found = Found::default();
    found.read(dir.path()).unwrap();
    assert_eq!((found.gateways.len(), found.classes.len()), (1, 1));
}
