use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_kube::ObjectName;
use mesh_kube::fake::FakeApi;
use serde_json::{Value, json};

use super::*;

/// A source that runs, and what it said so far.
struct Fixture {
    api: FakeApi,
    batches: mpsc::Receiver<KubeBatch>,
    board: KubeBoard,
    /// Each object's latest content.
    objects: BTreeMap<String, Arc<controlplane_k8s_api::Located<Object>>>,
    removals: Vec<String>,
    unknown: Option<Vec<String>>,
}

fn watched(kind: Kind) -> mesh_kube::Resource {
    let watched = WATCHED.iter().find(|w| w.kind == kind).expect("it is watched");
    watched.resource(watched.group().versions()[0])
}

/// An API server with every built-in kind.
fn api() -> FakeApi {
    let api = FakeApi::new();
    for watched in WATCHED.iter().filter(|w| w.built_in) {
        api.serve(&watched.resource("v1"));
    }
    api
}

fn put(api: &FakeApi, kind: Kind, namespace: &str, name: &str, rest: Value) {
    let mut object = json!({"metadata": {"namespace": namespace, "name": name}});
    let (object_map, rest) = (
        object.as_object_mut().expect("a map"),
        rest.as_object().expect("a map"),
    );
    for (key, value) in rest {
        match key.as_str() {
            "labels" => object_map["metadata"]["labels"] = value.clone(),
            _ => drop(object_map.insert(key.clone(), value.clone())),
        }
    }
    api.put(&watched(kind), object);
}

fn pod(api: &FakeApi, namespace: &str, name: &str) {
    let rest = json!({"spec": {"nodeName": "a"}, "status": {"podIP": "10.0.0.1"}});
    put(api, Kind::Pod, namespace, name, rest);
}

fn select_only(api: &FakeApi, label: &str) {
    let mesh = format!("discoverySelectors: [{{matchLabels: {{mesh: {label}}}}}]");
    put(
        api,
        Kind::ConfigMap,
        "istio-system",
        "istio",
        json!({"data": {"mesh": mesh}}),
    );
}

impl Fixture {
    fn start(api: FakeApi) -> Self {
        Self::start_with(api, &[])
    }

    fn start_with(api: FakeApi, secret_namespaces: &[&str]) -> Self {
        let settings = KubeSettings {
            root_namespace: "istio-system".into(),
            revision: "default".into(),
            read_secrets: true,
            secret_namespaces: secret_namespaces.iter().map(ToString::to_string).collect(),
        };
        let source = KubeSource::new(api.client(), &settings);
        let board = source.board();
        let (send, batches) = mpsc::channel(1);
        tokio::spawn(source.run(send));
        let (objects, removals) = (BTreeMap::new(), Vec::new());
        Self {
            api,
            batches,
            board,
            objects,
            removals,
            unknown: None,
        }
    }

    /// Takes batches until this holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let batch = tokio::time::timeout(Duration::from_secs(120), self.batches.recv()).await;
            let batch = batch.unwrap_or_else(|_| panic!("never {what}: {:?}", self.unknown));
            let batch = batch.expect("the source runs");
            for change in batch.changes {
                match change {
                    ObjectChange::Set(key, object) => {
                        self.objects.insert(key.reference().to_string(), object);
                    }
                    ObjectChange::Removed(key) => {
                        let name = key.reference().to_string();
                        assert!(self.objects.remove(&name).is_some(), "{name} was not there");
                        self.removals.push(name);
                    }
                }
            }
            self.unknown = Some(batch.unknown);
        }
    }

    async fn until_known(&mut self) {
        self.until("known", |f| f.unknown.as_ref().is_some_and(Vec::is_empty))
            .await;
    }

    async fn until_there(&mut self, name: &str) {
        self.until(name, |f| f.objects.contains_key(name)).await;
    }

    async fn until_gone(&mut self, name: &str) {
        self.until(name, |f| !f.objects.contains_key(name)).await;
    }

    fn state(&self, kind: &str) -> &'static str {
        let watches = self.board.watches();
        watches
            .iter()
            .find(|w| w.kind == kind)
            .expect("it is watched")
            .state
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_before_anything_counts_as_known() {
    let api = api();
    pod(&api, "shop", "cart");
    api.forbid(&watched(Kind::Node), true);
    let mut source = Fixture::start(api);
    source.until_there("Pod shop/cart").await;
    source.until("refused", |f| f.state("Node") == "Away").await;
    let unknown = source.unknown.clone().expect("a batch came");
    assert!(
        unknown
            .iter()
            .any(|line| line == "Node: not allowed: no role lets you"),
        "{unknown:?}"
    );
    source.api.forbid(&watched(Kind::Node), false);
    source.until_known().await;
}

#[tokio::test(start_paused = true)]
async fn secrets_may_be_none_of_our_business() {
    let api = api();
    api.forbid(&watched(Kind::Secret), true);
    let mut source = Fixture::start(api);
    source.until_known().await;
    assert_eq!(source.state("Secret"), "Away");
    put(
        &source.api,
        Kind::Secret,
        "shop",
        "tls",
        json!({"type": "kubernetes.io/tls"}),
    );
    source.api.forbid(&watched(Kind::Secret), false);
    source.until_there("Secret shop/tls").await;
}

