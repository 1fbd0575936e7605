//! The control plane's end: [`Assignments`] holds what belongs where, [`Registrar`] is told what the places report,
//! [`RegisterServer`] carries both over gRPC.

mod assignments;
mod service;
mod stream;

pub use assignments::Assignments;
pub use service::{RegisterServer, Registrar};
