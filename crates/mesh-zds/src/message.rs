//! The messages of ZDS as enums, and their bytes.
//!
//! Parsing is strict where a mistake could pair a pod with the wrong namespace or identity: an Add without exactly one
//! descriptor, without a name or without a uid is refused, and so is a descriptor on any other message.

use std::fmt;

use mesh_proto::istio::workload::zds;
use mesh_types::Strng;
use prost::Message as _;

/// The longest packet, in bytes: upstream reads into a buffer of this size and refuses what is cut off.
pub const MAX_PACKET: usize = 1024;

/// A pod's key on this socket: Kubernetes' pod uid, or the sandbox's id where there is none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PodUid(Strng);

/// Who a pod is (`istio.workload.zds.WorkloadInfo`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PodInfo {
    /// The pod's name.
    pub name: Strng,
    /// Its namespace.
    pub namespace: Strng,
    /// Its service account.
    pub service_account: Strng,
}

/// What the agent tells ztunnel. `N` is the pod's network namespace: a descriptor where it crosses the socket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PodEvent<N> {
    /// This pod is enrolled; its namespace is the descriptor.
    Add {
        /// The pod.
        uid: PodUid,
        /// Who it is.
        info: PodInfo,
        /// Its network namespace.
        netns: N,
    },
    /// This pod is enrolled, but the agent holds no descriptor: what ztunnel has stays.
    Keep {
        /// The pod.
        uid: PodUid,
    },
    /// This pod is no longer enrolled.
    Del {
        /// The pod.
        uid: PodUid,
    },
    /// Every enrolled pod was listed: what was not is gone.
    SnapshotSent,
}

/// ztunnel's answer to one message: done, or why not.
pub type Answer = Result<(), Refused>;

/// Why ztunnel could not do what a message asked for, in its own words.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("ztunnel refused: {0}")]
pub struct Refused(pub String);

