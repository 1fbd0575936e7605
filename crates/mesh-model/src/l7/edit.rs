//! What is done to requests and answers, as functions over their heads.
//!
//! # Layout
//! - [`headers`]: set, add, remove.
//! - [`path`]: paths made comparable.
//! - [`rewrite`]: other paths.
//! - [`redirect`]: where a client is sent.
//! - [`cors`]: what browsers are told.
//! - [`chance`]: which requests are copied, delayed or broken off.

pub mod chance;
pub mod cors;
pub mod headers;
pub mod path;
pub mod redirect;
pub mod rewrite;

pub use chance::{Injected, inject, mirrored};
pub use cors::{CorsDecision, cors};
pub use headers::{HeaderEditor, InvalidEdit};
pub use path::normalize;
pub use redirect::{Redirected, redirect};
pub use rewrite::rewrite_path;
