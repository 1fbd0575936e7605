//! TLS to endpoints, as a DestinationRule or a BackendTLSPolicy asks for it.

use std::sync::Arc;

use ::http::uri::Scheme;
use ::http::{Request, Uri};
use mesh_model::l7::tls::{TlsOrigination, Trust};
use mesh_tls::origination as tls;
use mesh_types::Strng;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::connect::ConnectFailure;
use super::http::HttpVersion;
use crate::body::Body;
use crate::stream::Stream;

/// What is spoken below requests and bytes. `ISTIO_MUTUAL` is none of these: within the mesh, tunnels are it.
pub(crate) enum Origination {
    /// Bytes as they are.
    Off,
    /// TLS.
    On(Box<Tls>),
    /// What it refers to cannot be used: no connection is made.
    Invalid(Strng),
}

/// TLS, ready for handshakes.
pub(crate) struct Tls {
    server_name: ServerName<'static>,
    /// With nothing in ALPN, with HTTP/1.1, with HTTP/2; or three times what the policy says.
    connectors: [TlsConnector; 3],
}

impl Origination {
    /// As a policy wants it. `host`: what the destination is called, for policies that name nobody.
    pub(super) fn new(wanted: &TlsOrigination, host: Option<&Strng>) -> Self {
        match Tls::new(wanted, host) {
            Ok(tls) => Self::On(Box::new(tls)),
            Err(why) => Self::Invalid(why.into()),
        }
    }

    /// What is asked for over TLS says so (RFC 9113, section 8.3.1).
    pub(super) fn name_scheme(&self, request: &mut Request<Body>) {
        let mut parts = match self {
            Self::On(_) => std::mem::take(request.uri_mut()).into_parts(),
            Self::Off | Self::Invalid(_) => return,
        };
        parts.scheme = parts.authority.is_some().then_some(Scheme::HTTPS);
        // The parts were a URI's.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }

    /// Begins TLS on a stream, where it is wanted.
    pub(crate) async fn begin(
        &self,
        stream: Stream,
        version: Option<HttpVersion>,
    ) -> Result<Stream, ConnectFailure> {
        match self {
            Self::Off => Ok(stream),
            Self::Invalid(why) => Err(ConnectFailure::Unusable(why.clone())),
            Self::On(tls) => {
                let connector = &tls.connectors[match version {
                    None => 0,
                    Some(HttpVersion::Http1) => 1,
                    Some(HttpVersion::Http2) => 2,
                }];
                let connected = connector.connect(tls.server_name.clone(), stream).await;
                Ok(Stream::of_duplex(connected.map_err(ConnectFailure::Tls)?))
            }
        }
    }
}

impl Tls {
    fn new(wanted: &TlsOrigination, host: Option<&Strng>) -> Result<Self, String> {
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "PEM that is no text".to_owned());
        let trust = match &wanted.trust {
            Trust::System => tls::Trust::System,
            Trust::Authorities(pem) => tls::Trust::Authorities(text(pem)?),
            Trust::Anybody => {
                tracing::warn!(
                    host = host.map(Strng::as_str),
                    "a server's certificate is not verified, as a policy says"
                );
                tls::Trust::Anybody
            }
        };
        let names: Vec<&str> = wanted.subject_alt_names.iter().map(Strng::as_str).collect();
        let certificate = match &wanted.certificate {
            Some(shown) => Some((text(&shown.chain)?, text(&shown.key)?)),
            None => None,
        };
        let config = tls::client_config(&tls::Origination {
            trust,
            names: &names,
            certificate,
        });
        let config = config.map_err(|error| error.to_string())?;
        let name = wanted.server_name.as_ref().or(host).map_or("", Strng::as_str);
        let server_name = match ServerName::try_from(name.to_owned()) {
            Ok(name) => name,
            // Without a name nothing is sent, and names are checked where the policy lists some.
            Err(_) if matches!(wanted.trust, Trust::Anybody) || !names.is_empty() => {
                ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into())
            }
            Err(_) => return Err(format!("{name:?} is no name that a server can prove")),
        };
        let connector = |usual: &[&str]| {
            let mut config = config.clone();
            config.alpn_protocols = match wanted.alpn.is_empty() {
                true => usual.iter().map(|name| name.as_bytes().to_vec()).collect(),
                false => wanted.alpn.iter().map(|name| name.as_bytes().to_vec()).collect(),
            };
            TlsConnector::from(Arc::new(config))
        };
        Ok(Self {
            server_name,
            connectors: [connector(&[]), connector(&["http/1.1"]), connector(&["h2"])],
        })
    }
}
