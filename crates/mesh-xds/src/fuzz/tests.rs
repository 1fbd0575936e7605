use std::path::Path;
use std::time::{Duration, SystemTime};

use mesh_proto::google::rpc::Status;

use super::*;
use crate::server::debug::wire::{Standing, TypeStanding};

#[test]
fn the_corpus_and_its_mutations() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sessions");
    let corpus = mesh_types::fuzzing::corpus(&dir);
    for input in mesh_types::fuzzing::mutations(&corpus, 1, 20_000) {
        fuzz(&input);
    }
}

/// The corpus is what a real exchange looks like; it is written anew with `LATEEN_UPDATE=1`.
#[test]
fn the_corpus_is_a_real_exchange() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/sessions");
    for (name, content) in [
        ("requests", requests()),
        ("responses", responses()),
        ("standings", standings()),
    ] {
        let path = dir.join(name);
        if std::env::var_os("LATEEN_UPDATE").is_some() {
            std::fs::write(&path, &content).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), content, "{name}");
    }
}

fn requests() -> Vec<u8> {
    let session = ClientSession::new(&ClientConfig {
        node: NodeInfo::ztunnel(None, "z", "ns", "n"),
        types: vec![TypeUrl::ADDRESS, TypeUrl::AUTHORIZATION],
    });
    let mut first = session.open();
    first[0]
        .initial_resource_versions
        .insert("a".to_owned(), "1".to_owned());
    first[0]
        .initial_resource_versions
        .insert("gone".to_owned(), String::new());
    let ack = DeltaDiscoveryRequest {
        type_url: TypeUrl::ADDRESS.as_str().to_owned(),
        response_nonce: "1".to_owned(),
        ..Default::default()
    };
    let nack = DeltaDiscoveryRequest {
        type_url: TypeUrl::AUTHORIZATION.as_str().to_owned(),
        response_nonce: "2".to_owned(),
        error_detail: Some(Status {
            code: 3,
            message: "p: rules[0]".to_owned(),
            details: crate::refusal::to_details(["p"].into_iter()),
        }),
        ..Default::default()
    };
    let names = DeltaDiscoveryRequest {
        type_url: TypeUrl::ADDRESS.as_str().to_owned(),
        resource_names_subscribe: vec!["a".to_owned(), "b".to_owned()],
        resource_names_unsubscribe: vec!["c".to_owned()],
        ..Default::default()
    };
    join(
        first
            .iter()
            .chain([&ack, &nack, &names])
            .map(Message::encode_to_vec),
    )
}

fn responses() -> Vec<u8> {
    let cache = ResourceCache::new(&[TypeUrl::ADDRESS]);
    let mut session = ServerSession::new(cache.clone());
    let node = NodeInfo::ztunnel(None, "z", "ns", "n");
    let first = DeltaDiscoveryRequest {
        node: Some((&node).into()),
        type_url: TypeUrl::ADDRESS.as_str().to_owned(),
        ..Default::default()
    };
    cache.publish(vec![
        Change::upsert(TypeUrl::ADDRESS, "a", "body"),
        Change::upsert(TypeUrl::ADDRESS, "b", "body"),
    ]);
    session.receive(first.clone()).unwrap();
    let one = session.next_push().unwrap().unwrap();
    let ack = DeltaDiscoveryRequest {
        response_nonce: one.nonce.clone(),
        ..first
    };
    session.receive(ack).unwrap();
    cache.publish(vec![
        Change::remove(TypeUrl::ADDRESS, "a"),
        Change::upsert(TypeUrl::ADDRESS, "b", "other"),
    ]);
    let two = session.next_push().unwrap().unwrap();
    join(
        [one, two]
            .map(|push| push.decode().unwrap().encode_to_vec())
            .into_iter(),
    )
}

/// What istioctl asks, and what it is told of a proxy.
fn standings() -> Vec<u8> {
    let asked = DiscoveryRequest {
        type_url: crate::server::debug::SYNCZ.to_owned(),
        ..Default::default()
    };
    let of_type = |standing| TypeStanding {
        type_url: TypeUrl::ADDRESS.as_str().to_owned(),
        standing,
        pushed: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_281_805)),
    };
    let told = ClientStanding {
        pod: "z".to_owned(),
        namespace: "ns".to_owned(),
        cluster: "c".to_owned(),
        version: "1".to_owned(),
        types: vec![
            of_type(Standing::Synced),
            of_type(Standing::Refused("p: rules[0]".to_owned())),
        ],
    };
    join([asked.encode_to_vec(), told.to_any().value.to_vec()].into_iter())
}

fn join(messages: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut joined = Vec::new();
    for message in messages {
        joined.extend_from_slice(&(message.len() as u16).to_le_bytes());
        joined.extend_from_slice(&message);
    }
    joined
}
