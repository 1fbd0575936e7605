//! Who may be picked now, with which share.

use mesh_model::l7::traffic::Warmup;

use crate::chance::Chance;
use crate::picker::Member;
use crate::places::Tier;
use crate::spread::Spread;
use crate::{Host, Moment};

/// What is true of all endpoints of a list until somebody's health changes, or a while has passed.
#[derive(Debug, Default)]
pub(crate) struct Table {
    tiers: Vec<Rung>,
    /// How much each tier gets.
    loads: Spread,
    /// By place: it may be picked.
    usable: Vec<bool>,
    /// From then on the table is another one even if nothing happens: somebody comes back, or is warmer.
    pub(crate) stale_at: Option<Moment>,
}

/// One tier as it is.
#[derive(Debug, Default)]
struct Rung {
    buckets: Vec<Shares>,
    spread: Spread,
}

/// Those of a bucket that may be picked.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    pub(crate) places: Vec<u32>,
    pub(crate) spread: Spread,
}

/// What a table is made with.
pub(crate) struct Rules<'r> {
    pub(crate) warmup: Option<&'r Warmup>,
    /// Below this part, in per cent, that is well, all of a tier is used, well or not.
    pub(crate) panic_percent: u32,
}

impl Table {
    pub(crate) fn new(tiers: &[Tier], members: &[Member], rules: &Rules<'_>, now: Moment) -> Self {
        let mut table = Self {
            usable: vec![false; members.len()],
            ..Self::default()
        };
        let mut loads = Vec::with_capacity(tiers.len());
        // In hundredths of a per cent: what is not given out yet.
        let mut left = FULL;
        for tier in tiers {
            let places = || tier.buckets.iter().flat_map(|bucket| &bucket.members);
            let total = places().count();
            let well = places()
                .filter(|at| members[**at as usize].host.is_well(now))
                .count();
            let panics = well * 100 < total * rules.panic_percent as usize;
            // A tier of which 1/1.4 is well takes all (Envoy, "overprovisioning factor").
            let health = match panics {
                true => FULL,
                false => (FULL * OVERPROVISIONING * well as u64 / (100 * total.max(1) as u64)).min(FULL),
            };
            let load = health.min(left);
            left -= load;
            loads.push(load);
            table.add(tier, members, panics, rules, now);
        }
        table.loads = Spread::of(loads.into_iter());
        table.stale_at = table.next_change(members, rules, now);
        table
    }

    fn add(&mut self, tier: &Tier, members: &[Member], panics: bool, rules: &Rules<'_>, now: Moment) {
        let mut rung = Rung::default();
        let mut shares = Vec::with_capacity(tier.buckets.len());
        for bucket in &tier.buckets {
            let usable = |at: &&u32| panics || members[**at as usize].host.is_well(now);
            let places: Vec<u32> = bucket.members.iter().filter(usable).copied().collect();
            for at in &places {
                self.usable[*at as usize] = true;
            }
            let weights: Vec<u64> = places
                .iter()
                .map(|at| weight(&members[*at as usize], rules, now))
                .collect();
            let well =
                FULL * OVERPROVISIONING * places.len() as u64 / (100 * bucket.members.len().max(1) as u64);
            shares.push(u64::from(bucket.share) * well.min(FULL));
            rung.buckets.push(Shares {
                places,
                spread: Spread::of(weights.into_iter()),
            });
        }
        rung.spread = Spread::of(shares.into_iter());
        self.tiers.push(rung);
    }

    fn next_change(&self, members: &[Member], rules: &Rules<'_>, now: Moment) -> Option<Moment> {
        let back = members
            .iter()
            .filter_map(|member| match member.host.standing(now) {
                crate::Standing::Ejected(until) => Some(until),
                _ => None,
            });
        let warmer = rules.warmup.and_then(|warmup| {
            let warming = |member: &Member| now.since(member.host.born()) < warmup.duration;
            members
                .iter()
                .any(warming)
                .then(|| now + warmup.duration / WARMUP_STEPS)
        });
        back.chain(warmer).min()
    }

    /// Whether an endpoint may be picked.
    pub(crate) fn is_usable(&self, place: u32) -> bool {
        self.usable.get(place as usize).copied().unwrap_or_default()
    }

    /// The tier that takes it.
    pub(crate) fn tier(&self, chance: &mut impl Chance) -> Option<usize> {
        match self.tiers.len() {
            1 => (!self.loads.is_empty()).then_some(0),
            _ => self.loads.at(chance.any()),
        }
    }

    /// Those among whom one is picked.
    pub(crate) fn shares(&self, tier: usize, chance: &mut impl Chance) -> Option<&Shares> {
        let rung = &self.tiers[tier];
        match rung.buckets.as_slice() {
            [one] => Some(one),
            all => all.get(rung.spread.at(chance.any())?),
        }
    }

    /// All who may be picked, from a tier on and then from the nearest.
    pub(crate) fn beginning_with(&self, tier: usize, others: bool) -> impl Iterator<Item = &Shares> {
        let elsewhere = (0..self.tiers.len()).filter(move |other| others && *other != tier);
        std::iter::once(tier)
            .chain(elsewhere)
            .flat_map(|tier| &self.tiers[tier].buckets)
    }
}

/// An endpoint's share, in thousandths of its weight (Envoy, "Slow start mode").
fn weight(member: &Member, rules: &Rules<'_>, now: Moment) -> u64 {
    let weight = u64::from(member.weight);
    match rules.warmup {
        Some(warmup) => weight * warmth(&member.host, warmup, now),
        None => weight,
    }
}

/// How warm an endpoint is, in thousandths: `(time / window) ^ (1 / aggression)`, at least the minimum.
fn warmth(host: &Host, warmup: &Warmup, now: Moment) -> u64 {
    let age = now.since(host.born());
    if age >= warmup.duration {
        return 1_000;
    }
    let part = age.as_secs_f64() / warmup.duration.as_secs_f64();
    let aggression = f64::from(warmup.aggression_milli.max(1)) / 1_000.0;
    let grown = (part.powf(1.0 / aggression) * 1_000.0) as u64;
    grown.max(u64::from(warmup.minimum_percent) * 10).clamp(1, 1_000)
}

/// All of the traffic, in hundredths of a per cent.
const FULL: u64 = 10_000;
/// In per cent: Envoy's 1.4.
const OVERPROVISIONING: u64 = 140;
/// How finely an endpoint's share grows.
const WARMUP_STEPS: u32 = 100;
