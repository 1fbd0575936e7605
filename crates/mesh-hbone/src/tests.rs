//! Two ends in one process, over pipes in memory, with paused time.

mod ends;
mod handshake;
mod liveness;
mod streams;
