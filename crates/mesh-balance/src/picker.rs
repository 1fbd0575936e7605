//! What each worker picks with.

use std::cell::Cell;
use std::sync::Arc;

use mesh_model::l7::traffic::{Balancer, HashRing, Warmup};

use crate::chance::{Chance, Fixed};
use crate::places::{Places, Preference, Tier, tiers};
use crate::ring::{KeyMap, Maglev, Point, Ring};
use crate::table::{Rules, Shares, Table};
use crate::{Group, Host, Moment};

/// How endpoints are picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The balancer.
    pub balancer: Balancer,
    /// How many random ones least request compares; 2, as Envoy's `choice_count`.
    pub choices: u32,
    /// What is near.
    pub preference: Preference,
    /// How a new endpoint gets its share.
    pub warmup: Option<Warmup>,
    /// Below this part of a tier, in per cent, that is well, all of it is used. 0, never, is what Istio sets; a
    /// DestinationRule's `minHealthPercent` is this number.
    pub panic_percent: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            balancer: Balancer::default(),
            choices: 2,
            preference: Preference::None,
            warmup: None,
            panic_percent: 0,
        }
    }
}

/// An endpoint in a list.
#[derive(Clone, Debug)]
pub struct Member {
    /// What all workers know of it.
    pub host: Arc<Host>,
    /// Its share relative to others; not 0.
    pub weight: u32,
    /// Where it is.
    pub places: Places,
}

/// What is known of a request when an endpoint is picked for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// Endpoints that were tried for it, by their places in the list: others are picked while there are any.
    pub tried: &'a [u32],
    /// What is hashed, where the balancer is one that keeps equal keys together; by chance if absent.
    pub hash: Option<u64>,
    /// Others may be in a tier that is not next in turn.
    pub anywhere: bool,
}

/// Endpoints in a list, and in order of preference. A pick allocates nothing and takes no lock.
#[derive(Debug)]
pub struct Picker {
    settings: Settings,
    members: Vec<Member>,
    tiers: Vec<Tier>,
    /// One for each tier, where keys are hashed.
    keys: Vec<KeyMap>,
    table: Table,
    epoch: u64,
    turn: Cell<u64>,
}

impl Picker {
    /// Of endpoints, for somebody who is at `own`.
    #[must_use]
    pub fn new(settings: Settings, members: Vec<Member>, own: &Places, group: &Group, now: Moment) -> Self {
        let tiers = tiers(
            &settings.preference,
            own,
            members.iter().map(|member| &member.places),
        );
        let keys = match &settings.balancer {
            Balancer::ConsistentHash { ring, .. } => {
                tiers.iter().map(|tier| key_map(*ring, tier, &members)).collect()
            }
            _ => Vec::new(),
        };
        let mut picker = Self {
            settings,
            members,
            tiers,
            keys,
            table: Table::default(),
            epoch: 0,
            turn: Cell::new(0),
        };
        picker.renew(group, now);
        picker
    }

    /// The endpoints.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// How they are picked.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether [`Picker::renew`] would change anything. One load and one comparison.
    #[must_use]
    pub fn is_stale(&self, group: &Group, now: Moment) -> bool {
        self.epoch != group.epoch() || self.table.stale_at.is_some_and(|at| at <= now)
    }

    /// Looks at everybody's health again.
    pub fn renew(&mut self, group: &Group, now: Moment) {
        self.epoch = group.epoch();
        let rules = Rules {
            warmup: self.settings.warmup.as_ref(),
            panic_percent: self.settings.panic_percent,
        };
        self.table = Table::new(&self.tiers, &self.members, &rules, now);
    }

    /// Whether an endpoint may be picked.
    #[must_use]
    pub fn is_usable(&self, place: usize) -> bool {
        u32::try_from(place).is_ok_and(|place| self.table.is_usable(place))
    }

    /// The place of the endpoint that takes a request; nothing when there is none that may.
    ///
    /// Of those that were tried one is only picked again when nobody else is left: what failed once is better than
    /// nothing.
    #[must_use]
    pub fn pick(&self, ask: &Ask<'_>, now: Moment, chance: &mut impl Chance) -> Option<usize> {
        if self.keys.is_empty() {
            return self.pick_one(ask, now, chance);
        }
        let hash = ask.hash.unwrap_or_else(|| chance.any());
        // The parts of a hash that choose tier and place are not the same.
        let tier = self.table.tier(&mut Fixed(hash.rotate_left(32)))?;
        let fresh = |place: u32| self.table.is_usable(place) && !ask.tried.contains(&place);
        let keys = &self.keys[tier];
        let elsewhere = || self.keys.iter().find_map(|keys| keys.find(hash, fresh));
        let found = keys.find(hash, fresh);
        let found = found.or_else(|| ask.anywhere.then(elsewhere).flatten());
        let found = found.or_else(|| keys.find(hash, |place| self.table.is_usable(place)));
        found.map(|place| place as usize)
    }

