//! Configuration from a directory of YAML files.
//!
//! ```text
//! directory --watch (where)--> scan (what changed) --> files (last good content, who owns which object) --> object changes
//!                                                        |
//!                                                    last_good (the same, across restarts)
//! ```
//! A file is good or bad as a whole. A bad one keeps the objects of its last good content; one that never was good keeps
//! the control plane from becoming ready, because what it meant to say is not known. A file that is gone takes its
//! objects with it.
//!
//! # Layout
//! - [`watch`]: what the kernel tells of the directory: which files to look at, and when.
//! - [`scan`]: reads the directory or some files of it, tells what changed since the last time.
//! - [`files`]: pure: contents in, object changes and a status out.
//! - [`last_good`]: keeps good contents in the state directory.
//! - [`source`]: the thread that does it all, again and again.

pub mod files;
pub mod last_good;
pub mod scan;
pub mod source;
pub mod watch;
