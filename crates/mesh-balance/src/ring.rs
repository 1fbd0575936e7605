//! Equal keys to equal endpoints, and few of them elsewhere when an endpoint comes or goes.
//!
//! [`Ring`] is Karger's hash ring: each endpoint stands at many points, and a key goes to the next one. [`Maglev`] is
//! the table of "Maglev: A Fast and Reliable Software Network Load Balancer" (section 3.4): faster and more even, a little
//! more disruption. Both hold all endpoints of a list, well or not: who must not be picked is passed over, so that their
//! keys alone move, and come back.

use mesh_types::Strng;
use xxhash_rust::xxh64::xxh64;

/// One endpoint for a ring.
#[derive(Clone, Copy, Debug)]
pub struct Point<'k> {
    /// Its place in the list.
    pub place: u32,
    /// What it is hashed by.
    pub key: &'k Strng,
    /// Its share; not 0.
    pub weight: f64,
}

/// Keys to endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMap {
    /// A ring.
    Ring(Ring),
    /// A table.
    Maglev(Maglev),
}

/// Points in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring(Box<[(u64, u32)]>);

/// One endpoint for each slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maglev(Box<[u32]>);

impl KeyMap {
    /// The first endpoint for a hash, in this map's order, that is acceptable.
    #[must_use]
    pub fn find(&self, hash: u64, acceptable: impl Fn(u32) -> bool) -> Option<u32> {
        match self {
            Self::Ring(ring) => {
                let begin = ring.0.partition_point(|(at, _)| *at < hash);
                let (before, after) = ring.0.split_at(begin);
                let mut round = after.iter().chain(before).map(|(_, place)| *place);
                round.find(|place| acceptable(*place))
            }
            Self::Maglev(table) => {
                let begin = usize::try_from(hash % table.0.len().max(1) as u64).unwrap_or(0);
                let (before, after) = table.0.split_at(begin);
                let mut round = after.iter().chain(before).copied();
                round.find(|place| acceptable(*place))
            }
        }
    }
}

impl Ring {
    /// A ring with at least `least` points; each endpoint has at least one.
    #[must_use]
    pub fn new(points: &[Point<'_>], least: u32) -> Self {
        let sum: f64 = points.iter().map(|point| point.weight).sum();
        let mean = sum / points.len().max(1) as f64;
        // A power of two each, so that one endpoint more or less changes nothing of the others' points.
        let each = least
            .min(MOST_POINTS)
            .div_ceil(u32::try_from(points.len().max(1)).unwrap_or(u32::MAX));
        let each = f64::from(each.next_power_of_two());
        let mut ring = Vec::with_capacity(each as usize * points.len());
        for point in points {
            let count = (each * point.weight / mean).round().max(1.0) as u64;
            ring.extend((0..count).map(|n| (hash_of(point.key, n), point.place)));
        }
        ring.sort_unstable();
        Self(ring.into())
    }
}

impl Maglev {
    /// A table of a size that is prime. Endpoints beyond the size have no slot.
    #[must_use]
    pub fn new(points: &[Point<'_>], size: u32) -> Self {
        const NOBODY: u32 = u32::MAX;
        let size = u64::from(size.max(2));
        let heaviest = points.iter().map(|point| point.weight).fold(0.0, f64::max);
        let mut turns: Vec<Turn> = points
            .iter()
            .map(|point| Turn {
                place: point.place,
                at: hash_of(point.key, 0) % size,
                skip: hash_of(point.key, 1) % (size - 1) + 1,
                share: point.weight / heaviest,
                due: 0.0,
            })
            .collect();
        let mut table = vec![NOBODY; usize::try_from(size).unwrap_or_default()];
        let mut filled = 0;
        while filled < table.len() && !turns.is_empty() {
            for turn in &mut turns {
                // The heaviest have a turn in each round, others as often as their share says.
                turn.due += turn.share;
                if turn.due < 1.0 {
                    continue;
                }
                turn.due -= 1.0;
                while table[turn.at as usize] != NOBODY {
                    turn.at = (turn.at + turn.skip) % size;
                }
                table[turn.at as usize] = turn.place;
                filled += 1;
                if filled == table.len() {
                    break;
                }
            }
        }
        table.retain(|place| *place != NOBODY);
        Self(table.into())
    }
}

struct Turn {
    place: u32,
    at: u64,
    skip: u64,
    share: f64,
    due: f64,
}

/// What a request's key is hashed to.
#[must_use]
pub fn hash(key: &[u8]) -> u64 {
    xxh64(key, 0)
}

fn hash_of(key: &Strng, n: u64) -> u64 {
    // Apart from the hashes of requests' keys.
    xxh64(key.as_bytes(), n.wrapping_add(1))
}

/// Envoy's `maximum_ring_size`: 8 M.
const MOST_POINTS: u32 = 8 * 1024 * 1024;