    fn pick_one(&self, ask: &Ask<'_>, now: Moment, chance: &mut impl Chance) -> Option<usize> {
        let tier = self.table.tier(chance)?;
        let shares = self.table.shares(tier, chance)?;
        let first = self.among(shares, now, chance)?;
        if !ask.tried.contains(&first) {
            return Some(first as usize);
        }
        for _ in 0..DRAWS {
            let other = self.among(shares, now, chance)?;
            if !ask.tried.contains(&other) {
                return Some(other as usize);
            }
        }
        let fresh = |shares: &Shares, chance: &mut _| {
            let places = &shares.places;
            let begin = usize::try_from(Chance::below(chance, places.len().max(1) as u64)).unwrap_or(0);
            let round = places[begin..].iter().chain(&places[..begin]);
            round.copied().find(|place| !ask.tried.contains(place))
        };
        let mut all = self.table.beginning_with(tier, ask.anywhere);
        let other = all.find_map(|shares| fresh(shares, chance));
        Some(other.unwrap_or(first) as usize)
    }

    fn among(&self, shares: &Shares, now: Moment, chance: &mut impl Chance) -> Option<u32> {
        let drawn = |chance: &mut _| Some(shares.places[shares.spread.at(Chance::any(chance))?]);
        match &self.settings.balancer {
            Balancer::RoundRobin => self.next(shares, chance),
            Balancer::Random | Balancer::Passthrough | Balancer::ConsistentHash { .. } => drawn(chance),
            Balancer::LeastRequest => {
                let share = |place: u32| {
                    let member = &self.members[place as usize];
                    f64::from(member.host.active()) / f64::from(member.weight.max(1))
                };
                self.best(shares, chance, share)
            }
            Balancer::PeakEwma => {
                let cost = |place: u32| {
                    let member = &self.members[place as usize];
                    member.host.cost(now) / f64::from(member.weight.max(1))
                };
                self.best(shares, chance, cost)
            }
        }
    }

    /// The best of some random ones, each drawn by its share (Mitzenmacher, "The power of two choices"). Between equals
    /// the first one counts, so that shares are kept while there is little to do.
    fn best(&self, shares: &Shares, chance: &mut impl Chance, cost: impl Fn(u32) -> f64) -> Option<u32> {
        let count = shares.places.len() as u64;
        let first = shares.spread.at(chance.any())?;
        let mut best = shares.places[first];
        if count == 1 {
            return Some(best);
        }
        let mut least = cost(best);
        for _ in 1..self.settings.choices.max(1) {
            let place = match shares.spread.is_even() {
                // Another one than the first.
                true => {
                    let further = 1 + chance.below(count - 1);
                    usize::try_from((first as u64 + further) % count).unwrap_or(0)
                }
                false => shares.spread.at(chance.any())?,
            };
            let other = shares.places[place];
            let cost = cost(other);
            if cost < least {
                (best, least) = (other, cost);
            }
        }
        Some(best)
    }

    /// Each in turn. With weights, at steps of the golden ratio: every stretch of turns, however short, holds each about as
    /// often as its weight says, and those of the heavy are not all in a row.
    fn next(&self, shares: &Shares, chance: &mut impl Chance) -> Option<u32> {
        let turn = match self.turn.get() {
            // Workers and gateways do not all begin at the first.
            0 => chance.any() | 1,
            turn => turn,
        };
        let at = match shares.spread.is_even() {
            true => {
                self.turn.set(turn.wrapping_add(1).max(1));
                usize::try_from(turn.checked_rem(shares.spread.len() as u64)?).ok()?
            }
            false => {
                self.turn.set(turn.wrapping_add(GOLDEN).max(1));
                shares.spread.at(turn)?
            }
        };
        shares.places.get(at).copied()
    }
}

fn key_map(ring: HashRing, tier: &Tier, members: &[Member]) -> KeyMap {
    let mut points = Vec::new();
    for bucket in &tier.buckets {
        let member = |place: &u32| &members[*place as usize];
        let sum: f64 = bucket.members.iter().map(|p| f64::from(member(p).weight)).sum();
        points.extend(bucket.members.iter().map(|place| Point {
            place: *place,
            key: member(place).host.key(),
            weight: f64::from(bucket.share) * f64::from(member(place).weight) / sum,
        }));
    }
    match ring {
        HashRing::Ring(least) => KeyMap::Ring(Ring::new(&points, least)),
        HashRing::Maglev(size) => KeyMap::Maglev(Maglev::new(&points, size)),
    }
}

/// How often one who was tried is drawn again before everybody is looked at.
const DRAWS: u32 = 3;
/// 2⁶⁴ divided by the golden ratio, odd.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
