//! The PROXY protocol's header, version 2 (haproxy's proxy-protocol.txt, section 2.2), both ends: real source and
//! destination, and the peer's identity.

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

/// What stands in front of a connection's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The header is not here yet as a whole.
    More,
    /// The sender speaks for itself (LOCAL): a health check. The header has so many bytes.
    Local(usize),
    /// The header has so many bytes, and says this.
    Proxied(usize, Proxied),
}

/// On whose behalf a connection was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// Who opened the original.
    pub source: SocketAddr,
    /// Where it was opened to.
    pub destination: SocketAddr,
    /// The SPIFFE identity that the sender verified, as it is written there.
    pub peer_identity: Option<String>,
}

/// No header of the PROXY protocol, version 2, for TCP; always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidHeader {
    /// Something else.
    #[error("no PROXY protocol, version 2")]
    Signature,
    /// Neither LOCAL nor PROXY.
    #[error("unknown PROXY protocol command {0:#04x}")]
    Command(u8),
    /// Neither TCP over IPv4 nor over IPv6.
    #[error("unknown PROXY protocol family {0:#04x}")]
    Family(u8),
    /// Longer than anybody's.
    #[error("a PROXY protocol header of {0} bytes")]
    TooLong(usize),
    /// Addresses or additional fields end behind the header.
    #[error("a field of the PROXY protocol header is cut off")]
    CutOff,
    /// The identity is no text, or there are several.
    #[error("the peer's identity in the PROXY protocol header is no single text")]
    Identity,
}

/// Reads a header.
///
/// # Errors
/// See [`InvalidHeader`].
pub fn decode(bytes: &[u8]) -> Result<Decoded, InvalidHeader> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return Err(InvalidHeader::Signature);
    }
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..PREFIX) else {
        return Ok(Decoded::More);
    };
    let length = PREFIX + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST {
        return Err(InvalidHeader::TooLong(length));
    }
    let Some(body) = bytes.get(PREFIX..length) else {
        return Ok(Decoded::More);
    };
    match command {
        VERSION_2_LOCAL => return Ok(Decoded::Local(length)),
        VERSION_2_PROXY => {}
        other => return Err(InvalidHeader::Command(other)),
    }
    let (source, destination, fields) = match family {
        TCP_V4 => addresses::<4>(body)?,
        TCP_V6 => addresses::<16>(body)?,
        other => return Err(InvalidHeader::Family(other)),
    };
    let proxied = Proxied {
        source,
        destination,
        peer_identity: peer_identity(fields)?,
    };
    Ok(Decoded::Proxied(length, proxied))
}

type Addresses<'b> = (SocketAddr, SocketAddr, &'b [u8]);

/// Both addresses, of `N` bytes each, and what stands behind them.
fn addresses<const N: usize>(body: &[u8]) -> Result<Addresses<'_>, InvalidHeader>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = body.split_first_chunk::<N>().ok_or(InvalidHeader::CutOff)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(InvalidHeader::CutOff)?;
    let (ports, rest) = rest.split_first_chunk::<4>().ok_or(InvalidHeader::CutOff)?;
    let address = |ip: [u8; N], port: [u8; 2]| {
        SocketAddr::new(IpAddr::from(ip).to_canonical(), u16::from_be_bytes(port))
    };
    let source = address(*source, [ports[0], ports[1]]);
    Ok((source, address(*destination, [ports[2], ports[3]]), rest))
}

fn peer_identity(mut fields: &[u8]) -> Result<Option<String>, InvalidHeader> {
    let mut found = None;
    while !fields.is_empty() {
        let (&[kind, high, low], rest) = fields.split_first_chunk::<3>().ok_or(InvalidHeader::CutOff)?;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(InvalidHeader::CutOff)?;
        if kind == TLV_PEER_IDENTITY {
            let text = std::str::from_utf8(value).map_err(|_| InvalidHeader::Identity)?;
            if found.replace(text.to_owned()).is_some() {
                return Err(InvalidHeader::Identity);
            }
        }
        fields = rest;
    }
    Ok(found)
}

fn v6_octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// With version, command, family and length.
const PREFIX: usize = 16;
/// Nobody's identity is as long.
const LONGEST: usize = 4096;
/// Version 2, command LOCAL.
const VERSION_2_LOCAL: u8 = 0x20;
/// Version 2, command PROXY.
const VERSION_2_PROXY: u8 = 0x21;
/// AF_INET, SOCK_STREAM.
const TCP_V4: u8 = 0x11;
/// AF_INET6, SOCK_STREAM.
const TCP_V6: u8 = 0x21;
/// The type that upstream uses for the peer's identity (section 2.2.8 leaves 0xE0 to 0xEF to applications, upstream chose
/// 0xD0).
const TLV_PEER_IDENTITY: u8 = 0xD0;

/// The fuzz target: no input may panic, and what is understood survives its own encoding.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Ok(Decoded::Proxied(length, proxied)) = decode(data) else {
        return;
    };
    assert!(
        length <= data.len(),
        "a header is not longer than what it was read from"
    );
    let header = Header {
        source: proxied.source,
        destination: proxied.destination,
        peer_identity: proxied.peer_identity.as_deref(),
    };
    // Mapped addresses may become shorter.
    let again = header.encode().expect("it was short enough");
    assert_eq!(decode(&again), Ok(Decoded::Proxied(again.len(), proxied.clone())));
}

#[cfg(test)]
mod tests;
