use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;

use super::*;
use crate::node::NodeInfo;
use crate::server::table::MAX_TOMBSTONES;
use crate::server::{Ended, ServerSession};

const ADDRESS: TypeUrl = TypeUrl::ADDRESS;

fn subscriber(cache: &ResourceCache) -> ServerSession {
    let mut session = ServerSession::new(cache.clone());
    let request = DeltaDiscoveryRequest {
        node: Some((&NodeInfo::ztunnel(None, "z", "ns", "n")).into()),
        type_url: ADDRESS.as_str().to_owned(),
        ..Default::default()
    };
    session.receive(request).unwrap();
    session.next_push().unwrap();
    session
}

fn ack(session: &mut ServerSession, nonce: &str) {
    let request = DeltaDiscoveryRequest {
        type_url: ADDRESS.as_str().to_owned(),
        response_nonce: nonce.to_owned(),
        ..Default::default()
    };
    session.receive(request).unwrap();
}

fn tombstones(cache: &ResourceCache) -> usize {
    cache.read(|tables| tables.tables[0].tombstones.len())
}

fn churn(cache: &ResourceCache, rounds: usize) {
    for n in 0..rounds {
        cache.publish(vec![Change::upsert(ADDRESS, format!("w{n}"), "1")]);
        cache.publish(vec![Change::remove(ADDRESS, format!("w{n}"))]);
    }
}

#[test]
fn removals_are_forgotten_when_nobody_needs_them() {
    let cache = ResourceCache::new(&[ADDRESS]);
    churn(&cache, 10);
    assert_eq!(tombstones(&cache), 0);
    // The subscriber has not answered its first push: everything since is remembered for it.
    let mut slow = subscriber(&cache);
    churn(&cache, 10);
    assert_eq!(tombstones(&cache), 10);
    ack(&mut slow, "1");
    let push = slow.next_push().unwrap().unwrap();
    assert_eq!(push.removed.len(), 10);
    cache.publish(vec![]);
    assert_eq!(tombstones(&cache), 0);
    cache.publish(vec![Change::upsert(ADDRESS, "kept", "1")]);
    churn(&cache, 3);
    drop(slow);
    cache.publish(vec![]);
    assert_eq!(tombstones(&cache), 0);
    assert_eq!(cache.len(ADDRESS), 1);
}

#[test]
fn a_subscriber_that_never_answers_costs_a_bounded_memory() {
    let cache = ResourceCache::new(&[ADDRESS]);
    let mut stuck = subscriber(&cache);
    churn(&cache, MAX_TOMBSTONES + 10);
    assert!(tombstones(&cache) <= MAX_TOMBSTONES + 1);
    assert_eq!(stuck.next_push().unwrap_err(), Ended::Behind(ADDRESS));
    // On a new stream it names what it holds, and misses nothing.
    let mut again = subscriber(&cache);
    ack(&mut again, "1");
    assert!(again.next_push().unwrap().is_none());
}

#[test]
fn a_name_that_comes_back_is_no_removal() {
    let cache = ResourceCache::new(&[ADDRESS]);
    cache.publish(vec![Change::upsert(ADDRESS, "a", "1")]);
    let mut slow = subscriber(&cache);
    cache.publish(vec![Change::remove(ADDRESS, "a")]);
    cache.publish(vec![Change::upsert(ADDRESS, "a", "1")]);
    ack(&mut slow, "1");
    let push = slow.next_push().unwrap().unwrap();
    assert_eq!((push.changed(), push.removed.len()), (1, 0));
}

#[test]
#[should_panic(expected = "the cache was not made for")]
fn a_type_that_the_cache_was_not_made_for() {
    ResourceCache::new(&[ADDRESS]).publish(vec![Change::remove(TypeUrl::AUTHORIZATION, "p")]);
}
