//! Which waypoint does this connection go through?

use super::Random;
use crate::{GatewayRef, Service};

/// Draws one of a service's weighted waypoints; where there are none, or none has any weight, its one waypoint.
#[must_use]
pub fn pick_waypoint<'s>(service: &'s Service, random: &mut impl Random) -> Option<&'s GatewayRef> {
    let weighted = &service.weighted_waypoints;
    let total: u64 = weighted.iter().map(|w| u64::from(w.weight)).sum();
    if total == 0 {
        return service.waypoint.as_ref();
    }
    let mut left = random.below(total);
    weighted
        .iter()
        .find(|w| match left.checked_sub(w.weight.into()) {
            None => true,
            Some(rest) => {
                left = rest;
                false
            }
        })
        .map(|w| &w.gateway)
}
