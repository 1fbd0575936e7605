use controlplane_k8s_api::{Metadata, Object, parse};

use super::*;
use crate::fixture::{Mesh, pod, registered};

fn peer(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{{spec}}}}}\n---\n"
    )
}

fn read(objects: &str) -> Vec<PeerAuthentication> {
    let read = parse(objects)
        .into_iter()
        .filter_map(|object| match object.expect("an object").value {
            Object::PeerAuthentication(peer) => Some(peer),
            _ => None,
        });
    read.collect()
}

/// `<namespace>/<name> <level> <mode>` of what counts for `shop/web`.
fn counts(objects: &str, port: u16) -> Option<String> {
    let peers = read(objects);
    let peers: Vec<&PeerAuthentication> = peers.iter().collect();
    let labels = Labels::from_iter([("app".into(), "web".into())]);
    let found = deciding(&peers, &MeshConfig::default(), "shop", &labels, port)?;
    let Metadata { namespace, name, .. } = &found.object.metadata;
    Some(format!("{namespace}/{name} {} {:?}", found.level, found.mode))
}

const STRICT: &str = "mtls: {mode: STRICT}";
const WEB: &str = "selector: {matchLabels: {app: web}}";

#[test]
fn the_narrowest_level_that_says_anything_is_named() {
    let mesh = peer("istio-system", "everywhere", STRICT);
    assert_eq!(
        counts(&mesh, 80).as_deref(),
        Some("istio-system/everywhere mesh Strict")
    );
    let namespace = mesh.clone() + &peer("shop", "here", "mtls: {mode: PERMISSIVE}");
    assert_eq!(
        counts(&namespace, 80).as_deref(),
        Some("shop/here namespace Permissive")
    );
    let workload = namespace.clone() + &peer("shop", "web", &format!("{WEB}, {STRICT}"));
    assert_eq!(counts(&workload, 80).as_deref(), Some("shop/web workload Strict"));
    let ports = "portLevelMtls: {80: {mode: DISABLE}, 81: {mode: UNSET}}";
    let port = namespace.clone() + &peer("shop", "web", &format!("{WEB}, {STRICT}, {ports}"));
    assert_eq!(counts(&port, 80).as_deref(), Some("shop/web port Disable"));
    assert_eq!(counts(&port, 81).as_deref(), Some("shop/web workload Strict"));
    let inherits = namespace + &peer("shop", "web", &format!("{WEB}, {ports}"));
    assert_eq!(
        counts(&inherits, 81).as_deref(),
        Some("shop/here namespace Permissive")
    );
}

#[test]
fn where_nobody_says_anything_nothing_is_named() {
    assert_eq!(counts("", 80), None);
    let elsewhere = peer("bank", "a", STRICT)
        + &peer(
            "shop",
            "other",
            &format!("selector: {{matchLabels: {{app: db}}}}, {STRICT}"),
        )
        + &peer("istio-system", "selects", &format!("{WEB}, {STRICT}"));
    assert_eq!(counts(&elsewhere, 80), None);
}

/// The derivation says what proxies do; whatever object is named here must be one that says the same.
#[test]
fn what_is_named_says_what_proxies_do() {
    const MODES: [&str; 4] = ["", "UNSET", "PERMISSIVE", "STRICT"];
    let mtls = |mode: &str| match mode {
        "" => String::new(),
        mode => format!("mtls: {{mode: {mode}}}, "),
    };
    for mesh in MODES {
        for namespace in MODES {
            for workload in MODES {
                for port in MODES {
                    let ports = match port {
                        "" => String::new(),
                        port => format!("portLevelMtls: {{80: {{mode: {port}}}}}"),
                    };
                    let objects = peer("istio-system", "mesh", &mtls(mesh))
                        + &peer("shop", "namespace", &mtls(namespace))
                        + &peer("shop", "web", &format!("{WEB}, {}{ports}", mtls(workload)));
                    let pod = pod("shop/web", "labels: {app: web}", "");
                    let mut derived = Mesh::of(&(objects.clone() + &pod));
                    derived.register("shop/web", registered("10.0.0.1"));
                    for number in [80, 81] {
                        let named = counts(&objects, number);
                        let refuses = named.as_deref().is_some_and(|named| named.ends_with("Strict"));
                        assert_eq!(
                            !derived.admits("shop/web", None, "10.0.0.2", number),
                            refuses,
                            "{mesh:?} {namespace:?} {workload:?} {port:?} {number}: {named:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn policies_that_were_made_of_objects_are_told_from_those_that_people_wrote() {
    let config = MeshConfig::default();
    let name = |namespace: &str, name: &str| NamespacedName::new(namespace, name);
    assert_eq!(
        converted(&static_strict_name(&config), &config),
        Some(Converted::Shared)
    );
    let web = name("shop", "web");
    assert_eq!(
        converted(&own_policy(&web), &config),
        Some(Converted::Of(web.clone()))
    );
    assert_eq!(converted(&web, &config), None);
    assert_eq!(
        converted(&name("shop", "istio_converted_static_strict"), &config),
        None
    );
}
