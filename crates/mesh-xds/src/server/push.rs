//! A response as the stream sends it. Each resource was encoded once, when it was published; every subscriber's response
//! is put together from the same bytes, a bounded piece at a time, so that a large first push to many subscribers does
//! not hold many copies of everything.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use mesh_proto::envoy::service::discovery::v3::{DeltaDiscoveryResponse, Resource};
use mesh_proto::google::protobuf::Any;
use prost::Message;

use crate::resource::TypeUrl;

/// A response, not yet put together.
#[derive(Clone, Debug)]
pub struct Push {
    /// The type of all resources.
    pub type_url: Arc<str>,
    /// What the client answers with.
    pub nonce: String,
    /// The state of the cache that it brings the client to.
    pub system_version: u64,
    pub(super) resources: Vec<Bytes>,
    /// Names that are gone.
    pub removed: Vec<Arc<str>>,
}

/// A response as a gRPC message, in pieces of about 64 KiB.
#[derive(Debug)]
pub struct Chunks {
    head: Option<Bytes>,
    records: std::vec::IntoIter<Bytes>,
    held: Option<Bytes>,
}

/// A resource as a field of the response, ready to be sent.
pub(super) fn record(type_url: TypeUrl, name: &str, version: &str, body: Bytes) -> Bytes {
    let response = DeltaDiscoveryResponse {
        resources: vec![Resource {
            version: version.to_owned(),
            resource: Some(Any {
                type_url: type_url.as_str().to_owned(),
                value: body,
            }),
            name: name.to_owned(),
            aliases: Vec::new(),
        }],
        ..Default::default()
    };
    // A message of one field is that field: messages are concatenated by concatenating their bytes
    // (protobuf, "Encoding", "Last One Wins").
    response.encode_to_vec().into()
}

impl Push {
    /// How many resources are new or changed.
    #[must_use]
    pub fn changed(&self) -> usize {
        self.resources.len()
    }

    /// The gRPC message: prefix and body (gRPC over HTTP/2, "Length-Prefixed-Message").
    #[must_use]
    pub fn into_chunks(self) -> Chunks {
        let head = self.head();
        let length = head.encoded_len() + self.resources.iter().map(Bytes::len).sum::<usize>();
        let mut first = BytesMut::with_capacity(PREFIX + head.encoded_len());
        first.put_u8(0);
        // Above 4 GiB no client would take it; 200 MiB is the common limit.
        first.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        first.put_slice(&head.encode_to_vec());
        Chunks {
            head: Some(first.freeze()),
            records: self.resources.into_iter(),
            held: None,
        }
    }

    /// The response as a client decodes it.
    ///
    /// # Errors
    /// Does not fail for a push that this crate made.
    pub fn decode(&self) -> Result<DeltaDiscoveryResponse, prost::DecodeError> {
        let mut bytes = self.head().encode_to_vec();
        for record in &self.resources {
            bytes.extend_from_slice(record);
        }
        DeltaDiscoveryResponse::decode(Bytes::from(bytes))
    }

    fn head(&self) -> DeltaDiscoveryResponse {
        DeltaDiscoveryResponse {
            system_version_info: self.system_version.to_string(),
            resources: Vec::new(),
            type_url: self.type_url.to_string(),
            nonce: self.nonce.clone(),
            removed_resources: self.removed.iter().map(|name| name.to_string()).collect(),
        }
    }
}

impl Iterator for Chunks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        let first = self.held.take().or_else(|| self.records.next())?;
        if first.len() >= CHUNK {
            return Some(first);
        }
        let mut chunk = BytesMut::with_capacity(CHUNK);
        chunk.put_slice(&first);
        for record in self.records.by_ref() {
            if chunk.len() + record.len() > CHUNK {
                self.held = Some(record);
                break;
            }
            chunk.put_slice(&record);
        }
        Some(chunk.freeze())
    }
}

const PREFIX: usize = 5;
const CHUNK: usize = 64 * 1024;
