use std::path::Path;
use std::time::Duration;

use clap::Parser;
use mesh_register::Redirection;
use mesh_runtime::readiness::Readiness;
use mesh_xds::TypeUrl;

use super::*;
use crate::args::CommandLine;
use crate::config::files::ConfigFiles;
use crate::config::scan::FileName;
use crate::config::source::ConfigBatch;
use crate::sources::Which;

const LEASE: Duration = Duration::from_secs(30);

/// A loop, fed by hand.
struct Fixture {
    outputs: Outputs,
    readiness: Readiness,
    files: ConfigFiles,
    config: mpsc::Sender<SourceBatch>,
    places: mpsc::Sender<PlaceEvent>,
}

impl Fixture {
    fn start(state: &Path) -> Self {
        let line = ["lateen-controlplane", "--config-dir", "c", "--state-dir", "s"];
        let args = CommandLine::try_parse_from(line).unwrap().serve.unwrap();
        let outputs = Outputs {
            cache: ResourceCache::new(&TypeUrl::IN_ORDER),
            assignments: Assignments::new(),
            registrations: RegistrationBoard::default(),
            gateways: GatewayBoard::default(),
            pods: PodBoard::default(),
            deliveries: DeliveryBoard::default(),
            changed: Arc::default(),
        };
        let readiness = Readiness::new();
        let store = RegistrationStore::open(state).unwrap();
        let control = Control::new(
            Sources::new(Which {
                files: true,
                kube: false,
            }),
            Derivation::new(&args),
            Leases::new(LEASE),
            store.load().unwrap(),
            Stores {
                registrations: store,
                addresses: AddressStore::new(state),
            },
            outputs.clone(),
            readiness.block("configuration"),
        );
        let (config, batches) = mpsc::channel(1);
        let (places, events) = mpsc::channel(8);
        let (_, questions) = mpsc::channel(1);
        tokio::spawn(control.run(batches, events, questions));
        Self {
            outputs,
            readiness,
            files: ConfigFiles::default(),
            config,
            places,
        }
    }

    /// Writes a file and waits until the loop has dealt with it.
    async fn write(&mut self, file: &str, text: &str) {
        self.files.update(&FileName::new(file), text);
        self.changed().await;
    }

    async fn remove(&mut self, file: &str) {
        self.files.remove(&FileName::new(file));
        self.changed().await;
    }

    async fn changed(&mut self) {
        let batch = ConfigBatch {
            changes: self.files.take_changes(),
            never_good: self.files.never_good(),
        };
        self.config.send(SourceBatch::Files(batch)).await.unwrap();
        self.settled().await;
    }

    /// The answer to a withdrawal of nothing comes after everything before it.
    async fn settled(&self) {
        self.withdraw("node-x", "none/none", "0").await;
    }

    async fn report(&self, place: &str, workload: &str, uid: &str, address: &str) -> Outcome {
        let report = Report {
            workload: workload.parse().unwrap(),
            uid: uid.to_owned(),
            addresses: vec![address.parse().unwrap()],
            redirection: Redirection::Enabled,
            network_ready: true,
        };
        self.ask(|answer| PlaceEvent::Report(Place::new(place), report, answer))
            .await
    }

    async fn withdraw(&self, place: &str, workload: &str, uid: &str) -> Outcome {
        let withdrawal = Withdrawal {
            workload: workload.parse().unwrap(),
            uid: uid.to_owned(),
        };
        self.ask(|answer| PlaceEvent::Withdraw(Place::new(place), withdrawal, answer))
            .await
    }

    async fn ask(&self, event: impl FnOnce(oneshot::Sender<Outcome>) -> PlaceEvent) -> Outcome {
        let (answer, answered) = oneshot::channel();
        self.places.send(event(answer)).await.unwrap();
        answered.await.unwrap()
    }

    fn published(&self, name: &str) -> bool {
        self.outputs.cache.versions(TypeUrl::ADDRESS).contains_key(name)
    }

    fn live(&self) -> Vec<(String, bool)> {
        let all = self.outputs.registrations.all();
        all.into_iter()
            .map(|r| (r.report.workload.to_string(), r.live))
            .collect()
    }
}

const NAMESPACE: &str =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n";
const CART: &str = "Kubernetes//Pod/shop/cart";

fn pod(node: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: cart, namespace: shop}}\n\
         spec: {{nodeName: {node}, serviceAccountName: cart}}\n"
    )
}

#[tokio::test(start_paused = true)]
async fn a_report_is_published_before_it_is_acknowledged() {
    let state = tempfile::tempdir().unwrap();
    let mut f = Fixture::start(state.path());
    f.write("ns.yaml", NAMESPACE).await;
    assert_eq!(
        f.report("node-a", "shop/cart", "1", "10.0.0.1").await,
        Outcome::NotAssigned
    );
    f.write("cart.yaml", &pod("node-a")).await;
    assert_eq!(f.outputs.assignments.on(&Place::new("node-a")).len(), 1);
    assert_eq!(
        f.report("node-b", "shop/cart", "1", "10.0.0.1").await,
        Outcome::NotAssigned
    );
    assert!(!f.published(CART));
    assert_eq!(
        f.report("node-a", "shop/cart", "1", "10.0.0.1").await,
        Outcome::Accepted
    );
    assert!(f.published(CART));
    assert_eq!(f.withdraw("node-a", "shop/cart", "1").await, Outcome::Accepted);
    assert!(!f.published(CART));
}

