use mesh_model::l7::traffic::OutlierDetection;

use super::*;
use crate::outlier::Reason;
use crate::{Outcome, Standing};

fn rules() -> OutlierDetection {
    OutlierDetection {
        max_ejection_percent: 50,
        ..OutlierDetection::default()
    }
}

fn fail(world: &World, at: usize, times: u32, rules: &OutlierDetection) -> Option<crate::Ejection> {
    (0..times)
        .filter_map(|_| {
            world
                .group
                .report(&world.hosts[at], Outcome::Answered(500), rules, world.now)
        })
        .last()
}

#[test]
fn five_in_a_row_and_it_is_out_for_thirty_seconds_times_how_often() {
    let rules = OutlierDetection {
        // Nothing is forgiven meanwhile.
        interval: HOUR,
        ..rules()
    };
    let mut world = World::new(Settings::default(), &[1, 1].map(weighing));
    for times in 1..=12_u32 {
        assert_eq!(fail(&world, 0, 4, &rules), None);
        // One good answer, and the row begins again.
        assert_eq!(
            world
                .group
                .report(&world.hosts[0], Outcome::Answered(200), &rules, world.now),
            None
        );
        assert_eq!(fail(&world, 0, 4, &rules), None);
        let ejection = fail(&world, 0, 1, &rules).expect("it is the fifth");
        assert_eq!(ejection.reason, Reason::Consecutive5xx);
        let out = Duration::from_secs(30) * times;
        let out = out.min(Duration::from_secs(300));
        assert_eq!(ejection.until, world.now + out);
        assert!((0..100).all(|_| world.pick() == Some(1)));
        world.later(out - Duration::from_millis(1));
        assert!((0..100).all(|_| world.pick() == Some(1)));
        world.later(Duration::from_millis(1));
        assert!((0..100).any(|_| world.pick() == Some(0)));
        assert_eq!(world.hosts[0].standing(world.now), Standing::Well);
    }
}

#[test]
fn good_behaviour_is_remembered() {
    let rules = rules();
    let mut world = World::new(Settings::default(), &[1, 1].map(weighing));
    fail(&world, 0, 5, &rules);
    world.later(Duration::from_secs(30));
    fail(&world, 0, 5, &rules);
    // Out twice; an interval of calm takes one away, ten all.
    world.later(Duration::from_secs(60 + 100));
    let ejection = fail(&world, 0, 5, &rules).unwrap();
    assert_eq!(ejection.until, world.now + Duration::from_secs(30));
}

#[test]
fn never_are_more_out_than_allowed_whoever_fails() {
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..300 {
        let (count, percent) = (rng.usize(1..12), rng.u32(0..=100));
        let rules = OutlierDetection {
            consecutive_5xx: 1,
            max_ejection_percent: percent,
            base_ejection_time: Duration::from_secs(rng.u64(1..40)),
            ..OutlierDetection::default()
        };
        let endpoints = vec![weighing(1); count];
        let mut world = World::new(Settings::default(), &endpoints);
        for _ in 0..100 {
            let at = rng.usize(..count);
            fail(&world, at, 1, &rules);
            let out = world.hosts.iter().filter(|host| !host.is_well(world.now)).count();
            let allowed = count * percent as usize / 100;
            // One may always be, unless none may.
            assert!(
                out <= allowed.max(usize::from(percent > 0)),
                "{out} of {count}, {percent} %"
            );
            world.later(Duration::from_secs(rng.u64(0..10)));
        }
    }
}

#[test]
fn all_out_is_nobody_unless_they_panic() {
    let rules = OutlierDetection {
        max_ejection_percent: 100,
        ..OutlierDetection::default()
    };
    let mut world = World::new(Settings::default(), &[1, 1].map(weighing));
    fail(&world, 0, 5, &rules);
    fail(&world, 1, 5, &rules);
    assert_eq!(world.pick(), None);
    let settings = Settings {
        panic_percent: 60,
        ..Settings::default()
    };
    let mut world = World::new(settings, &[1, 1].map(weighing));
    fail(&world, 0, 5, &rules);
    let found = world.percents(1_000);
    assert!(
        close(&found, &[50.0, 50.0], 5.0),
        "half is less than 60 %: all count"
    );
}

