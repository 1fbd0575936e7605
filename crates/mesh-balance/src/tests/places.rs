use mesh_model::l7::EndpointLabels;
use mesh_model::l7::traffic::{Distribution, LocalityRules};
use mesh_model::service::Scope;
use mesh_types::{Strng, WorkloadUid};

use super::*;
use crate::Preference;
use crate::health::Changed;

fn preferring(preference: Preference, endpoints: &[Endpoint], own: &Places) -> World {
    let settings = Settings {
        preference,
        ..balanced(Balancer::Random)
    };
    World::seen_from(settings, endpoints, own)
}

fn ill(world: &World, at: usize) {
    world.group.checked(&world.hosts[at], Changed::Ill);
}

#[test]
fn the_next_place_gets_what_the_nearer_is_not_well_enough_for() {
    let endpoints = ["r/z/s", "r/z/s", "r/z/t", "r/y/s", "q/z/s"].map(within);
    let mut world = preferring(
        Preference::Rules(LocalityRules::Nearest),
        &endpoints,
        &somewhere("r/z/s"),
    );
    assert!(close(&world.percents(1_000), &[50.0, 50.0, 0.0, 0.0, 0.0], 5.0));
    // A half is well: 1.4 halves of the traffic.
    ill(&world, 0);
    assert!(close(&world.percents(2_000), &[0.0, 70.0, 30.0, 0.0, 0.0], 5.0));
    ill(&world, 1);
    assert!(close(&world.percents(1_000), &[0.0, 0.0, 100.0, 0.0, 0.0], 0.1));
    ill(&world, 2);
    assert_eq!(world.pick(), Some(3));
    ill(&world, 3);
    assert_eq!(world.pick(), Some(4));
    ill(&world, 4);
    assert_eq!(world.pick(), None);
}

#[test]
fn a_region_fails_over_to_the_one_that_it_names() {
    let endpoints = ["east/1", "west/1", "south/1"].map(within);
    let pairs = vec![("north".into(), "west".into()), ("east".into(), "south".into())];
    let rules = Preference::Rules(LocalityRules::Failover(pairs));
    let mut world = preferring(rules, &endpoints, &somewhere("east/1"));
    assert_eq!(world.pick(), Some(0));
    ill(&world, 0);
    assert!((0..100).all(|_| world.pick() == Some(2)));
    ill(&world, 2);
    assert_eq!(world.pick(), Some(1));
}

#[test]
fn shares_by_place() {
    let endpoints = ["a/1/x", "a/1/x", "a/2", "b/1", "c/1"].map(within);
    let rule = |from: &str| Distribution {
        from: from.into(),
        to: vec![("a/1/*".into(), 60), ("a/2".into(), 30), ("b/*".into(), 10)],
    };
    let rules = || Preference::Rules(LocalityRules::Distribute(vec![rule("z/*"), rule("a/*")]));
    let mut world = preferring(rules(), &endpoints, &somewhere("a/9"));
    assert!(close(&world.percents(5_000), &[30.0, 30.0, 30.0, 10.0, 0.0], 3.0));
    // Who is elsewhere is not meant.
    let mut world = preferring(rules(), &endpoints, &somewhere("q"));
    assert!(close(&world.percents(5_000), &[20.0; 5], 3.0));
}

#[test]
fn labels_in_common() {
    let labelled = |labels: &[(&str, &str)]| {
        let labels = labels
            .iter()
            .map(|(name, value)| (Strng::from(*name), Strng::from(*value)));
        Places {
            labels: Some(Arc::new(EndpointLabels {
                workload: WorkloadUid::new("w"),
                labels: labels.collect(),
            })),
            ..somewhere("r")
        }
    };
    let endpoint = |labels: &[(&str, &str)]| Endpoint {
        weight: 1,
        places: labelled(labels),
    };
    let endpoints = [
        endpoint(&[("version", "v2"), ("tier", "hot")]),
        endpoint(&[("version", "v1")]),
        endpoint(&[("version", "v1"), ("tier", "hot")]),
    ];
    let wanted = ["topology.kubernetes.io/region", "version", "tier=hot"].map(Strng::from);
    let rules = Preference::Rules(LocalityRules::Priority(wanted.to_vec()));
    let mut world = preferring(rules, &endpoints, &labelled(&[("version", "v1")]));
    assert!((0..50).all(|_| world.pick() == Some(2)), "all three");
    ill(&world, 2);
    assert!((0..50).all(|_| world.pick() == Some(1)), "the first two");
    ill(&world, 1);
    assert!((0..50).all(|_| world.pick() == Some(0)), "the first");
}

#[test]
fn what_the_service_says() {
    let endpoints = ["r/z", "r/y", "q/z"].map(within);
    let prefer = |strict| Preference::Scopes {
        scopes: vec![Scope::Region, Scope::Zone],
        strict,
    };
    let mut world = preferring(prefer(false), &endpoints, &somewhere("r/z"));
    assert!((0..50).all(|_| world.pick() == Some(0)));
    ill(&world, 0);
    assert!((0..50).all(|_| world.pick() == Some(1)));
    let mut world = preferring(prefer(true), &endpoints, &somewhere("r/z"));
    ill(&world, 0);
    assert_eq!(world.pick(), None);
}

#[test]
fn a_retry_goes_elsewhere_only_if_it_may() {
    let endpoints = ["r", "q"].map(within);
    let mut world = preferring(
        Preference::Rules(LocalityRules::Nearest),
        &endpoints,
        &somewhere("r"),
    );
    let ask = |anywhere| Ask {
        tried: &[0],
        hash: None,
        anywhere,
    };
    assert_eq!(world.ask(&ask(true)), Some(1));
    assert_eq!(world.ask(&ask(false)), Some(0));
}
