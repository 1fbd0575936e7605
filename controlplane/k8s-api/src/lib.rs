//! Kubernetes and Istio objects as their users write them.
//!
//! Core kinds are modelled as far as the mesh needs them and tolerate every other field. Policy kinds are modelled
//! whole and refuse what they do not know: a misspelt `principals` must not widen a rule.
//!
//! # Layout
//! - [`parse`]: the way in, a YAML file's text to objects or errors, document by document.
//! - [`object`]: what every object has, and the sum of all kinds.
//! - [`core`]: Namespace, Node, Pod. [`service`]: Service, EndpointSlice. [`security`]: the two policy kinds.
//! - [`validate`]: what the schema cannot say (names, ports, ranges, fields that exclude one another).
//! - [`error`]: where something is wrong, in which object and field, and why; always one line.
//! - `tree`, `decode`: YAML to a tree that knows its lines, and the tree to typed objects.
//! - [`fuzz`]: the parser's fuzz target.

pub mod core;
mod decode;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod object;
pub mod parse;
pub mod security;
pub mod service;
mod tree;
pub mod validate;

pub use error::{FieldPath, ParseError, Position, Reason};
pub use object::{
    IgnoredObject, IgnoredReason, Kind, Labels, Located, Metadata, Object, ObjectKey, ObjectRef,
};
pub use parse::parse;
