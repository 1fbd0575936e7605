//! A response as the stream sends it. Each resource is there once; every subscriber's response is put together from the same
//! records, a bounded piece at a time, so that a large first push to many subscribers does not hold many copies of
//! everything.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryResponse;
use prost::Message;

use super::record::Record;

/// A response, not yet put together.
#[derive(Clone, Debug)]
pub struct Push {
    /// The type of all resources.
    pub type_url: Arc<str>,
    /// What the client answers with.
    pub nonce: String,
    /// The state of the cache that it brings the client to.
    pub system_version: u64,
    pub(super) resources: Vec<Arc<Record>>,
    /// Names that are gone.
    pub removed: Vec<Arc<str>>,
}

/// A response as a gRPC message, in pieces of about 64 KiB.
#[derive(Debug)]
pub struct Chunks {
    type_url: Arc<str>,
    /// Of what is not written yet.
    head: Option<DeltaDiscoveryResponse>,
    records: std::vec::IntoIter<Arc<Record>>,
    /// How many bytes that is.
    left: usize,
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
        let resources = self.resources.iter();
        let resources: usize = resources.map(|r| r.encoded_len(&self.type_url)).sum();
        Chunks {
            left: head.encoded_len() + resources,
            type_url: self.type_url,
            head: Some(head),
            records: self.resources.into_iter(),
        }
    }

    /// The response as a client decodes it.
    ///
    /// # Errors
    /// Does not fail for a push that this crate made.
    pub fn decode(&self) -> Result<DeltaDiscoveryResponse, prost::DecodeError> {
        let resources = self.resources.iter();
        let whole = DeltaDiscoveryResponse {
            resources: resources.map(|r| r.to_resource(&self.type_url)).collect(),
            ..self.head()
        };
        DeltaDiscoveryResponse::decode(Bytes::from(whole.encode_to_vec()))
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
        let mut chunk = BytesMut::new();
        if let Some(head) = self.head.take() {
            chunk.reserve(PREFIX + head.encoded_len() + self.left.min(CHUNK));
            chunk.put_u8(0);
            // Above 4 GiB no client would take it; 200 MiB is the common limit.
            chunk.put_u32(u32::try_from(self.left).unwrap_or(u32::MAX));
            chunk.put_slice(&head.encode_to_vec());
            self.left -= head.encoded_len();
        }
        while let Some(record) = self.records.as_slice().first() {
            let len = record.encoded_len(&self.type_url);
            if !chunk.is_empty() && chunk.len() + len > CHUNK {
                break;
            }
            // A push of one change takes no more than that needs.
            chunk.reserve(len.max(self.left.min(CHUNK - chunk.len().min(CHUNK))));
            record.encode(&self.type_url, &mut chunk);
            self.left -= len;
            self.records.next();
        }
        (!chunk.is_empty()).then(|| chunk.freeze())
    }
}

const PREFIX: usize = 5;
const CHUNK: usize = 64 * 1024;
