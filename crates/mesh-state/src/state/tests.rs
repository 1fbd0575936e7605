use std::collections::BTreeMap;

use mesh_model::policy::{Action, Scope};
use mesh_model::service::HealthPolicy;
use mesh_model::workload::HealthStatus;

use super::*;
use crate::fixtures::{at, empty, hostname, member, pod, policy, service, uid, with};

#[test]
fn a_batch_is_one_generation_and_a_batch_that_changes_nothing_is_none() {
    let (mut writer, reader) = empty();
    let mut generation = reader.generation();
    let updates = || {
        vec![
            Update::Workload(pod("a", "10.0.0.1")),
            Update::Service(service("shop/web", "10.96.0.1")),
            Update::Authorization(policy("shop/p", Scope::Namespace, Action::Deny)),
        ]
    };
    assert_eq!(writer.apply(updates()), Generation(1));
    assert!(generation.has_changed().unwrap());
    assert_eq!(*generation.borrow_and_update(), Generation(1));
    assert_eq!(writer.apply(updates()), Generation(1));
    let absent = ["shop/none", "Kubernetes//Pod/shop/none"].map(|n| Update::RemoveAddress(n.into()));
    assert_eq!(writer.apply(absent.to_vec()), Generation(1));
    assert_eq!(
        writer.apply(vec![Update::RemoveAuthorization("shop/none".into())]),
        Generation(1)
    );
    assert!(!generation.has_changed().unwrap());
}

#[test]
fn whoever_sees_a_generation_sees_its_batch() {
    let (mut writer, reader) = empty();
    let generation = reader.generation();
    let seen = std::thread::scope(|scope| {
        let observer = scope.spawn(|| {
            loop {
                let announced = generation.borrow().0;
                let found = reader.query(|view| view.workloads().count() as u64);
                assert!(found >= announced, "{found} workloads in generation {announced}");
                if announced == 100 {
                    return found;
                }
            }
        });
        for i in 0..100 {
            writer.apply(vec![Update::Workload(pod(&format!("p{i}"), "10.0.0.1"))]);
        }
        observer.join().unwrap()
    });
    assert_eq!(seen, 100);
}

#[test]
fn names_of_removed_things_say_what_they_are() {
    let (mut writer, reader) = with([
        Update::Workload(pod("a", "10.0.0.1")),
        Update::Service(service("shop/web", "10.96.0.1")),
        Update::Authorization(policy("shop/p", Scope::Namespace, Action::Deny)),
    ]);
    writer.apply(vec![
        Update::RemoveAddress(uid("a").as_str().into()),
        Update::RemoveAddress("shop/web".into()),
        Update::RemoveAuthorization("shop/p".into()),
    ]);
    reader.query(|view| {
        assert_eq!(
            view.workloads().count() + view.services().count() + view.policies().count(),
            0
        );
        assert_eq!(view.workload_by_address(&at("10.0.0.1")), None);
        assert_eq!(view.service_by_address(&at("10.96.0.1"), "shop"), None);
    });
}

#[test]
fn a_workload_whose_uid_reads_like_a_service_can_be_removed() {
    let odd = Workload::new(
        WorkloadUid::new("shop/vm"),
        "vm",
        crate::fixtures::identity("shop", "web"),
    );
    let (mut writer, reader) = with([Update::Workload(odd)]);
    writer.apply(vec![Update::RemoveAddress("shop/vm".into())]);
    assert_eq!(reader.query(|view| view.workloads().count()), 0);
}

#[test]
fn of_several_updates_in_a_batch_the_last_one_stays() {
    let name = || Strng::from(uid("a").as_str());
    let (mut writer, reader) = with([
        Update::Workload(pod("a", "10.0.0.1")),
        Update::RemoveAddress(name()),
        Update::Workload(pod("a", "10.0.0.2")),
    ]);
    let found = |ip| reader.query(|view| view.workload_by_address(&at(ip)).is_some());
    assert!(!found("10.0.0.1") && found("10.0.0.2"));
    writer.apply(vec![
        Update::Workload(pod("a", "10.0.0.3")),
        Update::RemoveAddress(name()),
    ]);
    assert_eq!(reader.query(|view| view.workloads().count()), 0);
}

