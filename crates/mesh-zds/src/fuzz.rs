//! The packet parsers' fuzz target: no input may panic, and what parses must survive its own encoding.

use crate::message::{self, PodEvent};

/// Reads `data` as each kind of packet.
///
/// # Panics
/// Panics when a packet that parses does not survive its own encoding.
pub fn packet(data: &[u8]) {
    let _ = message::decode_hello(data);
    for descriptor in [None, Some(1_u8)] {
        if let Ok(event) = PodEvent::decode(data, descriptor)
            && let Ok(bytes) = event.encode()
        {
            assert_eq!(PodEvent::decode(&bytes, descriptor).as_ref(), Ok(&event));
        }
    }
    if let Ok(answer) = message::decode_answer(data) {
        let bytes = message::encode_answer(&answer);
        assert!(bytes.len() <= message::MAX_PACKET);
        let again = message::decode_answer(&bytes).expect("our own answer");
        assert_eq!(again.is_ok(), answer.is_ok());
    }
}
