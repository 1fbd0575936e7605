//! What a pick costs: `cargo bench -p mesh-balance`. One line for each balancer: nanoseconds with 3, 100, 10,000 endpoints.

#![expect(clippy::disallowed_types, reason = "real time is what is measured")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_balance::{Ask, Group, Member, Moment, Picker, Places, Settings};
use mesh_model::l7::traffic::{Balancer, HashKey, HashRing};

fn main() {
    let hashed = |ring| Balancer::ConsistentHash {
        key: HashKey::SourceIp,
        ring,
    };
    let balancers = [
        ("least request", Balancer::LeastRequest),
        ("peak EWMA", Balancer::PeakEwma),
        ("round robin", Balancer::RoundRobin),
        ("random", Balancer::Random),
        ("hash ring", hashed(HashRing::Ring(1_024))),
        ("Maglev", hashed(HashRing::Maglev(65_537))),
    ];
    println!(
        "{:<16}{:>10}{:>10}{:>10}  ns/pick, equal weights; then with weights",
        "", 3, 100, 10_000
    );
    for (name, balancer) in balancers {
        print!("{name:<16}");
        for weighted in [false, true] {
            for count in [3, 100, 10_000] {
                print!("{:>10.1}", nanos(balancer.clone(), count, weighted));
            }
        }
        println!();
    }
}

fn nanos(balancer: Balancer, count: u32, weighted: bool) -> f64 {
    let (group, now) = (Arc::new(Group::default()), Moment::after(Duration::from_secs(1)));
    let member = |n: u32| Member {
        host: group.host(&format!("10.0.{}.{}:80", n / 250, n % 250).into(), now),
        weight: if weighted { 1 + n % 7 } else { 1 },
        places: Places::default(),
    };
    let settings = Settings {
        balancer,
        ..Settings::default()
    };
    let picker = Picker::new(
        settings,
        (0..count).map(member).collect(),
        &Places::default(),
        &group,
        now,
    );
    let mut rng = fastrand::Rng::with_seed(1);
    let began = Instant::now();
    for hash in 0..PICKS {
        let ask = Ask {
            hash: Some(hash.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            ..Ask::default()
        };
        // As a request does: look whether anything changed, pick, begin, end.
        assert!(!picker.is_stale(&group, now));
        let at = black_box(picker.pick(&ask, now, &mut || rng.u64(..))).expect("all are well");
        picker.members()[at].host.begin();
        picker.members()[at].host.end();
    }
    began.elapsed().as_nanos() as f64 / PICKS as f64
}

const PICKS: u64 = 1_000_000;
