//! Socket addresses that say whose they are, so that a peer is never mistaken for a destination.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::address::canonical;

macro_rules! role {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(SocketAddr);

        impl $name {
            /// The role given to an address; an IPv4-mapped IPv6 address becomes the IPv4 one.
            #[must_use]
            pub fn new(addr: SocketAddr) -> Self {
                Self(SocketAddr::new(canonical(addr.ip()), addr.port()))
            }

            /// The address.
            #[must_use]
            pub fn addr(&self) -> SocketAddr {
                self.0
            }

            /// The IP address.
            #[must_use]
            pub fn ip(&self) -> IpAddr {
                self.0.ip()
            }

            /// The port.
            #[must_use]
            pub fn port(&self) -> u16 {
                self.0.port()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

role! {
    /// The far end of a socket, as the kernel reports it.
    Peer
}
role! {
    /// The near end of a socket.
    LocalAddr
}
role! {
    /// Where a captured connection wanted to go (`SO_ORIGINAL_DST`).
    OrigDst
}
role! {
    /// The address that is dialled next; not necessarily where the connection ends.
    NextHop
}
role! {
    /// The address that a connection is made to come from.
    SourceAddr
}
