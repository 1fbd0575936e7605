//! Which pods of this node are served.
//!
//! # Layout
//! - [`manager`]: what the node agent says, carried out; pods that cannot be started are tried again.
//! - [`pod_proxy`]: a pod's listeners, made in its namespace and handed to every worker.
//! - [`succession`]: when a proxy takes a pod's connections from the one before it.
//! - [`table`]: the pods and how they stand, for people and metrics.

pub mod manager;
pub mod pod_proxy;
pub mod succession;
pub mod table;

pub use manager::Manager;
pub use pod_proxy::{PodStarter, Running, StartError, StartPods};
pub use table::PodTable;
