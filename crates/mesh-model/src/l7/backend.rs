//! Destinations that are no Service of the mesh.

mod wire;

use std::net::SocketAddr;

use mesh_types::Strng;

use super::ObjectRef;

/// A destination that routes and policies name by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Its key.
    pub name: Strng,
    /// The object it comes from.
    pub object: ObjectRef,
    /// Where it is.
    pub location: Location,
}

/// Where a backend is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// At these addresses.
    Static(Vec<SocketAddr>),
    /// Where DNS says, on this port.
    Dns {
        /// The host.
        host: Strng,
        /// The port.
        port: u16,
    },
    /// Where DNS says that the host is which the request (Host) or the handshake (SNI) names, if it is below one of
    /// these suffixes, which begin with a dot (ServiceEntry, `DYNAMIC_DNS`).
    Dynamic {
        /// The suffixes.
        suffixes: Vec<Strng>,
        /// The port.
        port: u16,
    },
}