#[test]
fn gateway_errors_and_own_failures_are_counted_apart() {
    let gateway = OutlierDetection {
        consecutive_5xx: 0,
        consecutive_gateway_errors: 3,
        ..rules()
    };
    let world = World::new(Settings::default(), &[1, 1].map(weighing));
    let report = |outcome, rules: &_| world.group.report(&world.hosts[0], outcome, rules, world.now);
    for outcome in [
        Outcome::Answered(502),
        Outcome::Failed,
        Outcome::Answered(500),
        Outcome::Failed,
    ] {
        assert_eq!(report(outcome, &gateway), None, "500 is no gateway's error");
    }
    report(Outcome::AnsweredGrpc(14), &gateway);
    let ejection = report(Outcome::Answered(504), &gateway).unwrap();
    assert_eq!(ejection.reason, Reason::ConsecutiveGatewayErrors);

    let split = OutlierDetection {
        consecutive_local_origin_failures: Some(2),
        ..rules()
    };
    let world = World::new(Settings::default(), &[1, 1].map(weighing));
    let report = |outcome| world.group.report(&world.hosts[0], outcome, &split, world.now);
    for _ in 0..10 {
        assert_eq!(report(Outcome::Failed), None);
        assert_eq!(report(Outcome::Connected), None);
    }
    assert_eq!(report(Outcome::Failed), None);
    let ejection = report(Outcome::Failed).unwrap();
    assert_eq!(ejection.reason, Reason::ConsecutiveLocalOriginFailures);
}

#[test]
fn who_is_gone_does_not_count() {
    let group = Group::default();
    let now = Moment::after(HOUR);
    let hosts: Vec<_> = (0..10).map(|n| group.host(&n.to_string().into(), now)).collect();
    assert!(
        Arc::ptr_eq(&hosts[3], &group.host(&"3".into(), now)),
        "the same for all workers"
    );
    drop(hosts);
    group.tidy();
    assert!(group.all().is_empty());
}

#[test]
fn listed_statuses_count_in_place_of_all_5xx() {
    let listed = OutlierDetection {
        error_statuses: vec![429, 503],
        consecutive_gateway_errors: 2,
        ..rules()
    };
    let world = World::new(Settings::default(), &[1, 1].map(weighing));
    let report = |outcome| world.group.report(&world.hosts[0], outcome, &listed, world.now);
    for outcome in [
        Outcome::Answered(500),
        Outcome::Answered(504),
        Outcome::AnsweredGrpc(14),
    ] {
        for _ in 0..10 {
            assert_eq!(report(outcome), None, "{outcome:?} is not listed");
        }
    }
    for _ in 0..4 {
        assert_eq!(report(Outcome::Answered(429)), None);
    }
    let ejection = report(Outcome::Answered(429)).expect("it is the fifth");
    assert_eq!(ejection.reason, Reason::Consecutive5xx);
    let world = World::new(Settings::default(), &[1, 1].map(weighing));
    let report = |outcome| world.group.report(&world.hosts[0], outcome, &listed, world.now);
    assert_eq!(report(Outcome::Answered(503)), None);
    // No answer is an error whatever is listed.
    let ejection = report(Outcome::Failed).unwrap();
    assert_eq!(ejection.reason, Reason::ConsecutiveGatewayErrors);
}

#[test]
fn endpoints_are_compared_once_in_an_interval() {
    let compared = OutlierDetection {
        consecutive_5xx: 0,
        success_rate: Some(<_>::default()),
        ..rules()
    };
    let mut world = World::new(Settings::default(), &[1; 6].map(weighing));
    let ask = |world: &World| {
        for (at, host) in world.hosts.iter().enumerate() {
            for n in 0..100 {
                let status = if at == 2 && n % 2 == 0 { 500 } else { 200 };
                let alone = world
                    .group
                    .report(host, Outcome::Answered(status), &compared, world.now);
                assert_eq!(alone, None);
            }
        }
        world.group.compare(&compared, world.now)
    };
    assert_eq!(ask(&world), [], "it has just begun");
    world.later(Duration::from_secs(9));
    assert_eq!(ask(&world), [], "the interval is not over");
    world.later(Duration::from_secs(1));
    let out = world.group.compare(&compared, world.now);
    let [(key, ejection)] = out.as_slice() else {
        panic!("{out:?}");
    };
    assert_eq!(
        (key, ejection.reason),
        (world.hosts[2].key(), Reason::SuccessRate)
    );
    assert_eq!(
        world.hosts[2].standing(world.now),
        Standing::Ejected(world.now + Duration::from_secs(30))
    );
    assert_eq!(world.group.compare(&compared, world.now), [], "only one looks");
    world.later(Duration::from_secs(10));
    assert_eq!(
        world.group.compare(&compared, world.now),
        [],
        "what was counted is over"
    );
}
