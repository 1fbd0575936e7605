//! Which requests are copied, delayed or broken off. `random` gives numbers that are equally likely to be any.

use std::time::Duration;

use crate::l7::filter::{Abort, Fault, Mirror};
use crate::l7::route::Destination;

/// What is done to a request on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// It waits so long first.
    pub delay: Option<Duration>,
    /// Then it fails so.
    pub abort: Option<Abort>,
}

/// Decides what is done to a request; delay and failure are drawn apart.
#[must_use]
pub fn inject(fault: &Fault, mut random: impl FnMut() -> u64) -> Injected {
    let delay = fault.delay.filter(|(_, share)| share.takes(random()));
    let abort = fault.abort.filter(|(_, share)| share.takes(random()));
    Injected {
        delay: delay.map(|(delay, _)| delay),
        abort: abort.map(|(abort, _)| abort),
    }
}

/// Where copies of a request go, each drawn apart. Where a mirror's destination is invalid, nowhere.
pub fn mirrored<'f>(
    mirrors: impl IntoIterator<Item = &'f Mirror>,
    mut random: impl FnMut() -> u64,
) -> impl Iterator<Item = &'f Destination> {
    mirrors.into_iter().filter_map(move |mirror| {
        let valid = !matches!(mirror.destination, Destination::Invalid(_));
        (mirror.share.takes(random()) && valid).then_some(&mirror.destination)
    })
}

#[cfg(test)]
mod tests;
