mod refusals;
mod scopes;

use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryResponse;
use mesh_proto::google::rpc::Status;

use super::*;
use crate::server::Change;

const ADDRESS: TypeUrl = TypeUrl::ADDRESS;
const AUTHORIZATION: TypeUrl = TypeUrl::AUTHORIZATION;

/// A client that holds nothing and knows only what it was sent.
struct Subscriber {
    session: ServerSession,
}

impl Subscriber {
    fn new(cache: &ResourceCache) -> Self {
        Self {
            session: ServerSession::new(cache.clone()),
        }
    }

    fn ask(&mut self, type_url: TypeUrl) {
        self.ask_holding(type_url, &[]);
    }

    fn ask_holding(&mut self, type_url: TypeUrl, held: &[(&str, &str)]) {
        let mut request = request(type_url);
        request.initial_resource_versions = held
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        self.session.receive(request).unwrap();
    }

    fn subscribe(&mut self, type_url: TypeUrl, names: &[&str], drop: &[&str]) -> Result<(), Ended> {
        let mut request = request(type_url);
        request.resource_names_subscribe = names.iter().map(|n| (*n).to_owned()).collect();
        request.resource_names_unsubscribe = drop.iter().map(|n| (*n).to_owned()).collect();
        self.session.receive(request)
    }

    fn push(&mut self) -> Option<DeltaDiscoveryResponse> {
        let push = self.session.next_push().unwrap()?;
        Some(push.decode().unwrap())
    }

    fn ack(&mut self, push: &DeltaDiscoveryResponse) {
        self.answer(push, None);
    }

    fn answer(&mut self, push: &DeltaDiscoveryResponse, error: Option<&str>) {
        let request = DeltaDiscoveryRequest {
            type_url: push.type_url.clone(),
            response_nonce: push.nonce.clone(),
            error_detail: error.map(|message| Status {
                code: 3,
                message: message.to_owned(),
                details: Vec::new(),
            }),
            ..Default::default()
        };
        self.session.receive(request).unwrap();
    }

    /// Asks for both types, takes and accepts the first pushes.
    fn settled(cache: &ResourceCache) -> Self {
        let mut subscriber = Self::new(cache);
        subscriber.ask(AUTHORIZATION);
        subscriber.ask(ADDRESS);
        while let Some(push) = subscriber.push() {
            subscriber.ack(&push);
        }
        subscriber
    }
}

fn request(type_url: TypeUrl) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node: Some((&NodeInfo::ztunnel(None, "z", "istio-system", "n1")).into()),
        type_url: type_url.as_str().to_owned(),
        ..Default::default()
    }
}

fn cache() -> ResourceCache {
    ResourceCache::new(&[AUTHORIZATION, ADDRESS])
}

fn put(type_url: TypeUrl, name: &str, body: &str) -> Change {
    Change::upsert(type_url, name, body.to_owned())
}

