//! The client's end: [`ClientSession`] decides, [`client`] carries it over gRPC.

mod driver;
mod session;

pub use driver::{ClientHandle, client};
pub use session::{ClientConfig, ClientSession, ClientStatus, Pending, Received, TypeStatus};
