//! Which rules a pod and its node need, as data, and their nftables form.
//!
//! # Layout
//! - [`plan`]: from a pod's options to its rules. Start here.
//! - [`rule`]: what rules are made of.
//! - [`nftables`]: rules as the JSON that `nft -j -f -` takes, in one transaction.
//! - [`text`]: rules as `nft` prints them, for people and golden files.
//! - [`audit`]: is what the kernel has what was wanted?
//!
//! Nothing here touches the kernel: the agent applies what this crate says, inside the namespace that it is for.

pub mod audit;
pub mod nftables;
pub mod plan;
pub mod rule;
pub mod text;
