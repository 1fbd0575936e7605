//! TLS at either side.

mod wire;

use std::fmt;

use bytes::Bytes;
use mesh_types::Strng;

/// TLS towards a backend (Gateway API, BackendTLSPolicy; DestinationRule, `tls`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BackendTls {
    /// Bytes as they are, within the mesh's own tunnels as ever.
    #[default]
    Off,
    /// TLS.
    On(TlsOrigination),
    /// What it refers to cannot be used: no connection is made.
    Invalid(Strng),
}

/// How TLS is spoken to a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOrigination {
    /// The name in the handshake; absent: the host of the request.
    pub server_name: Option<Strng>,
    /// Whose certificates are trusted.
    pub trust: Trust,
    /// Names one of which must be in the certificate; absent: the name in the handshake.
    pub subject_alt_names: Vec<Strng>,
    /// What is shown.
    pub certificate: Option<Certificate>,
    /// What is offered in ALPN; empty: what the HTTP version is called.
    pub alpn: Vec<Strng>,
}

/// Whose certificates are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The system's authorities.
    #[default]
    System,
    /// These, as PEM.
    Authorities(Bytes),
    /// Anybody's (`insecureSkipVerify`).
    Anybody,
}

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, as PEM.
    pub chain: Bytes,
    /// The key, as PEM. Never printed.
    pub key: Bytes,
}

/// How TLS is spoken to clients of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsTermination {
    /// Bytes go on as they are, by server name.
    Passthrough,
    /// TLS ends here.
    Terminate {
        /// Chosen by server name; the first for others.
        certificates: Vec<Certificate>,
        /// Authorities, as PEM, one of which must have signed the client's certificate.
        client_authorities: Option<Bytes>,
    },
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}
