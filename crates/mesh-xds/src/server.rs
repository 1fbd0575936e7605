//! The server's end: [`ResourceCache`] holds what is published, [`ServerSession`] decides what one stream is sent,
//! [`XdsServer`] carries it over gRPC. [`debug`] answers who asks how clients stand.

mod cache;
pub mod debug;
mod delivery;
mod push;
mod record;
mod refused;
mod scope;
mod service;
mod session;
mod stream;
mod subscription;
mod table;

pub use cache::{Change, Published, ResourceCache};
pub use delivery::{Delivery, Heard};
pub use push::{Chunks, Push};
pub use refused::Refused;
pub use service::{AdmitNode, XdsServer};
pub use session::{Ended, Refusal, ServerSession, SubscriberStatus, SubscriptionStatus, Verdict};