/// Why a packet is no message. The peer is at fault; nothing else is affected.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPacket {
    /// The bytes are no protobuf message of this type.
    #[error("packet is no {expected} message: {reason}")]
    Malformed {
        /// The message that was expected.
        expected: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// No payload, or one that this version does not know.
    #[error("{0} carries no payload known here")]
    NoPayload(&'static str),
    /// The hello names a version that is not V1.
    #[error("ZdsHello.version is {0}, only V1 (1) is spoken here")]
    Version(i32),
    /// A needed field is missing or empty.
    #[error("{0} is missing or empty")]
    Missing(&'static str),
    /// An Add without its namespace.
    #[error("AddWorkload carries no descriptor of the pod's network namespace")]
    NoDescriptor,
    /// A descriptor on a message that has none.
    #[error("a descriptor came with a message that is no AddWorkload")]
    StrayDescriptor,
    /// A message that does not fit into a packet.
    #[error("message is {0} bytes long, more than the 1024 of a packet")]
    TooLong(usize),
}

// === impl PodUid ===

impl PodUid {
    /// A uid as it stands on the wire.
    #[must_use]
    pub fn new(uid: impl Into<Strng>) -> Self {
        Self(uid.into())
    }

    /// The uid as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === hello ===

/// The first packet of a connection, from ztunnel.
#[must_use]
pub fn encode_hello() -> Vec<u8> {
    let hello = zds::ZdsHello {
        version: zds::Version::V1.into(),
    };
    hello.encode_to_vec()
}

/// Reads the first packet of a connection.
///
/// # Errors
/// Fails when the packet is no hello, or one of another version.
pub fn decode_hello(packet: &[u8]) -> Result<(), InvalidPacket> {
    let hello = zds::ZdsHello::decode(packet).map_err(|e| malformed("ZdsHello", &e))?;
    match zds::Version::try_from(hello.version) {
        Ok(zds::Version::V1) => Ok(()),
        Ok(zds::Version::NotUsed) | Err(_) => Err(InvalidPacket::Version(hello.version)),
    }
}

// === requests ===

impl<N> PodEvent<N> {
    /// The message's bytes; its namespace travels beside them.
    ///
    /// # Errors
    /// Fails when the message does not fit into a packet.
    pub fn encode(&self) -> Result<Vec<u8>, InvalidPacket> {
        use zds::workload_request::Payload;
        let payload = match self {
            Self::Add { uid, info, .. } => Payload::Add(zds::AddWorkload {
                uid: uid.to_string(),
                workload_info: Some(zds::WorkloadInfo {
                    name: info.name.to_string(),
                    namespace: info.namespace.to_string(),
                    service_account: info.service_account.to_string(),
                }),
            }),
            Self::Keep { uid } => Payload::Keep(zds::KeepWorkload { uid: uid.to_string() }),
            Self::Del { uid } => Payload::Del(zds::DelWorkload { uid: uid.to_string() }),
            Self::SnapshotSent => Payload::SnapshotSent(zds::SnapshotSent {}),
        };
        let bytes = zds::WorkloadRequest {
            payload: Some(payload),
        }
        .encode_to_vec();
        match bytes.len() {
            ..=MAX_PACKET => Ok(bytes),
            too_long => Err(InvalidPacket::TooLong(too_long)),
        }
    }

    /// The pod's network namespace, where the message carries one.
    #[must_use]
    pub fn netns(&self) -> Option<&N> {
        match self {
            Self::Add { netns, .. } => Some(netns),
            _ => None,
        }
    }

    /// Reads a packet and the descriptor that came with it.
    ///
    /// # Errors
    /// Fails when the packet is no request, misses a field, or has a descriptor too many or too few.
    pub fn decode(packet: &[u8], descriptor: Option<N>) -> Result<Self, InvalidPacket> {
        use zds::workload_request::Payload;
        let request = zds::WorkloadRequest::decode(packet).map_err(|e| malformed("WorkloadRequest", &e))?;
        let event = match request
            .payload
            .ok_or(InvalidPacket::NoPayload("WorkloadRequest"))?
        {
            Payload::Add(add) => {
                return Ok(Self::Add {
                    uid: uid(add.uid, "AddWorkload.uid")?,
                    info: info(add.workload_info)?,
                    netns: descriptor.ok_or(InvalidPacket::NoDescriptor)?,
                });
            }
            Payload::Keep(keep) => Self::Keep {
                uid: uid(keep.uid, "KeepWorkload.uid")?,
            },
            Payload::Del(del) => Self::Del {
                uid: uid(del.uid, "DelWorkload.uid")?,
            },
            Payload::SnapshotSent(zds::SnapshotSent {}) => Self::SnapshotSent,
        };
        match descriptor {
            None => Ok(event),
            Some(_) => Err(InvalidPacket::StrayDescriptor),
        }
    }
}

fn uid(text: String, field: &'static str) -> Result<PodUid, InvalidPacket> {
    if text.is_empty() {
        return Err(InvalidPacket::Missing(field));
    }
    Ok(PodUid::new(text))
}

fn info(info: Option<zds::WorkloadInfo>) -> Result<PodInfo, InvalidPacket> {
    let info = info.ok_or(InvalidPacket::Missing("AddWorkload.workload_info"))?;
    let named = |text: String, field| {
        if text.is_empty() {
            return Err(InvalidPacket::Missing(field));
        }
        Ok(Strng::from(text))
    };
    Ok(PodInfo {
        name: named(info.name, "WorkloadInfo.name")?,
        namespace: named(info.namespace, "WorkloadInfo.namespace")?,
        service_account: named(info.service_account, "WorkloadInfo.service_account")?,
    })
}

// === answers ===

/// An answer's bytes; a long reason is cut so that it fits into a packet.
#[must_use]
pub fn encode_answer(answer: &Answer) -> Vec<u8> {
    let error = match answer {
        Ok(()) => String::new(),
        // An empty text would mean success.
        Err(Refused(reason)) if reason.is_empty() => "refused without a reason".to_owned(),
        Err(Refused(reason)) => cut(reason).to_owned(),
    };
    zds::WorkloadResponse {
        payload: Some(zds::workload_response::Payload::Ack(zds::Ack { error })),
    }
    .encode_to_vec()
}

/// Reads an answer.
///
/// # Errors
/// Fails when the packet is no answer.
pub fn decode_answer(packet: &[u8]) -> Result<Answer, InvalidPacket> {
    use zds::workload_response::Payload;
    let response = zds::WorkloadResponse::decode(packet).map_err(|e| malformed("WorkloadResponse", &e))?;
    let Payload::Ack(ack) = response
        .payload
        .ok_or(InvalidPacket::NoPayload("WorkloadResponse"))?;
    if ack.error.is_empty() {
        Ok(Ok(()))
    } else {
        Ok(Err(Refused(ack.error)))
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_REASON);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn malformed(expected: &'static str, error: &prost::DecodeError) -> InvalidPacket {
    InvalidPacket::Malformed {
        expected,
        reason: error.to_string(),
    }
}

/// Leaves room for the tags and lengths around the text.
const MAX_REASON: usize = MAX_PACKET - 16;

#[cfg(test)]
mod tests;
