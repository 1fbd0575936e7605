//! What the messages of `lateen.l7.v1` share: how a resource is read, and the parts that stand in several of them.
//!
//! # Layout
//! - this file: [`Wire`], the two directions of every message, and [`decode_resource`].
//! - `check`: what numbers, names and texts must be like.
//! - `common`: the messages of `common.proto`.

pub(super) mod check;
mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use mesh_types::Strng;
use prost::Message;

pub(super) use common::{header_match, header_pair};

use crate::invalid::{
    FieldProblem, InField, InvalidResource, Problem, ResourceKind, items, misnamed, unreadable,
};

/// Something that has a message, both directions.
pub(crate) trait Wire: Sized {
    /// Its message.
    type Message;

    /// Reads it; says which field is wrong.
    fn from_wire(message: &Self::Message) -> Result<Self, FieldProblem>;

    /// Writes it. Canonical: what has its default value is absent.
    fn to_wire(&self) -> Self::Message;
}

/// A resource: a message that goes by a name.
pub(crate) trait Resource: Wire<Message: Message + Default> {
    const KIND: ResourceKind;

    /// The name that its content gives.
    fn own_name(&self) -> Strng;
}

/// Reads a resource as it came over xDS.
///
/// A message whose own encoding would be shorter than what arrived has fields that are not known here (or is no
/// canonical encoding, which this project's control plane does not send): it is refused, as a part of a policy must not
/// vanish on its way to an older proxy.
pub(crate) fn decode_resource<T: Resource>(name: &str, body: Bytes) -> Result<T, InvalidResource> {
    let length = body.len();
    let message = T::Message::decode(body).map_err(|e| unreadable(T::KIND, name, &e))?;
    if message.encoded_len() != length {
        let problem = FieldProblem::from(Problem::NotUnderstood).under("body");
        return Err(problem.of(T::KIND, name));
    }
    let resource = T::from_wire(&message).map_err(|e| e.of(T::KIND, name))?;
    let own_name = resource.own_name();
    match own_name == name {
        true => Ok(resource),
        false => Err(misnamed(T::KIND, name, &own_name)),
    }
}

/// The body of a resource.
pub(crate) fn encode_resource<T: Resource>(resource: &T) -> Bytes {
    resource.to_wire().encode_to_vec().into()
}

/// A field that must be there.
pub(super) fn required<T: Wire>(field: &str, from: Option<&T::Message>) -> Result<T, FieldProblem> {
    let message = from.ok_or(Problem::Missing).field(field)?;
    T::from_wire(message).field(field)
}

/// A field that may be absent.
pub(super) fn optional<T: Wire>(field: &str, from: Option<&T::Message>) -> Result<Option<T>, FieldProblem> {
    from.map(T::from_wire).transpose().field(field)
}

/// A field whose absence means the default.
pub(super) fn or_default<T: Wire + Default>(
    field: &str,
    from: Option<&T::Message>,
) -> Result<T, FieldProblem> {
    Ok(optional(field, from)?.unwrap_or_default())
}

/// A repeated field.
pub(super) fn list<T: Wire>(field: &str, from: &[T::Message]) -> Result<Vec<T>, FieldProblem> {
    items(field, from, T::from_wire)
}

/// A map from ports.
pub(super) fn by_port<T: Wire>(
    field: &str,
    from: &BTreeMap<u32, T::Message>,
) -> Result<BTreeMap<u16, T>, FieldProblem> {
    let entry = |(port, message): (&u32, &T::Message)| {
        let at = format!("{field}[{port}]");
        Ok((check::port(*port).field(&at)?, T::from_wire(message).field(&at)?))
    };
    from.iter().map(entry).collect()
}

/// The other direction of [`by_port`].
pub(super) fn by_port_to_wire<T: Wire>(from: &BTreeMap<u16, T>) -> BTreeMap<u32, T::Message> {
    from.iter()
        .map(|(port, value)| (u32::from(*port), value.to_wire()))
        .collect()
}

/// The other direction of [`optional`].
pub(super) fn to_wire<T: Wire>(from: Option<&T>) -> Option<T::Message> {
    from.map(T::to_wire)
}

/// The other direction of [`or_default`].
pub(super) fn unless_default<T: Wire + Default + PartialEq>(from: &T) -> Option<T::Message> {
    (*from != T::default()).then(|| from.to_wire())
}

/// The other direction of [`list`].
pub(super) fn list_to_wire<T: Wire>(from: &[T]) -> Vec<T::Message> {
    from.iter().map(T::to_wire).collect()
}

/// Texts as protobuf has them.
pub(super) fn strings(from: &[Strng]) -> Vec<String> {
    from.iter().map(ToString::to_string).collect()
}

/// A text that may be absent, as protobuf has it.
pub(super) fn string(from: Option<&Strng>) -> Option<String> {
    from.map(ToString::to_string)
}
