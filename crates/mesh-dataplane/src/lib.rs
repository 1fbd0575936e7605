//! What every proxy of ours does: follow configuration, keep certificates warm, record connections, enforce policy on open ones.
pub mod record;
