//! Container images of the products, made from the release binaries and the libraries that they need: no container engine,
//! no base image; a registry only where an image is pushed.
//!
//! The same files give the same bytes: entries are sorted, times are zero, owners are root, and compression has no header
//! of its own time. So an image's digest says what is in it, and a rebuild can be compared.
//!
//! # Layout
//! - [`component`]: which images there are: their binaries, their user, their entry point.
//! - [`files`]: what lies in an image, and which shared libraries a program takes with it. [`elf`]: whether it takes any.
//! - [`roots`]: whom programs in an image trust outside of the mesh.
//! - [`layer`]: files as one layer (OCI image specification, "Image Layer Filesystem Changeset").
//! - [`layout`]: blobs, configuration, manifest and index as a folder or a tar (OCI image layout 1.0).
//! - [`registry`]: pushing an image.
//! - [`sbom`]: what an image was made of (CycloneDX 1.6): crates by cargo's own resolution, this machine's files by dpkg's.

pub mod component;
pub mod elf;
pub mod files;
pub mod layer;
pub mod layout;
pub mod registry;
pub mod roots;
pub mod sbom;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod standin;

pub use component::{COMPONENTS, Component};
pub use files::Files;
pub use layer::Effort;
pub use layout::{Image, ImageConfig};
pub use registry::{Reference, Registry};