/// Whatever the order and the batches in which a mesh arrives and changes, what is known at the end depends on what is
/// there at the end alone.
#[test]
fn the_state_does_not_depend_on_how_it_came_about() {
    let mut random = fastrand::Rng::with_seed(21);
    for _ in 0..150 {
        let (mut writer, reader) = empty();
        let mut last: BTreeMap<String, Update> = BTreeMap::new();
        for _ in 0..random.usize(1..12) {
            let batch: Vec<_> = (0..random.usize(..8)).map(|_| any_update(&mut random)).collect();
            for update in &batch {
                match update {
                    Update::RemoveAddress(name) | Update::RemoveAuthorization(name) => {
                        last.remove(&key(update, name));
                    }
                    Update::Workload(w) => drop(last.insert(key(update, w.uid.as_str()), update.clone())),
                    Update::Service(s) => {
                        drop(last.insert(key(update, &s.hostname.to_string()), update.clone()))
                    }
                    Update::Authorization(p) => {
                        drop(last.insert(key(update, &p.name.to_string()), update.clone()))
                    }
                }
            }
            writer.apply(batch);
        }
        let (_, fresh) = with(last.into_values());
        assert_eq!(answers(&reader), answers(&fresh));
    }
}

fn key(update: &Update, name: &str) -> String {
    match update {
        Update::Authorization(_) | Update::RemoveAuthorization(_) => format!("policy {name}"),
        _ => format!("address {name}"),
    }
}

fn any_update(random: &mut fastrand::Rng) -> Update {
    let pods = ["a", "b", "c"];
    let services = ["shop/web", "bank/web", "shop/api"];
    let pick = |random: &mut fastrand::Rng, from: &[&'static str]| from[random.usize(..from.len())];
    let (name, host) = (pick(random, &pods), pick(random, &services));
    match random.u8(..7) {
        0..=2 => {
            let mut workload = member(name, pick(random, &["10.0.0.1", "10.0.0.2"]), host);
            workload.capacity = random.u32(1..3);
            if random.bool() {
                workload.status = HealthStatus::Unhealthy;
            }
            if random.u8(..4) == 0 {
                workload.services.clear();
            }
            workload.authorization_policies = vec!["shop/p".parse().unwrap()];
            Update::Workload(workload)
        }
        3 => {
            let vip = pick(random, &["10.96.0.1", "10.96.0.2", "10.96.0.0/24"]);
            let mut service = service(host, vip);
            if random.bool() {
                service.load_balancing.health = HealthPolicy::AllowAll;
            }
            service.canonical = random.bool();
            Update::Service(service)
        }
        4 => {
            let name = pick(random, &["shop/p", "shop/q"]);
            let scopes = [Scope::Global, Scope::Namespace, Scope::WorkloadSelector];
            let action = if random.bool() {
                Action::Allow
            } else {
                Action::Deny
            };
            Update::Authorization(policy(name, scopes[random.usize(..3)], action))
        }
        5 => {
            let workload = Strng::from(uid(name).as_str());
            Update::RemoveAddress(if random.bool() { workload } else { host.into() })
        }
        _ => Update::RemoveAuthorization(pick(random, &["shop/p", "shop/q"]).into()),
    }
}

/// Everything that can be asked in this small world.
fn answers(reader: &StateReader) -> String {
    let dump = serde_json::to_string(&reader.dump()).unwrap();
    reader.query(|view| {
        let at: Vec<_> = ["10.0.0.1", "10.0.0.2", "10.96.0.1", "10.96.0.2", "10.96.0.9"]
            .iter()
            .flat_map(|ip| ["shop", "bank", "other"].map(|ns| view.destination(&at(ip), ns)))
            .collect();
        let called = ["shop", "bank", "other"].map(|ns| view.service_by_hostname("web", ns).cloned());
        let policies: Vec<_> = ["a", "b", "c"]
            .iter()
            .filter_map(|name| view.workload_by_uid(&uid(name)))
            .map(|w| {
                let set = view.policies_for(w);
                let groups = set.groups.iter().map(|g| g.policies().to_vec());
                (groups.collect::<Vec<_>>(), set.unknown)
            })
            .collect();
        let ports = view.services().map(|s| view.endpoints(s).len()).sum::<usize>();
        let api = view.service_by_name(&hostname("shop/api")).is_some();
        format!("{dump} {at:?} {called:?} {policies:?} {ports} {api}")
    })
}