#[tokio::test(start_paused = true)]
async fn a_kind_whose_crd_comes_late_is_known_from_then_on() {
    let mut source = Fixture::start(api());
    source.until_known().await;
    assert_eq!(source.state("PeerAuthentication"), "NotServed");
    put(
        &source.api,
        Kind::PeerAuthentication,
        "shop",
        "strict",
        json!({"spec": {"mtls": {"mode": "STRICT"}}}),
    );
    source.until_there("PeerAuthentication shop/strict").await;
    source
        .until("current", |f| f.state("PeerAuthentication") == "Current")
        .await;
    source.api.unserve(&watched(Kind::PeerAuthentication));
    source.until_gone("PeerAuthentication shop/strict").await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_takes_nothing_away_and_is_seen() {
    let api = api();
    pod(&api, "shop", "cart");
    let mut source = Fixture::start(api);
    source.until_known().await;
    assert_eq!(source.board.away_seconds(), 0);
    source.api.away(true);
    let begun = tokio::time::Instant::now();
    source
        .until("away for a minute", |f| {
            begun.elapsed().as_secs() > 60 && f.state("Pod") == "Away"
        })
        .await;
    assert!(
        (30..=62).contains(&source.board.away_seconds()),
        "{}",
        source.board.away_seconds()
    );
    assert!(source.objects.contains_key("Pod shop/cart") && source.removals.is_empty());
    source
        .api
        .remove(&watched(Kind::Pod), &ObjectName::new("shop", "cart"));
    pod(&source.api, "shop", "bank");
    source.api.forget_history();
    source.api.away(false);
    source.until_gone("Pod shop/cart").await;
    source.until_there("Pod shop/bank").await;
    source.until("back", |f| f.board.away_seconds() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_named_and_keeps_its_last_good_content() {
    let kind = Kind::AuthorizationPolicy;
    let api = api();
    put(
        &api,
        kind,
        "shop",
        "deny",
        json!({"spec": {"action": "DENY", "rules": [{}]}}),
    );
    let mut source = Fixture::start(api);
    source.until_known().await;
    put(
        &source.api,
        kind,
        "shop",
        "deny",
        json!({"spec": {"action": "DENY", "rulez": [{}]}}),
    );
    source.until("broken", |f| !f.board.broken().is_empty()).await;
    let broken = source.board.broken();
    assert_eq!(broken[0].object.to_string(), "AuthorizationPolicy shop/deny");
    assert!(
        broken[0].last_good && broken[0].errors[0].contains("spec.rulez"),
        "{broken:?}"
    );
    assert!(source.objects.contains_key("AuthorizationPolicy shop/deny"));
    put(
        &source.api,
        kind,
        "shop",
        "deny",
        json!({"spec": {"action": "ALLOW", "rules": [{}]}}),
    );
    source.until("mended", |f| f.board.broken().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn namespaces_come_and_go_with_the_meshs_selectors() {
    let api = api();
    put(&api, Kind::Namespace, "", "in", json!({"labels": {"mesh": "on"}}));
    put(&api, Kind::Namespace, "", "out", json!({}));
    for namespace in ["in", "out", "istio-system"] {
        pod(&api, namespace, "p");
        put(&api, Kind::ConfigMap, namespace, "m", json!({"data": {}}));
    }
    select_only(&api, "on");
    let mut source = Fixture::start(api);
    source.until_known().await;
    let pods = |f: &Fixture| {
        f.objects
            .keys()
            .filter(|k| k.starts_with("Pod "))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(pods(&source), ["Pod in/p", "Pod istio-system/p"]);
    // By a label of the namespace.
    put(
        &source.api,
        Kind::Namespace,
        "",
        "out",
        json!({"labels": {"mesh": "on"}}),
    );
    source.until_there("Pod out/p").await;
    source.until_there("ConfigMap out/m").await;
    put(
        &source.api,
        Kind::Namespace,
        "",
        "in",
        json!({"labels": {"mesh": "off"}}),
    );
    source.until_gone("Pod in/p").await;
    source.until_gone("ConfigMap in/m").await;
    // By the mesh's configuration; that of another revision is another control plane's.
    let of_canary = json!({"data": {"mesh": "discoverySelectors: [{matchLabels: {mesh: nobody}}]"}});
    put(
        &source.api,
        Kind::ConfigMap,
        "istio-system",
        "istio-canary",
        of_canary,
    );
    source.until_there("MeshConfig istio-system/istio-canary").await;
    assert!(source.objects.contains_key("Pod out/p"));
    select_only(&source.api, "off");
    source.until_there("Pod in/p").await;
    source.until_gone("Pod out/p").await;
    assert!(source.objects.contains_key("Pod istio-system/p"));
}

/// A source that was told that every kind is listed, and has nothing in it.
fn listed() -> KubeSource {
    let settings = KubeSettings {
        root_namespace: "istio-system".into(),
        revision: "default".into(),
        read_secrets: true,
        secret_namespaces: Vec::new(),
    };
    let mut source = KubeSource::new(FakeApi::new().client(), &settings);
    let kinds = 0..source.kinds.len();
    let batch = source.take(kinds.flat_map(list_of_nothing).collect());
    assert_eq!(batch.unknown, [""; 0]);
    source
}

fn list_of_nothing(kind: usize) -> [Heard; 2] {
    [Event::ListBegins, Event::ListEnds].map(|event| (kind, News::Event(event)))
}

fn raw(object: &Value) -> RawObject {
    serde_json::from_value(object.clone()).expect("JSON")
}

#[tokio::test]
async fn another_set_of_namespaces_is_known_when_every_kind_was_listed_anew() {
    let mut source = listed();
    let mut selectors = source.selectors();
    assert_eq!(selectors.borrow_and_update().as_deref(), Some(&[][..]));
    let mesh = json!({
        "metadata": {"namespace": "istio-system", "name": "istio"},
        "data": {"mesh": "discoverySelectors: [{matchLabels: {mesh: on}}]"},
    });
    let kinds = source.kinds.len();
    let batch = source.take(vec![(1, News::Event(Event::Applied(raw(&mesh))))]);
    assert_eq!(
        batch.unknown.len(),
        kinds,
        "what was listed was of other namespaces"
    );
    assert_eq!(selectors.borrow_and_update().as_ref().map(Vec::len), Some(1));
    source.rescoped = false;
    // All but the ConfigMaps; those change, which is no list.
    let others = (0..kinds).filter(|kind| *kind != 1);
    let mut heard: Vec<Heard> = others.flat_map(list_of_nothing).collect();
    heard.push((1, News::Event(Event::Applied(raw(&mesh)))));
    assert_eq!(source.take(heard).unknown, ["ConfigMap: not listed yet"]);
    let mut relisted = list_of_nothing(1).to_vec();
    relisted.insert(1, (1, News::Event(Event::Listed(raw(&mesh)))));
    assert_eq!(source.take(relisted).unknown, [""; 0]);
}

#[tokio::test]
async fn selectors_are_not_told_before_the_object_that_has_them_was_looked_for() {
    let mut source = listed();
    for kind in &mut source.kinds {
        kind.known = false;
    }
    source.selectors = watch::Sender::new(None);
    let told = source.selectors();
    source.take(list_of_nothing(0).to_vec());
    assert_eq!(*told.borrow(), None);
    source.take(list_of_nothing(1).to_vec());
    assert_eq!(*told.borrow(), Some(Vec::new()));
}

#[tokio::test]
async fn what_a_list_names_and_nobody_can_read_is_not_gone() {
    let mut source = listed();
    let namespace = raw(&json!({"metadata": {"name": "shop"}}));
    source.take(vec![(0, News::Event(Event::Applied(namespace)))]);
    let [begins, ends] = list_of_nothing(0);
    let unreadable = News::Malformed {
        object: ObjectName::cluster("shop"),
        reason: "nonsense".to_owned(),
    };
    let batch = source.take(vec![begins.clone(), (0, unreadable), ends.clone()]);
    assert_eq!(batch.changes, []);
    let batch = source.take(vec![begins, ends]);
    assert_eq!(batch.changes.len(), 1, "now it is gone");
}

#[tokio::test(start_paused = true)]
async fn secrets_of_some_namespaces_are_read_without_a_right_to_those_of_others() {
    let api = api();
    for namespace in ["bank", "edge", "shop"] {
        put(&api, Kind::Namespace, "", namespace, json!({}));
        put(
            &api,
            Kind::Secret,
            namespace,
            "tls",
            json!({"type": "kubernetes.io/tls"}),
        );
    }
    let mut source = Fixture::start_with(api, &["shop", "edge", "shop"]);
    source.until_known().await;
    let secrets = |f: &Fixture| {
        let keys = f.objects.keys().filter(|k| k.starts_with("Secret "));
        keys.cloned().collect::<Vec<_>>()
    };
    assert_eq!(secrets(&source), ["Secret edge/tls", "Secret shop/tls"]);
    let asked = source.api.requests();
    let about_secrets = asked.iter().filter(|request| request.contains("/secrets"));
    for request in about_secrets {
        let of_one = ["/namespaces/shop/secrets", "/namespaces/edge/secrets"];
        assert!(of_one.iter().any(|path| request.contains(path)), "{request}");
    }
    // What one namespace lists says nothing of another's.
    source
        .api
        .remove(&watched(Kind::Secret), &ObjectName::new("edge", "tls"));
    source.until_gone("Secret edge/tls").await;
    source.api.forget_history();
    put(
        &source.api,
        Kind::Secret,
        "shop",
        "more",
        json!({"type": "kubernetes.io/tls"}),
    );
    source.until_there("Secret shop/more").await;
    assert_eq!(secrets(&source), ["Secret shop/more", "Secret shop/tls"]);
}
