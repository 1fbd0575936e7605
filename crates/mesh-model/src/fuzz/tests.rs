use std::fs;
use std::path::{Path, PathBuf};

use mesh_proto::istio::workload as pb;
use mesh_types::fuzzing;
use prost::Message;

use super::*;
use crate::fixtures;
use crate::l7::tests::examples;

#[test]
fn no_bytes_make_a_workload_panic_or_change_on_its_way() {
    run("workload", workload, 1);
}

#[test]
fn no_bytes_make_a_service_panic_or_change_on_its_way() {
    run("service", service, 2);
}

#[test]
fn no_bytes_make_an_address_panic_or_change_on_its_way() {
    run("address", address, 3);
}

#[test]
fn no_bytes_make_a_policy_panic_or_change_on_its_way() {
    run("authorization", authorization, 4);
}

#[test]
fn no_path_hides_anything_once_it_is_normalised() {
    run("path", l7::path, 5);
}

#[test]
fn no_request_leads_past_routes_or_policies() {
    run("request", l7::request, 6);
}

#[test]
fn no_bytes_make_a_bind_panic_or_change_on_its_way() {
    run("bind", bind, 7);
}

#[test]
fn no_bytes_make_a_route_panic_or_change_on_its_way() {
    run("route", route, 8);
}

#[test]
fn no_bytes_make_a_backend_panic_or_change_on_its_way() {
    run("backend", backend, 9);
}

#[test]
fn no_bytes_make_a_waypoints_policy_panic_or_change_on_its_way() {
    run("policy", policy, 10);
}

#[test]
fn no_bytes_make_labels_panic_or_change_on_their_way() {
    run("endpoint-labels", endpoint_labels, 11);
}

#[test]
fn no_bytes_make_a_quota_panic_or_change_on_its_way() {
    run("quota", quota, 12);
}

/// The corpus is made of examples of today's messages; `LATEEN_UPDATE=1` writes them.
#[test]
fn the_corpus_holds_todays_examples() {
    for (target, name, body) in examples() {
        let path = corpus_dir(target).join(name);
        if std::env::var_os("LATEEN_UPDATE").is_some() {
            fs::create_dir_all(corpus_dir(target)).unwrap();
            fs::write(&path, &body).unwrap();
        }
        assert!(
            fs::read(&path).is_ok_and(|on_disk| on_disk == body),
            "{} is out of date; run with LATEEN_UPDATE=1",
            path.display()
        );
    }
}

fn run(target: &str, fuzz: fn(&[u8]), seed: u64) {
    let corpus = fuzzing::corpus(&corpus_dir(target));
    fuzzing::mutations(&corpus, seed, 20_000).for_each(|input| fuzz(&input));
}

fn corpus_dir(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target)
}

fn examples() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let (pod, full_workload, full_service) = (
        fixtures::pod(),
        fixtures::full_workload(),
        fixtures::full_service(),
    );
    let plain_service = Service::new(full_service.hostname.clone(), "web");
    let mut examples = vec![
        ("workload", "pod", pb::Workload::from(&pod).encode_to_vec()),
        (
            "workload",
            "full",
            pb::Workload::from(&full_workload).encode_to_vec(),
        ),
        (
            "service",
            "plain",
            pb::Service::from(&plain_service).encode_to_vec(),
        ),
        (
            "service",
            "full",
            pb::Service::from(&full_service).encode_to_vec(),
        ),
        ("address", "workload", Address::Workload(pod).encode().to_vec()),
        (
            "address",
            "service",
            Address::Service(full_service).encode().to_vec(),
        ),
        ("authorization", "strict", fixtures::strict().encode().to_vec()),
        ("authorization", "full", fixtures::full_policy().encode().to_vec()),
    ];
    examples.extend(l7_examples());
    examples
}

fn l7_examples() -> impl Iterator<Item = (&'static str, &'static str, Vec<u8>)> {
    let binds = examples::binds()
        .into_iter()
        .map(|(name, it)| ("bind", name, it.encode().to_vec()));
    let routes = examples::routes()
        .into_iter()
        .map(|(name, it)| ("route", name, it.encode().to_vec()));
    let backends = examples::backends()
        .into_iter()
        .map(|(name, it)| ("backend", name, it.encode().to_vec()));
    let policies = examples::policies()
        .into_iter()
        .map(|it| ("policy", it.kind.label(), it.encode().to_vec()));
    let labels = [("endpoint-labels", "pod", examples::labels().encode().to_vec())];
    let quotas = [("quota", "days", examples::quota().encode().to_vec())];
    binds
        .chain(routes)
        .chain(backends)
        .chain(policies)
        .chain(labels)
        .chain(quotas)
}