#[tokio::test(start_paused = true)]
async fn only_deletion_takes_a_workload_from_a_silent_node() {
    let state = tempfile::tempdir().unwrap();
    let mut f = Fixture::start(state.path());
    f.write("ns.yaml", NAMESPACE).await;
    f.write("cart.yaml", &pod("node-a")).await;
    f.report("node-a", "shop/cart", "1", "10.0.0.1").await;
    let healthy = f.outputs.cache.versions(TypeUrl::ADDRESS)[CART].clone();
    tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
    f.settled().await;
    assert_eq!(f.live(), [("shop/cart".to_owned(), false)]);
    assert_ne!(f.outputs.cache.versions(TypeUrl::ADDRESS)[CART], healthy);
    f.remove("cart.yaml").await;
    assert_eq!(f.live(), []);
    assert!(!f.published(CART));
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_moves_takes_the_registration_from_the_old_node() {
    let state = tempfile::tempdir().unwrap();
    let mut f = Fixture::start(state.path());
    f.write("ns.yaml", NAMESPACE).await;
    f.write("cart.yaml", &pod("node-a")).await;
    f.report("node-a", "shop/cart", "1", "10.0.0.1").await;
    f.write("cart.yaml", &pod("node-b")).await;
    assert_eq!(f.live(), []);
    assert!(f.outputs.assignments.on(&Place::new("node-a")).is_empty());
    assert_eq!(
        f.report("node-b", "shop/cart", "2", "10.0.1.1").await,
        Outcome::Accepted
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let mut f = Fixture::start(state.path());
    f.write("shop.yaml", &format!("{NAMESPACE}---\n{}", pod("node-a")))
        .await;
    f.report("node-a", "shop/cart", "1", "10.0.0.1").await;

    let mut later = Fixture::start(state.path());
    later.settled().await;
    assert!(!later.outputs.cache.is_ready(), "the files were not read yet");
    later
        .write("shop.yaml", &format!("{NAMESPACE}---\n{}", pod("node-a")))
        .await;
    assert!(later.outputs.cache.is_ready() && later.readiness.pending().is_empty());
    assert!(later.published(CART));

    let mut last = Fixture::start(state.path());
    last.write("shop.yaml", NAMESPACE).await;
    assert_eq!(last.live(), [], "its manifest was deleted meanwhile");
    assert_eq!(RegistrationStore::open(state.path()).unwrap().load().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_served_until_every_file_was_good_once() {
    let state = tempfile::tempdir().unwrap();
    let mut f = Fixture::start(state.path());
    f.write("bad.yaml", "kind: [").await;
    assert!(!f.outputs.cache.is_ready() && !f.outputs.assignments.is_ready());
    assert_eq!(f.readiness.pending(), ["configuration"]);
    f.remove("bad.yaml").await;
    assert!(f.outputs.cache.is_ready() && f.outputs.assignments.is_ready());
    // Later a broken file changes nothing.
    f.write("bad.yaml", "kind: [").await;
    assert!(f.outputs.cache.is_ready() && f.readiness.pending().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_not_acknowledged() {
    let state = tempfile::tempdir().unwrap();
    let mut f = Fixture::start(state.path());
    f.write("shop.yaml", &format!("{NAMESPACE}---\n{}", pod("node-a")))
        .await;
    let dir = state.path().join("registrations");
    std::fs::remove_dir_all(&dir).unwrap();
    let refused = f.report("node-a", "shop/cart", "1", "10.0.0.1").await;
    assert!(matches!(refused, Outcome::Unavailable(_)), "{refused:?}");
    std::fs::create_dir(&dir).unwrap();
    assert_eq!(
        f.report("node-a", "shop/cart", "1", "10.0.0.1").await,
        Outcome::Accepted
    );
    assert_eq!(
        RegistrationStore::open(state.path())
            .unwrap()
            .load()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_not_a_workloads_of_this_node_is_refused_with_its_reason() {
    let state = tempfile::tempdir().unwrap();
    let mut f = Fixture::start(state.path());
    f.write("ns.yaml", NAMESPACE).await;
    f.write("cart.yaml", &pod("node-a")).await;
    let service = "{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: till}, spec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}}";
    f.write("service.yaml", service).await;
    let node = "{apiVersion: v1, kind: Node, metadata: {name: node-a}, spec: {podCIDRs: [10.0.0.0/24, 10.96.0.0/24]}}";
    f.write("node.yaml", node).await;
    for (address, reason) in [
        (
            "10.96.0.1",
            "address 10.96.0.1 is the virtual address of Service shop/till",
        ),
        (
            "10.0.1.1",
            "address 10.0.1.1 is outside of the ranges of node node-a (spec.podCIDRs: 10.0.0.0/24, 10.96.0.0/24)",
        ),
        ("127.0.0.1", "address 127.0.0.1 is a loopback address"),
    ] {
        assert_eq!(
            f.report("node-a", "shop/cart", "1", address).await,
            Outcome::Invalid(reason.to_owned())
        );
    }
    assert_eq!(f.live(), []);
    assert_eq!(
        f.report("node-a", "shop/cart", "1", "10.0.0.1").await,
        Outcome::Accepted
    );
}
