//! How long changes take in a mesh of 10,000 Pods and 1,000 Services: `cargo run --release -p controlplane-index
//! --example scale [PODS [SERVICES]]`. Figures for people; nothing is asserted.

use std::error::Error;
use std::time::Duration;

use controlplane_index::{Index, MeshConfig, ObjectChange, Redirection, Registration, RegistrationChange};
use controlplane_k8s_api::{Object, parse};
use mesh_types::NamespacedName;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1).map(|a| a.parse());
    let pods: usize = args.next().transpose()?.unwrap_or(10_000);
    let services: usize = args
        .next()
        .transpose()?
        .unwrap_or(1_000)
        .next_multiple_of(NAMESPACES)
        .max(NAMESPACES);
    println!("{pods} Pods, {services} Services, {NAMESPACES} namespaces, {NODES} nodes");
    let text: String = (0..services)
        .map(|i| service(i, 80))
        .chain((0..pods).map(|i| pod(i, services, "a")))
        .collect();
    let (parsed, took) = timed(|| objects(&text));
    println!("parse all            {took:>12.1?}  ({} MB)", text.len() >> 20);

    let mut index = Index::new(MeshConfig::default());
    let ((), took) = timed(|| index.apply(parsed.into_iter().map(ObjectChange::Set)));
    println!("derive all           {took:>12.1?}");
    let ((), took) = timed(|| index.register((0..pods).map(|i| registration(i, true))));
    println!("register all         {took:>12.1?}");
    let (changes, took) = timed(|| index.take_changes());
    println!(
        "take all             {took:>12.1?}  ({} resources)",
        changes.addresses.len()
    );

    report("one Pod's label", &mut index, |index, i| {
        index.apply(
            objects(&pod(i % pods, services, "b"))
                .into_iter()
                .map(ObjectChange::Set),
        );
    });
    report("one registration", &mut index, |index, i| {
        index.register([registration(i % pods, false)])
    });
    report("one Service's port", &mut index, |index, i| {
        let port = 81 + u16::try_from(i).unwrap_or_default();
        index.apply(
            objects(&service(i % services, port))
                .into_iter()
                .map(ObjectChange::Set),
        );
    });
    report("mesh-wide STRICT", &mut index, |index, i| {
        let mode = if i % 2 == 0 { "STRICT" } else { "PERMISSIVE" };
        let peer = format!(
            "{{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {{name: default, namespace: istio-system}}, spec: {{mtls: {{mode: {mode}}}}}}}"
        );
        index.apply(objects(&peer).into_iter().map(ObjectChange::Set));
    });
    Ok(())
}

/// Makes a change some times; prints the median and the worst, and what was told.
fn report(what: &str, index: &mut Index, change: impl Fn(&mut Index, usize)) {
    let mut told = 0;
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|i| {
            let (changes, took) = timed(|| {
                change(index, i * 7);
                index.take_changes()
            });
            told += changes.addresses.len();
            took
        })
        .collect();
    times.sort();
    let (median, worst) = (times[ROUNDS / 2], times[ROUNDS - 1]);
    println!(
        "{what:<20} {median:>12.1?}  worst {worst:.1?}  ({} resources each)",
        told / ROUNDS
    );
}

#[expect(clippy::disallowed_types, reason = "it measures; no test depends on it")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = std::time::Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn objects(text: &str) -> Vec<Object> {
    parse(text)
        .into_iter()
        .filter_map(|r| Some(r.ok()?.value))
        .collect()
}

fn pod(i: usize, services: usize, revision: &str) -> String {
    let (service, namespace, node) = (i % services, i % NAMESPACES, i % NODES);
    format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: p{i}, namespace: ns{namespace}, labels: {{app: s{service}, version: {revision}, pod-template-hash: h{i}}}}}, \
         spec: {{nodeName: node{node}, serviceAccountName: s{service}, containers: [{{ports: [{{name: http, containerPort: 8080}}]}}]}}}}\n---\n"
    )
}

fn service(i: usize, port: u16) -> String {
    let namespace = i % NAMESPACES;
    let (high, low) = (i / 250, i % 250 + 1);
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: s{i}, namespace: ns{namespace}}}, \
         spec: {{clusterIP: 10.96.{high}.{low}, selector: {{app: s{i}}}, ports: [{{name: http, port: {port}, targetPort: http}}]}}}}\n---\n"
    )
}

fn registration(i: usize, ready: bool) -> RegistrationChange {
    let namespace = i % NAMESPACES;
    let name = NamespacedName::new(format!("ns{namespace}"), format!("p{i}"));
    let [_, a, b, c] = u32::try_from(i).unwrap_or_default().to_be_bytes();
    RegistrationChange::Set(
        name,
        Registration {
            node: format!("node{}", i % NODES).into(),
            uid: format!("sandbox{i}").into(),
            addresses: vec![[10, a, b, c].into()],
            redirection: Redirection::Enabled,
            ready,
            live: true,
        },
    )
}

const NAMESPACES: usize = 50;
const NODES: usize = 200;
const ROUNDS: usize = 101;
