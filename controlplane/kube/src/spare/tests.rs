use controlplane_k8s_api::parse;

use super::*;

fn object(yaml: &str) -> Object {
    let mut parsed = parse(yaml);
    parsed.remove(0).unwrap().value
}

fn pod(name: &str) -> Object {
    object(&format!(
        "
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: shop
  creationTimestamp: 2026-01-01T00:00:00Z
  labels: {{app: cart}}
  annotations: {{ambient.istio.io/redirection: enabled, prometheus.io/scrape: 'true', evil-istio.io/x: 'y'}}
spec:
  nodeName: node-a
  serviceAccountName: cart
  containers: [{{name: main, ports: [{{name: http, containerPort: 80}}]}}, {{name: log}}]
status:
  podIP: 10.0.0.1
  podIPs: [{{ip: 10.0.0.1}}]
  conditions: [{{type: Initialized, status: 'True'}}, {{type: Ready, status: 'True'}}]
"
    ))
}

#[test]
fn what_pods_have_in_common_is_kept_once() {
    let mut texts = Texts::default();
    let (mut a, mut b) = (pod("a"), pod("b"));
    texts.spare(&mut a);
    texts.spare(&mut b);
    let (Object::Pod(a), Object::Pod(b)) = (&a, &b) else {
        unreachable!("both are Pods");
    };
    for (a, b) in [
        (&a.spec.node_name, &b.spec.node_name),
        (&a.metadata.namespace, &b.metadata.namespace),
        (&a.metadata.labels["app"], &b.metadata.labels["app"]),
        (&a.spec.service_account_name.0, &b.metadata.labels["app"]),
    ] {
        assert!(std::ptr::eq(a.as_str(), b.as_str()), "{a} is kept twice");
    }
    assert!(std::ptr::eq(&*a.metadata.labels, &*b.metadata.labels));
    assert!(std::ptr::eq(&*a.metadata.annotations, &*b.metadata.annotations));
    assert!(std::ptr::eq(
        &*a.metadata.owner_references,
        &*b.metadata.owner_references
    ));
    assert!(std::ptr::eq(&*a.spec.containers, &*b.spec.containers));
    assert!(std::ptr::eq(&*a.status.conditions, &*b.status.conditions));
}

#[test]
fn pods_that_differ_keep_their_own() {
    let mut texts = Texts::default();
    let (mut a, mut b) = (pod("a"), pod("b"));
    if let Object::Pod(b) = &mut b {
        b.metadata.labels.insert("version".into(), "2".into());
        b.status.conditions[1].status = "False".into();
    }
    texts.spare(&mut a);
    texts.spare(&mut b);
    let (Object::Pod(a), Object::Pod(b)) = (&a, &b) else {
        unreachable!("both are Pods");
    };
    assert_eq!((a.metadata.labels.len(), b.metadata.labels.len()), (1, 2));
    assert_eq!((a.is_ready(), b.is_ready()), (true, false));
    let texts = (&a.metadata.labels["app"], &b.metadata.labels["app"]);
    assert!(std::ptr::eq(texts.0.as_str(), texts.1.as_str()));
}

#[test]
fn what_nobody_reads_of_a_pod_is_left_out_and_nothing_else() {
    let mut spared = pod("a");
    Texts::default().spare(&mut spared);
    let Object::Pod(pod) = spared else {
        unreachable!("it is a Pod");
    };
    let annotations: Vec<&str> = pod.metadata.annotations.keys().map(Strng::as_str).collect();
    assert_eq!(annotations, ["ambient.istio.io/redirection"]);
    assert_eq!(pod.spec.containers.len(), 1);
    assert_eq!(pod.running_containers().flat_map(|c| &c.ports).count(), 1);
    assert!(pod.is_ready());
    assert_eq!(pod.status.conditions.len(), 1);
    let addresses: Vec<&str> = pod.status.pod_ips.iter().map(|a| a.ip.as_str()).collect();
    assert_eq!(addresses, ["10.0.0.1"]);
    assert_eq!(pod.metadata.creation_timestamp, None);
}

#[test]
fn the_age_of_what_has_rivals_is_kept() {
    let mut entry = object(
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: db
  namespace: shop
  creationTimestamp: 2026-01-01T00:00:00Z
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}', istio.io/x: y}
spec: {hosts: [db.example.com], ports: [{number: 80, name: http}], resolution: DNS}
",
    );
    Texts::default().spare(&mut entry);
    let metadata = entry.metadata().unwrap();
    assert!(metadata.creation_timestamp.is_some());
    let annotations: Vec<&str> = metadata.annotations.keys().map(Strng::as_str).collect();
    assert_eq!(annotations, ["istio.io/x"]);
}

#[test]
fn texts_that_nobody_has_any_more_are_forgotten() {
    let mut texts = Texts::default();
    for number in 0..3 * SWEEP_FROM {
        let text = texts.text(&format!("pod-{number}"));
        let mut labels = Labels::from([("name".into(), text)]);
        texts.labels(&mut labels);
    }
    for known in [texts.texts.known.len(), texts.labels.known.len()] {
        assert!(known <= 2 * SWEEP_FROM, "{known}");
    }
}

#[test]
fn of_config_maps_and_secrets_only_what_is_read_is_kept() {
    let mut map = object(
        "
apiVersion: v1
kind: ConfigMap
metadata: {name: options, namespace: shop, labels: {app: cart}, annotations: {note: long}}
data: {ca.crt: PEM, deployment: '{}', dashboard.json: 'a megabyte'}
",
    );
    let mut secret = object(
        "
apiVersion: v1
kind: Secret
type: Opaque
metadata: {name: tls, namespace: shop}
stringData: {tls.crt: c, tls.key: k, ca.crt: a, cert: c, key: k, cacert: a, password: p}
",
    );
    let mut texts = Texts::default();
    texts.spare(&mut map);
    texts.spare(&mut secret);
    let (Object::ConfigMap(map), Object::Secret(secret)) = (map, secret) else {
        unreachable!("that is what they are");
    };
    let data: Vec<(&str, &str)> = map.data.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expected = [("ca.crt", "PEM"), ("dashboard.json", ""), ("deployment", "{}")];
    assert_eq!(data, expected, "a strange key is still to be named");
    assert_eq!(
        (map.metadata.labels.len(), map.metadata.annotations.len()),
        (1, 0)
    );
    let mut kept: Vec<&str> = secret.content.data.keys().map(Strng::as_str).collect();
    let mut read = SECRET_KEYS.to_vec();
    kept.sort_unstable();
    read.sort_unstable();
    assert_eq!(kept, read);
}
