//! Two ends in one process, over pipes in memory, with paused time; `tcp` over real sockets, where nothing is timed.

mod ends;
mod handshake;
mod liveness;
mod streams;
mod tcp;
