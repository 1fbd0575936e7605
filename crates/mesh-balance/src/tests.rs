//! What holds whatever the dice say.

mod circuits;
mod distribution;
mod health;
mod keys;
mod outliers;
mod places;
mod shares;

use std::sync::Arc;
use std::time::Duration;

use mesh_model::l7::traffic::Balancer;
use mesh_model::workload::Locality;

use crate::{Ask, Chance, Group, Host, Member, Moment, Picker, Places, Settings};

/// Endpoints of a destination, as one worker sees them.
struct World {
    group: Arc<Group>,
    picker: Picker,
    hosts: Vec<Arc<Host>>,
    rng: fastrand::Rng,
    now: Moment,
}

/// An endpoint of a test: its weight, and where it is.
#[derive(Clone)]
struct Endpoint {
    weight: u32,
    places: Places,
}

fn weighing(weight: u32) -> Endpoint {
    Endpoint {
        weight,
        places: Places::default(),
    }
}

fn within(place: &str) -> Endpoint {
    Endpoint {
        weight: 1,
        places: somewhere(place),
    }
}

fn somewhere(place: &str) -> Places {
    let mut parts = place.split('/');
    let mut part = || parts.next().unwrap_or_default().into();
    Places {
        locality: Locality {
            region: part(),
            zone: part(),
            subzone: part(),
        },
        ..Places::default()
    }
}

fn balanced(balancer: Balancer) -> Settings {
    Settings {
        balancer,
        ..Settings::default()
    }
}

impl World {
    fn new(settings: Settings, endpoints: &[Endpoint]) -> Self {
        Self::seen_from(settings, endpoints, &Places::default())
    }

    fn seen_from(settings: Settings, endpoints: &[Endpoint], own: &Places) -> Self {
        let (group, now) = (Arc::new(Group::default()), Moment::after(HOUR));
        let member = |(n, endpoint): (usize, &Endpoint)| Member {
            host: group.host(&format!("endpoint-{n}").into(), now),
            weight: endpoint.weight,
            places: endpoint.places.clone(),
        };
        let members: Vec<Member> = endpoints.iter().enumerate().map(member).collect();
        let hosts = members.iter().map(|member| member.host.clone()).collect();
        let picker = Picker::new(settings, members, own, &group, now);
        Self {
            group,
            picker,
            hosts,
            rng: fastrand::Rng::with_seed(7),
            now,
        }
    }

    fn later(&mut self, by: Duration) {
        self.now = self.now + by;
    }

    fn ask(&mut self, ask: &Ask<'_>) -> Option<usize> {
        if self.picker.is_stale(&self.group, self.now) {
            self.picker.renew(&self.group, self.now);
        }
        self.picker.pick(ask, self.now, &mut || self.rng.u64(..))
    }

    fn pick(&mut self) -> Option<usize> {
        self.ask(&Ask::default())
    }

    /// How often each is picked, in per cent, where nothing is ever under way.
    fn percents(&mut self, picks: usize) -> Vec<f64> {
        let mut counts = vec![0_u32; self.hosts.len()];
        for _ in 0..picks {
            counts[self.pick().expect("somebody is well")] += 1;
        }
        let percent = |count: u32| f64::from(count) * 100.0 / picks as f64;
        counts.into_iter().map(percent).collect()
    }
}

fn close(found: &[f64], wanted: &[f64], points: f64) -> bool {
    found
        .iter()
        .zip(wanted)
        .all(|(found, wanted)| (found - wanted).abs() <= points)
}

fn at_random(rng: &mut fastrand::Rng) -> impl Chance {
    move || rng.u64(..)
}

const HOUR: Duration = Duration::from_secs(3_600);