fn names(push: &DeltaDiscoveryResponse) -> Vec<&str> {
    let mut names: Vec<_> = push.resources.iter().map(|r| r.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// What a push brings: `+` for what is there, `-` for what is gone.
fn summary(push: Option<DeltaDiscoveryResponse>) -> String {
    let Some(push) = push else {
        return "nothing".to_owned();
    };
    let kind = push.type_url.rsplit('.').next().unwrap_or_default().to_owned();
    let there = names(&push).into_iter().map(|n| format!(" +{n}"));
    let gone = push.removed_resources.iter().map(|n| format!(" -{n}"));
    format!("{kind}{}", there.chain(gone).collect::<String>())
}

#[test]
fn the_first_push_brings_what_differs_from_what_the_client_holds() {
    let cache = cache();
    cache.publish(vec![
        put(ADDRESS, "same", "1"),
        put(ADDRESS, "changed", "2"),
        put(ADDRESS, "new", "1"),
    ]);
    let versions = cache.versions(ADDRESS);
    let mut subscriber = Subscriber::new(&cache);
    subscriber.ask_holding(
        ADDRESS,
        &[
            ("same", &versions["same"]),
            ("changed", "old"),
            ("gone", "1"),
            ("old-style", ""),
        ],
    );
    let push = subscriber.push().unwrap();
    assert_eq!(names(&push), ["changed", "new"]);
    assert_eq!(push.removed_resources, ["gone", "old-style"]);
    let new = push.resources.iter().find(|r| r.name == "new").unwrap();
    assert_eq!(new.version, versions["new"]);
    let any = new.resource.as_ref().unwrap();
    assert_eq!(
        (any.type_url.as_str(), any.value.as_ref()),
        (ADDRESS.as_str(), b"1".as_ref())
    );
}

#[test]
fn a_client_that_holds_everything_gets_an_empty_answer_and_nothing_after_it() {
    let cache = cache();
    cache.publish(vec![put(ADDRESS, "a", "1")]);
    let held = cache.versions(ADDRESS);
    let mut subscriber = Subscriber::new(&cache);
    subscriber.ask_holding(ADDRESS, &[("a", &held["a"])]);
    assert_eq!(summary(subscriber.push()), "Address");
    assert_eq!(summary(subscriber.push()), "nothing");
}

#[test]
fn versions_are_of_content_so_a_restarted_server_resends_nothing() {
    let (before, after) = (cache(), cache());
    before.publish(vec![put(ADDRESS, "b", "x"), put(ADDRESS, "a", "1")]);
    after.publish(vec![put(ADDRESS, "a", "1"), put(ADDRESS, "b", "2")]);
    assert_eq!(before.versions(ADDRESS)["a"], after.versions(ADDRESS)["a"]);
    // xxhash64 of "1", seed 0.
    assert_eq!(
        after.versions(ADDRESS)["a"],
        format!("{:016x}", xxhash_rust::xxh64::xxh64(b"1", 0))
    );
    assert_ne!(before.versions(ADDRESS)["b"], after.versions(ADDRESS)["b"]);
}

#[test]
fn one_push_is_outstanding_and_later_changes_merge_into_the_next() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    cache.publish(vec![put(ADDRESS, "a", "1")]);
    let first = subscriber.push().unwrap();
    cache.publish(vec![
        put(ADDRESS, "a", "2"),
        put(ADDRESS, "b", "1"),
        put(ADDRESS, "short-lived", "1"),
    ]);
    cache.publish(vec![
        put(ADDRESS, "a", "3"),
        Change::remove(ADDRESS, "short-lived"),
    ]);
    assert_eq!(summary(subscriber.push()), "nothing");
    subscriber.ack(&first);
    let second = subscriber.push().unwrap();
    assert_eq!(names(&second), ["a", "b"]);
    assert_eq!(second.removed_resources, ["short-lived"]);
    let a = second.resources.iter().find(|r| r.name == "a").unwrap();
    assert_eq!(a.resource.as_ref().unwrap().value.as_ref(), b"3");
    subscriber.ack(&second);
    assert_eq!(summary(subscriber.push()), "nothing");
}

#[test]
fn publishing_the_same_again_is_no_change() {
    let cache = cache();
    assert_eq!(cache.publish(vec![put(ADDRESS, "a", "1")]).changed, 1);
    let mut subscriber = Subscriber::settled(&cache);
    let published = cache.publish(vec![put(ADDRESS, "a", "1"), Change::remove(ADDRESS, "never")]);
    assert_eq!(published.changed, 0);
    assert_eq!(summary(subscriber.push()), "nothing");
}

#[test]
fn a_policy_comes_before_its_workloads_and_goes_after_them() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    cache.publish(vec![put(ADDRESS, "w", "with p"), put(AUTHORIZATION, "p", "1")]);
    let policy = subscriber.push();
    assert_eq!(summary(policy.clone()), "Authorization +p");
    let workload = subscriber.push();
    assert_eq!(summary(workload.clone()), "Address +w");
    subscriber.ack(&policy.unwrap());
    subscriber.ack(&workload.unwrap());
    cache.publish(vec![
        Change::remove(AUTHORIZATION, "p"),
        put(ADDRESS, "w", "without p"),
    ]);
    let workload = subscriber.push();
    assert_eq!(summary(workload), "Address +w");
    // On one stream messages arrive in order: the policy may go without waiting for the answer.
    assert_eq!(summary(subscriber.push()), "Authorization -p");
}

#[test]
fn workloads_wait_for_policies_that_wait_for_an_answer() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    cache.publish(vec![put(AUTHORIZATION, "p1", "1")]);
    let first = subscriber.push().unwrap();
    cache.publish(vec![put(AUTHORIZATION, "p2", "1"), put(ADDRESS, "w", "with p2")]);
    assert_eq!(summary(subscriber.push()), "nothing");
    subscriber.ack(&first);
    assert_eq!(summary(subscriber.push()), "Authorization +p2");
    assert_eq!(summary(subscriber.push()), "Address +w");
}

#[test]
fn an_outstanding_policy_removal_does_not_hold_up_workloads() {
    let cache = cache();
    cache.publish(vec![put(AUTHORIZATION, "p", "1")]);
    let mut subscriber = Subscriber::settled(&cache);
    cache.publish(vec![Change::remove(AUTHORIZATION, "p")]);
    assert_eq!(summary(subscriber.push()), "Authorization -p");
    cache.publish(vec![put(ADDRESS, "w", "1")]);
    assert_eq!(summary(subscriber.push()), "Address +w");
}

