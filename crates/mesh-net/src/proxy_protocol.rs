//! The PROXY protocol's header, version 2 (haproxy's proxy-protocol.txt, section 2.2), as it goes to an application that
//! asked for it: real source and destination, and the peer's identity.

use std::net::{IpAddr, SocketAddr};

/// A header to be sent before the payload.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Who opened the connection.
    pub source: SocketAddr,
    /// Where it was opened to.
    pub destination: SocketAddr,
    /// The peer's SPIFFE identity, when it proved one.
    pub peer_identity: Option<&'a str>,
}

/// The header cannot be expressed: its length field has 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("peer identity of {0} bytes does not fit a PROXY protocol header")]
pub struct IdentityTooLong(pub usize);

impl Header<'_> {
    /// The bytes of the header. Addresses of mixed families are sent as IPv6, the IPv4 one mapped.
    ///
    /// # Errors
    /// Fails when the identity does not fit; it is never cut.
    pub fn encode(&self) -> Result<Vec<u8>, IdentityTooLong> {
        let mut body = Vec::with_capacity(64);
        let family = match (
            self.source.ip().to_canonical(),
            self.destination.ip().to_canonical(),
        ) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                body.extend_from_slice(&source.octets());
                body.extend_from_slice(&destination.octets());
                TCP_V4
            }
            (source, destination) => {
                body.extend_from_slice(&v6_octets(source));
                body.extend_from_slice(&v6_octets(destination));
                TCP_V6
            }
        };
        body.extend_from_slice(&self.source.port().to_be_bytes());
        body.extend_from_slice(&self.destination.port().to_be_bytes());
        if let Some(identity) = self.peer_identity {
            let too_long = IdentityTooLong(identity.len());
            let len = u16::try_from(identity.len()).map_err(|_| too_long)?;
            body.push(TLV_PEER_IDENTITY);
            body.extend_from_slice(&len.to_be_bytes());
            body.extend_from_slice(identity.as_bytes());
        }
        let identity_len = self.peer_identity.map_or(0, str::len);
        let len = u16::try_from(body.len()).map_err(|_| IdentityTooLong(identity_len))?;

        let mut header = Vec::with_capacity(SIGNATURE.len() + 4 + body.len());
        header.extend_from_slice(&SIGNATURE);
        header.push(VERSION_2_PROXY);
        header.push(family);
        header.extend_from_slice(&len.to_be_bytes());
        header.extend_from_slice(&body);
        Ok(header)
    }
}

fn v6_octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const VERSION_2_PROXY: u8 = 0x21;
/// AF_INET, SOCK_STREAM.
const TCP_V4: u8 = 0x11;
/// AF_INET6, SOCK_STREAM.
const TCP_V6: u8 = 0x21;
/// The type that upstream uses for the peer's identity (section 2.2.8 leaves 0xE0 to 0xEF to applications, upstream chose
/// 0xD0).
const TLV_PEER_IDENTITY: u8 = 0xD0;

#[cfg(test)]
mod tests;
