use mesh_model::l7::health::{HealthCheck, Probe};

use super::*;
use crate::health::{Changed, Check};

fn rules() -> HealthCheck {
    HealthCheck {
        probe: Probe::Tcp,
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(1),
        unhealthy_threshold: 3,
        healthy_threshold: 2,
    }
}

#[test]
fn the_first_answer_counts_and_then_rows_of_them() {
    let (rules, now, mut rng) = (rules(), Moment::after(HOUR), fastrand::Rng::with_seed(1));
    let mut chance = at_random(&mut rng);
    let mut check = Check::new(&rules, now, &mut chance);
    let mut answer = |good| check.answered(good, &rules, now, &mut chance);
    let steps = [
        (false, Some(Changed::Ill)),
        (true, None),
        (false, None),
        (true, None),
        (true, Some(Changed::Well)),
        (false, None),
        (false, None),
        (true, None),
        (false, None),
        (false, None),
        (false, Some(Changed::Ill)),
        (false, None),
    ];
    for (n, (good, changed)) in steps.into_iter().enumerate() {
        assert_eq!(answer(good), changed, "step {n}");
    }
}

#[test]
fn nobody_is_asked_sooner_or_later_than_a_tenth_off() {
    let (rules, now, mut rng) = (rules(), Moment::after(HOUR), fastrand::Rng::with_seed(1));
    let mut chance = at_random(&mut rng);
    let mut seen = Vec::new();
    for _ in 0..1_000 {
        let mut check = Check::new(&rules, now, &mut chance);
        assert!(check.due().since(now) <= Duration::from_millis(200));
        check.answered(true, &rules, now, &mut chance);
        seen.push(check.due().since(now).as_secs_f64());
    }
    assert!(seen.iter().all(|after| (9.0..=11.0).contains(after)));
    assert!(seen.iter().any(|after| *after < 9.2) && seen.iter().any(|after| *after > 10.8));
}

#[test]
fn who_is_ill_gets_nothing_until_well() {
    let mut world = World::new(Settings::default(), &[1, 1].map(weighing));
    let first = world.hosts[0].clone();
    world.group.checked(&first, Changed::Ill);
    let epoch = world.group.epoch();
    assert!((0..100).all(|_| world.pick() == Some(1)));
    world.group.checked(&first, Changed::Ill);
    assert_eq!(world.group.epoch(), epoch, "no news");
    world.group.checked(&first, Changed::Well);
    assert!((0..100).any(|_| world.pick() == Some(0)));
}