#[test]
fn both_first_pushes_go_policies_first_whatever_the_order_of_the_requests() {
    let cache = cache();
    cache.publish(vec![put(ADDRESS, "w", "1"), put(AUTHORIZATION, "p", "1")]);
    let mut subscriber = Subscriber::new(&cache);
    subscriber.ask(ADDRESS);
    subscriber.ask(AUTHORIZATION);
    assert_eq!(summary(subscriber.push()), "Authorization +p");
    assert_eq!(summary(subscriber.push()), "Address +w");
}

#[test]
fn a_refusal_is_recorded_and_the_next_change_is_sent_all_the_same() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    cache.publish(vec![put(AUTHORIZATION, "p", "bad")]);
    let push = subscriber.push().unwrap();
    subscriber.answer(&push, Some("p: rules[0].from is empty"));
    assert_eq!(summary(subscriber.push()), "nothing");
    let status = &subscriber.session.status().subscriptions[0];
    assert_eq!(
        (status.refusals, status.refused.as_deref()),
        (1, Some("p: rules[0].from is empty"))
    );
    assert!(status.acknowledged < status.sent);
    cache.publish(vec![put(AUTHORIZATION, "p", "good")]);
    let push = subscriber.push().unwrap();
    subscriber.ack(&push);
    let status = &subscriber.session.status().subscriptions[0];
    assert_eq!((status.refusals, status.refused.as_deref()), (1, None));
    assert_eq!(status.acknowledged, status.sent);
}

#[test]
fn a_change_of_which_nothing_is_for_a_client_leaves_it_in_step() {
    let cache = cache();
    let mut subscriber = Subscriber::new(&cache);
    subscriber.subscribe(AUTHORIZATION, &["mine"], &[]).unwrap();
    let push = subscriber.push().unwrap();
    subscriber.ack(&push);
    let before = subscriber.session.status().subscriptions[0].sent;
    cache.publish(vec![put(AUTHORIZATION, "theirs", "1")]);
    assert_eq!(summary(subscriber.push()), "nothing");
    let status = &subscriber.session.status().subscriptions[0];
    assert!(status.sent > before, "{status:?}");
    assert_eq!(status.acknowledged, status.sent);
}

#[test]
fn an_answer_to_something_else_is_ignored() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    cache.publish(vec![put(ADDRESS, "a", "1")]);
    let push = subscriber.push().unwrap();
    let mut stale = push.clone();
    stale.nonce = "99".to_owned();
    subscriber.ack(&stale);
    assert!(subscriber.session.status().subscriptions[1].outstanding);
    subscriber.ack(&push);
    subscriber.ack(&push);
    assert!(!subscriber.session.status().subscriptions[1].outstanding);
}

#[test]
fn names_are_followed_alone_and_absent_ones_come_back_as_removed() {
    let cache = cache();
    cache.publish(vec![put(ADDRESS, "a", "1"), put(ADDRESS, "b", "1")]);
    let mut subscriber = Subscriber::new(&cache);
    subscriber.subscribe(ADDRESS, &["a", "absent"], &[]).unwrap();
    let push = subscriber.push().unwrap();
    assert_eq!(summary(Some(push.clone())), "Address +a -absent");
    subscriber.ack(&push);
    cache.publish(vec![put(ADDRESS, "b", "2"), put(ADDRESS, "absent", "1")]);
    let push = subscriber.push().unwrap();
    assert_eq!(summary(Some(push.clone())), "Address +absent");
    subscriber.ack(&push);
    subscriber.subscribe(ADDRESS, &["b"], &["a"]).unwrap();
    let push = subscriber.push().unwrap();
    assert_eq!(summary(Some(push.clone())), "Address +b");
    subscriber.ack(&push);
    cache.publish(vec![put(ADDRESS, "a", "3")]);
    assert_eq!(summary(subscriber.push()), "nothing");
}

#[test]
fn on_demand_subscriptions_are_refused_by_name() {
    let mut subscriber = Subscriber::new(&cache());
    let refused = subscriber.subscribe(ADDRESS, &["*"], &["*"]).unwrap_err();
    assert_eq!(refused, Ended::OnDemand(ADDRESS));
    assert!(refused.to_string().contains("XDS_ON_DEMAND"));
}

#[test]
fn a_star_is_everything() {
    let cache = cache();
    cache.publish(vec![put(ADDRESS, "a", "1")]);
    let mut subscriber = Subscriber::new(&cache);
    subscriber.subscribe(ADDRESS, &["*"], &[]).unwrap();
    assert_eq!(summary(subscriber.push()), "Address +a");
    assert!(subscriber.session.status().subscriptions[0].wildcard);
}

