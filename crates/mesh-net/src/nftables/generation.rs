//! The generation of a namespace's nftables rules: the kernel counts up at every change of any of them (`NFT_MSG_GETGEN`).

use super::wire::{self, Attributes, NEW_GENERATION};
use crate::Netns;

/// A generation; equal ones of one namespace mean equal rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generation(u32);

impl Generation {
    /// The one after exactly one more transaction; the kernel leaves out 0.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).unwrap_or(1))
    }
}

/// The generation now; `None` where the kernel does not tell.
#[must_use]
pub fn read(netns: &Netns) -> Option<Generation> {
    netns.run(here).ok()?
}

/// The same, in the calling thread's namespace.
pub(super) fn here() -> Option<Generation> {
    let answer = super::ask(&wire::request(
        GET_GENERATION,
        wire::UNSPECIFIED,
        &Attributes::default(),
    ))
    .ok()?;
    parse(&answer).map(Generation)
}

fn parse(answer: &[u8]) -> Option<u32> {
    let value = wire::attribute(wire::first(answer, NEW_GENERATION)?, GENERATION_ID)?;
    Some(u32::from_be_bytes(value.try_into().ok()?))
}

/// `NFT_MSG_GETGEN`.
const GET_GENERATION: u16 = 16;
/// `NFTA_GEN_ID`.
const GENERATION_ID: u16 = 1;

#[cfg(test)]
mod tests;
