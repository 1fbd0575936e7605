//! Which of a rule's destinations gets a request?

use std::cell::Cell;

use crate::l7::route::{HttpBackend, TcpBackend};

/// Something with a share.
pub trait Weighted {
    /// Its share, relative to the others'.
    fn weight(&self) -> u32;
}

impl Weighted for HttpBackend {
    fn weight(&self) -> u32 {
        self.weight
    }
}

impl Weighted for TcpBackend {
    fn weight(&self) -> u32 {
        self.weight
    }
}

/// Picks by weight. `random` is a number that is equally likely to be any, drawn anew for each request.
///
/// `None` where there is nothing with a weight. That, and a pick whose destination is invalid, is answered with 500
/// (Gateway API, HTTPRoute, "backendRefs").
#[must_use]
pub fn pick_backend<B: Weighted>(backends: &[B], random: u64) -> Option<&B> {
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight())).sum();
    let point = (u128::from(random) * u128::from(total)) >> 64;
    let mut end = 0;
    backends.iter().find(|backend| {
        end += u128::from(backend.weight());
        point < end
    })
}

/// Numbers that are spread evenly from the first one on: each share of 500 of them is met to a few of them, where
/// random ones would miss it by twenty and more. One for each place that picks: who takes every second number of one
/// gets a pattern.
///
/// The multiples of the golden ratio modulo 1 (Weyl's theorem on equidistribution).
#[derive(Debug)]
pub struct Spread(Cell<u64>);

/// 2⁶⁴ divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Spread {
    /// Begins anywhere: proxies and their threads need not agree.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self(Cell::new(start))
    }

    /// The next number.
    #[must_use]
    pub fn next(&self) -> u64 {
        let next = self.0.get().wrapping_add(STEP);
        self.0.set(next);
        next
    }
}