#[test]
fn a_request_with_nothing_to_say_is_answered() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    subscriber.session.receive(request(ADDRESS)).unwrap();
    assert_eq!(summary(subscriber.push()), "Address");
}

#[test]
fn a_type_that_is_not_served_is_answered_once_with_nothing() {
    let mut subscriber = Subscriber::new(&cache());
    let workload = TypeUrl::of("type.googleapis.com/istio.workload.Workload");
    subscriber.ask(workload);
    let push = subscriber.push().unwrap();
    assert_eq!(push.type_url, workload.as_str());
    assert!(push.resources.is_empty());
    subscriber.ack(&push);
    assert_eq!(summary(subscriber.push()), "nothing");
    for n in 0..15 {
        let mut other = request(workload);
        other.type_url = n.to_string();
        subscriber.session.receive(other).unwrap();
    }
    let mut one_more = request(workload);
    one_more.type_url = "one more".to_owned();
    assert_eq!(subscriber.session.receive(one_more), Err(Ended::TooManyTypes));
}

#[test]
fn who_a_client_is_must_be_in_its_first_request() {
    let mut subscriber = Subscriber::new(&cache());
    let nobody = DeltaDiscoveryRequest {
        node: None,
        ..request(ADDRESS)
    };
    assert_eq!(
        subscriber.session.receive(nobody),
        Err(Ended::Node(InvalidNode::Missing))
    );
    let no_type = DeltaDiscoveryRequest {
        type_url: String::new(),
        ..request(ADDRESS)
    };
    assert_eq!(subscriber.session.receive(no_type), Err(Ended::NoType));
}

#[test]
fn ten_thousand_resources_and_a_change_of_one() {
    let cache = cache();
    let all = (0..10_000)
        .map(|n| put(ADDRESS, &format!("w{n}"), "body"))
        .collect();
    assert_eq!(cache.publish(all).changed, 10_000);
    let mut subscriber = Subscriber::new(&cache);
    subscriber.ask(ADDRESS);
    let push = subscriber.push().unwrap();
    assert_eq!(push.resources.len(), 10_000);
    subscriber.ack(&push);
    cache.publish(vec![put(ADDRESS, "w77", "other")]);
    assert_eq!(summary(subscriber.push()), "Address +w77");
    // The same client comes back after it had lost its stream: it names everything, and is sent nothing.
    let held: Vec<_> = cache.versions(ADDRESS).into_iter().collect();
    let held: Vec<_> = held.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let mut again = Subscriber::new(&cache);
    again.ask_holding(ADDRESS, &held);
    assert_eq!(summary(again.push()), "Address");
}

#[test]
fn pieces_put_together_are_the_message() {
    let cache = cache();
    let large = "x".repeat(100_000);
    let mut all: Vec<_> = (0..1_000)
        .map(|n| put(ADDRESS, &format!("w{n}"), &"y".repeat(300)))
        .collect();
    all.push(put(ADDRESS, "large", &large));
    cache.publish(all);
    let mut session = ServerSession::new(cache);
    session.receive(request(ADDRESS)).unwrap();
    let push = session.next_push().unwrap().unwrap();
    let whole = push.decode().unwrap();
    let chunks: Vec<_> = push.into_chunks().collect();
    assert!(chunks.len() > 4 && chunks.iter().all(|c| c.len() <= 101_000));
    let joined = chunks.concat();
    let (prefix, body) = joined.split_at(5);
    assert_eq!(prefix[0], 0);
    assert_eq!(
        u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize,
        body.len()
    );
    assert_eq!(
        <DeltaDiscoveryResponse as prost::Message>::decode(body),
        Ok(whole)
    );
}

#[test]
fn changes_that_do_not_concern_a_subscriber_hold_up_nothing() {
    let cache = cache();
    cache.publish(vec![
        put(AUTHORIZATION, "mine", "1"),
        put(AUTHORIZATION, "other", "1"),
    ]);
    let mut subscriber = Subscriber::new(&cache);
    subscriber.subscribe(AUTHORIZATION, &["mine"], &[]).unwrap();
    subscriber.ask(ADDRESS);
    while let Some(push) = subscriber.push() {
        subscriber.ack(&push);
    }
    cache.publish(vec![put(AUTHORIZATION, "other", "2"), put(ADDRESS, "w", "1")]);
    let push = subscriber.push().unwrap();
    assert_eq!(summary(Some(push.clone())), "Address +w");
    subscriber.ack(&push);
    cache.publish(vec![
        Change::remove(AUTHORIZATION, "other"),
        put(AUTHORIZATION, "mine", "2"),
    ]);
    assert_eq!(summary(subscriber.push()), "Authorization +mine");
}
