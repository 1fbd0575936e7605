//! A resource as it is published: once, for every subscriber, and without what can be written around it on its way.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use mesh_proto::envoy::service::discovery::v3::Resource;
use mesh_proto::google::protobuf::Any;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// A named, versioned message. There are as many as a cluster has pods.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: Arc<str>,
    /// A hash of the body.
    pub(super) version: u64,
    pub(super) body: Bytes,
}

/// How long its parts are as fields of a response (xDS protocol, `DeltaDiscoveryResponse.resources`).
struct Lengths {
    any: usize,
    resource: usize,
}

impl Record {
    /// How long it is in a response.
    pub(super) fn encoded_len(&self, type_url: &str) -> usize {
        let lengths = self.lengths(type_url);
        KEY + encoded_len_varint(lengths.resource as u64) + lengths.resource
    }

    /// Writes it as a field of a response. A message of one field is that field: messages are concatenated by concatenating
    /// their bytes (protobuf, "Encoding", "Last One Wins").
    pub(super) fn encode(&self, type_url: &str, into: &mut BytesMut) {
        let lengths = self.lengths(type_url);
        begin(RESOURCES, lengths.resource, into);
        text(VERSION, version(self.version).as_bytes(), into);
        begin(RESOURCE, lengths.any, into);
        text(TYPE_URL, type_url.as_bytes(), into);
        text(VALUE, &self.body, into);
        text(NAME, self.name.as_bytes(), into);
    }

    /// As a client decodes it.
    pub(super) fn to_resource(&self, type_url: &str) -> Resource {
        Resource {
            version: version(self.version),
            resource: Some(Any {
                type_url: type_url.to_owned(),
                value: self.body.clone(),
            }),
            name: self.name.to_string(),
            aliases: Vec::new(),
        }
    }

    fn lengths(&self, type_url: &str) -> Lengths {
        let any = text_len(type_url.len()) + text_len(self.body.len());
        let of_any = KEY + encoded_len_varint(any as u64) + any;
        Lengths {
            any,
            resource: text_len(VERSION_LEN) + of_any + text_len(self.name.len()),
        }
    }
}

/// The version of a resource: a hash of its content, so that it is the same after a restart and from every replica.
pub(super) fn version(hash: u64) -> String {
    format!("{hash:016x}")
}

fn begin(field: u32, len: usize, into: &mut BytesMut) {
    encode_key(field, WireType::LengthDelimited, into);
    encode_varint(len as u64, into);
}

/// Nothing is what a field is without being there.
fn text(field: u32, text: &[u8], into: &mut BytesMut) {
    if !text.is_empty() {
        begin(field, text.len(), into);
        into.put_slice(text);
    }
}

fn text_len(len: usize) -> usize {
    match len {
        0 => 0,
        len => KEY + encoded_len_varint(len as u64) + len,
    }
}

/// Of `DeltaDiscoveryResponse`.
const RESOURCES: u32 = 2;
/// Of `Resource`.
const VERSION: u32 = 1;
const RESOURCE: u32 = 2;
const NAME: u32 = 3;
/// Of `Any`.
const TYPE_URL: u32 = 1;
const VALUE: u32 = 2;
/// Of fields below 16.
const KEY: usize = 1;
/// Of [`version`].
const VERSION_LEN: usize = 16;

#[cfg(test)]
mod tests;
