//! What a supervisor of processes and namespaces needs from the system.
//!
//! # Layout
//! - `command`: [`CommandExt`], children in a namespace, that die with their parent.
//! - `isolate`: [`reenter`] and [`in_namespaces`], this program again inside namespaces of its own.
//! - [`mounts`]: the few mounts that such a namespace needs.
//! - [`capture`]: every frame that passes an interface.
//! - `limits`: descriptors, memory, interfaces.
//! - `pages`: memory that holds what stands in a file.

pub mod capture;
mod command;
mod isolate;
mod limits;
pub mod mounts;
mod pages;

pub use command::CommandExt;
pub use isolate::{Isolation, Privilege, ReenterError, Reentered, in_namespaces, reenter};
pub use limits::{interface_index, keep_freed_memory, raise_nofile_limit, set_interface_up};
pub use pages::release_file_pages;
