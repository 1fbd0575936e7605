//! Which addresses keys are fetched from. Whoever may write a policy must not be able to make this proxy ask what only
//! it can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Anybody can reach it.
    Public,
    /// Of a private network: only for what the mesh knows.
    Private,
    /// This machine, this link, the cloud's metadata, no address at all: never.
    Forbidden,
}

/// What an address is; one that contains an IPv4 address is what that is, if that is worse.
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => reach_v4(inner),
            None => reach_v6(address),
        },
    }
}

/// Whether keys may be fetched from there.
pub(crate) fn permitted(address: IpAddr, of_the_mesh: bool) -> bool {
    match reach(address) {
        Reach::Public => true,
        Reach::Private => of_the_mesh,
        Reach::Forbidden => false,
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    let forbidden = address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || METADATA_V4.contains(&address)
        // "This network", benchmarks, IETF protocol assignments, reserved (RFC 6890).
        || a == 0
        || a >= 240
        || (a == 198 && (b & 0xfe) == 18)
        || (a == 192 && b == 0 && c == 0);
    match () {
        () if forbidden => Reach::Forbidden,
        // RFC 1918, and what carriers share (RFC 6598).
        () if address.is_private() || (a == 100 && (b & 0xc0) == 64) => Reach::Private,
        () => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let first = address.segments()[0];
    let forbidden = address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        // Link-local and the old site-local (RFC 4291, section 2.5.6; RFC 3879), documentation, discarded.
        || (first & 0xff80) == 0xfe80
        || (first == 0x2001 && address.segments()[1] == 0xdb8)
        || first == 0x0100
        || METADATA_V6.contains(&address);
    match () {
        () if forbidden => Reach::Forbidden,
        // RFC 4193.
        () if (first & 0xfe00) == 0xfc00 => Reach::Private,
        () => Reach::Public,
    }
}

/// The IPv4 address that a mapped, compatible, translated (RFC 6052) or 6to4 (RFC 3056) address stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(v4(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if !address.is_loopback() && !address.is_unspecified() => {
            Some(v4(high, low))
        }
        [0x2002, high, low, ..] => Some(v4(high, low)),
        _ => None,
    }
}

/// Beside 169.254.169.254, which is link-local: Alibaba's, and Oracle's older one.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
/// Amazon's.
const METADATA_V6: [Ipv6Addr; 1] = [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)];

#[cfg(test)]
mod tests;
