//! Which waypoint does this connection go through?

use super::Random;
use crate::{GatewayRef, Service};

/// The waypoints of a service, in the order in which a connection tries them: the drawn one ([`pick_waypoint`]), its one
/// waypoint, the other weighted ones. Each of them enforces the service's policies, so that one may stand in for another
/// that is missing; none at all is something else.
pub fn waypoints<'s>(service: &'s Service, random: &mut impl Random) -> impl Iterator<Item = &'s GatewayRef> {
    let drawn = pick_waypoint(service, random);
    let one = service.waypoint.as_ref().filter(move |w| drawn != Some(w));
    let others = service
        .weighted_waypoints
        .iter()
        .filter(|w| w.weight > 0)
        .map(|w| &w.gateway)
        .filter(move |w| drawn != Some(w) && service.waypoint.as_ref() != Some(w));
    drawn.into_iter().chain(one).chain(others)
}

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
