//! Fuzz target: headers that a caller sends and addresses that an operator writes are read or refused, never a panic.

use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use crate::address::Address;
use crate::caller::{bearer_token, cluster};

/// Each line is an address, and one value of the headers that are read.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let mut metadata = MetadataMap::new();
    for line in data.split(|b| *b == b'\n') {
        if let Ok(address) = String::from_utf8_lossy(line).parse::<Address>() {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
        let Ok(value) = http::HeaderValue::from_bytes(line) else {
            continue;
        };
        let Ok(value) = AsciiMetadataValue::try_from(value.as_bytes()) else {
            continue;
        };
        metadata.append("authorization", value.clone());
        metadata.insert("clusterid", value);
        let _ = cluster(&metadata);
        if let Ok(token) = bearer_token(&metadata) {
            assert!(!token.is_empty());
        }
    }
}

#[cfg(test)]
mod tests;
