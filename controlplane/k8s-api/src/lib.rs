//! Kubernetes and Istio objects as their users write them.
//!
//! Core kinds are modelled as far as the mesh needs them and tolerate every other field. All others are modelled whole.
//! Policies refuse what they do not know: a misspelt `principals` must not widen a rule. Routes and their like pass over
//! it and say so, since a field that is silently without effect is a trap.
//!
//! # Layout
//! - [`parse`]: the way in, a YAML file's text to objects or errors, document by document.
//! - [`raw`]: the other way in, one object's JSON from an API server. `strictest`: what is left of a broken policy.
//! - [`object`]: what every object has, and the sum of all kinds.
//! - [`core`]: Namespace, Node, ServiceAccount, Pod. [`service`]: Service, EndpointSlice.
//! - [`gateway`]: Gateway API. [`networking`], [`security`], [`telemetry`]: Istio's groups of these names.
//! - [`lateen`]: our own kinds. [`mesh`]: the mesh's own configuration.
//! - [`kinds`]: the API groups, their versions, and what each kind is to us.
//! - [`references`]: what an object refers to, with the field that does.
//! - [`shared`]: what many objects have alike.
//! - [`value`]: durations and percentages, as each group writes them.
//! - [`validate`]: what the schema cannot say (names, ports, ranges, fields that exclude one another).
//! - [`error`]: where something is wrong, in which object and field, and why; always one line.
//! - `tree`, `decode`: YAML to a tree that knows its lines, and the tree to typed objects.
//! - [`fuzz`]: the parser's fuzz target.

pub mod core;
mod decode;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod gateway;
pub mod kinds;
pub mod lateen;
pub mod mesh;
pub mod networking;
pub mod object;
pub mod parse;
pub mod raw;
pub mod references;
pub mod security;
pub mod service;
pub mod shared;
mod strictest;
pub mod telemetry;
mod tree;
pub mod validate;
pub mod value;

pub use error::{FieldPath, ParseError, Position, Reason};
pub use kinds::Group;
pub use object::{
    IgnoredObject, IgnoredReason, Kind, Labels, Located, Metadata, Object, ObjectKey, ObjectRef, Resource,
};
pub use parse::parse;
pub use raw::RawObject;
pub use shared::Shared;
pub use strictest::{StrictPart, StrictSense, Strictest};
