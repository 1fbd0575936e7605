//! ztunnel's side of one connection, without a socket: what a packet means in the state that the connection is in.

use crate::message::{self, Answer, InvalidPacket, PodEvent, Refused};

/// ztunnel's side of one connection.
///
/// ```text
/// Snapshot --SnapshotSent--> Live        in both: packet -> (answer) -> packet -> ...
/// ```
#[derive(Debug)]
pub struct ClientSession {
    phase: Phase,
    answer_due: bool,
}

/// How far the agent has come on this connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It is still listing the pods that are enrolled.
    Snapshot,
    /// It has listed them all; what comes now are changes.
    Live,
}

/// What to do with a packet.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<N> {
    /// Carry it out, then [`ClientSession::answer`].
    Deliver(PodEvent<N>),
    /// It makes no sense; send this refusal and go on.
    Refuse(Vec<u8>, InvalidPacket),
}

/// The agent broke the order of the protocol; the connection is of no more use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutOfOrder {
    /// A message before the answer to the one before it.
    #[error("the agent sent a message before the last one was answered")]
    AnswerDue,
    /// An answer to nothing.
    #[error("no message waits for an answer")]
    NothingToAnswer,
}

impl ClientSession {
    /// A new connection, and the packet that opens it.
    #[must_use]
    pub fn start() -> (Self, Vec<u8>) {
        let session = Self {
            phase: Phase::Snapshot,
            answer_due: false,
        };
        (session, message::encode_hello())
    }

    /// How far the agent has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the message delivered last has no answer yet.
    #[must_use]
    pub fn answer_due(&self) -> bool {
        self.answer_due
    }

    /// Takes the next packet.
    ///
    /// # Errors
    /// Fails when the message before this one was not answered yet.
    pub fn packet<N>(&mut self, packet: &[u8], descriptor: Option<N>) -> Result<Incoming<N>, OutOfOrder> {
        if self.answer_due {
            return Err(OutOfOrder::AnswerDue);
        }
        match PodEvent::decode(packet, descriptor) {
            Ok(event) => {
                if matches!(event, PodEvent::SnapshotSent) {
                    self.phase = Phase::Live;
                }
                self.answer_due = true;
                Ok(Incoming::Deliver(event))
            }
            Err(error) => {
                let refusal = message::encode_answer(&Err(Refused(error.to_string())));
                Ok(Incoming::Refuse(refusal, error))
            }
        }
    }

    /// The packet that answers the message delivered last.
    ///
    /// # Errors
    /// Fails when there is none.
    pub fn answer(&mut self, answer: &Answer) -> Result<Vec<u8>, OutOfOrder> {
        if !std::mem::take(&mut self.answer_due) {
            return Err(OutOfOrder::NothingToAnswer);
        }
        Ok(message::encode_answer(answer))
    }
}
