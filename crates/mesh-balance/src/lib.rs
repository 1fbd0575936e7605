//! Which endpoint takes a request, and which must not? Pure: no await, no clock, no socket; time and chance are given.
//!
//! # Layout
//! - [`group`]: what all workers of a gateway know together of a destination's endpoints: who is there, how they do.
//! - [`host`]: one endpoint's part of it, in atomics: what is under way, how fast it answers, whether it is out.
//! - [`outlier`]: when an endpoint is left out for what it answers, and for how long.
//! - `rates`: who does worse than the others, or too badly, over an interval.
//! - [`health`]: when an endpoint is asked, and what the answers mean.
//! - [`circuit`]: how many connections and requests there may be.
//! - [`picker`]: what each worker picks with: the group's endpoints, in order of preference.
//! - [`places`]: which endpoints are near, and how much the far ones get.
//! - [`table`]: who may be picked now, with which share; made again when somebody's health changes.
//! - [`ring`]: equal keys to equal endpoints: hash ring and Maglev.
//! - [`spread`]: shares by weight.
//! - [`moment`], [`chance`]: time and chance as they are given.
//!
//! # Why shared
//! Envoy's limits and ejections are per proxy, not per thread, and a user who allows ten connections means ten. So what is
//! counted stands in one [`Group`] for all workers: two relaxed atomic additions for each request, and one load to see
//! that nothing changed. What is only read (tables, rings) each worker has for itself, so that a pick takes no lock.
//! `docs/decisions/upstream-state.md` has the reasons.

pub mod chance;
pub mod circuit;
pub mod group;
pub mod health;
pub mod host;
pub mod moment;
pub mod outlier;
pub mod picker;
pub mod places;
mod rates;
pub mod ring;
pub mod spread;
pub mod table;

pub use chance::Chance;
pub use circuit::{Counter, Permit};
pub use group::Group;
pub use host::{Host, Standing};
pub use moment::Moment;
pub use outlier::{Ejection, Outcome};
pub use picker::{Ask, Member, Picker, Settings};
pub use places::{Places, Preference};

#[cfg(test)]
mod tests;
