//! What keeps a client at one endpoint (Gateway API, GEP-1619; `lateen.dev`, SessionPolicy).

mod wire;

use std::time::Duration;

use mesh_types::Strng;

/// How a client says which endpoint it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The name of the cookie or header.
    pub name: Strng,
    /// Where it is.
    pub carrier: SessionCarrier,
    /// After so long it is forgotten.
    pub absolute_timeout: Option<Duration>,
    /// After so long without a request it is forgotten.
    pub idle_timeout: Option<Duration>,
}

/// Where a session is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionCarrier {
    /// In a cookie that ends with the browser's session, or at the absolute timeout (`Permanent`).
    Cookie {
        /// At the absolute timeout.
        permanent: bool,
    },
    /// In a header.
    Header,
}
