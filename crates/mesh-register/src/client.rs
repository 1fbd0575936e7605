//! The place's end: [`ClientSession`] decides, [`client`] carries it over gRPC.

mod driver;
mod session;

pub use driver::{AssignmentEvents, ClientConfig, RegisterHandle, RegisterStatus, client};
pub use session::{AssignmentEvent, ClientSession, Effect, ReportError, Ticket};
