//! The attributes of a request or connection, by their names.

use std::cell::OnceCell;
use std::net::IpAddr;

use mesh_types::Identity;

use super::{IpAttribute, TextAttribute};
use crate::l7::request::{Claims, Client, Local, Metadata, Request};

/// Who asks for what.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    client: &'a Client<'a>,
    local: Local,
    request: Option<&'a Request<'a>>,
    claims: Option<&'a Claims>,
    principal: OnceCell<String>,
    account: OnceCell<String>,
    hosts: OnceCell<Hosts>,
}

/// What is known of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// A request, and what its token says.
    Request,
    /// A request whose token nobody has looked at.
    RequestWithoutToken,
    /// A connection.
    Connection,
}

/// An attribute that is a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Text {
    Attribute(TextAttribute),
    Host,
    Method,
}

/// In lower case: the host without port and final dot, and with its port if one was given. `shop.` is `shop`: the dot
/// must not lead past a policy.
#[derive(Debug)]
struct Hosts {
    host: String,
    with_port: Option<String>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(
        client: &'a Client<'a>,
        local: Local,
        request: Option<&'a Request<'a>>,
        claims: Option<&'a Claims>,
    ) -> Self {
        Self {
            client,
            local,
            request,
            claims,
            principal: OnceCell::new(),
            account: OnceCell::new(),
            hosts: OnceCell::new(),
        }
    }

    pub(super) fn known(&self) -> Known {
        match (self.request, self.claims) {
            (Some(_), Some(_)) => Known::Request,
            (Some(_), None) => Known::RequestWithoutToken,
            (None, _) => Known::Connection,
        }
    }

    /// Whether a value of an attribute is what is looked for. Of a header that occurs several times it is all of them,
    /// joined, and if `each` is set also each by itself.
    pub(super) fn any_text(&self, text: &Text, each: bool, is: impl Fn(&str) -> bool) -> bool {
        let is_some = |value: Option<&str>| value.is_some_and(&is);
        match text {
            Text::Host => self
                .hosts()
                .is_some_and(|hosts| is(&hosts.host) || hosts.with_port.as_deref().is_some_and(&is)),
            Text::Method => is_some(self.request.map(|request| request.method.as_str())),
            Text::Attribute(attribute) => match attribute {
                TextAttribute::RequestHeader(name) => self.any_header(name, each, is),
                TextAttribute::SourceNamespace => is_some(self.client.namespace().map(|ns| ns.as_str())),
                TextAttribute::SourceServiceAccount => is_some(self.account()),
                TextAttribute::SourcePrincipal => is_some(self.principal()),
                TextAttribute::SourceTrustDomain => self
                    .client
                    .identity
                    .is_some_and(|id| is(&id.trust_domain().to_string())),
                TextAttribute::RequestPrincipal => {
                    is_some(self.claims.and_then(Claims::principal).map(|p| p.as_str()))
                }
                TextAttribute::Audiences => self.claims.is_some_and(|c| c.audiences().any(|a| is(&a))),
                TextAttribute::Presenter => is_some(self.claims.and_then(Claims::presenter)),
                TextAttribute::Claim(path) => self.claims.is_some_and(|c| c.values(path).any(|v| is(&v))),
                TextAttribute::ExternalAuth(name) => self.metadata().is_some_and(|m| m.texts(name).any(&is)),
                TextAttribute::ServerName => self
                    .client
                    .server_name
                    .is_some_and(|name| is(&name.to_ascii_lowercase())),
            },
        }
    }

    fn metadata(&self) -> Option<&'a Metadata> {
        self.request?.metadata
    }

    pub(super) fn path(&self) -> Option<&'a str> {
        self.request.map(|request| request.path)
    }

    pub(super) fn ip(&self, attribute: IpAttribute) -> IpAddr {
        match attribute {
            IpAttribute::Source => self.client.address,
            IpAttribute::Remote => self.client.remote_address,
            IpAttribute::Destination => self.local.address,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.local.port
    }

    fn any_header(&self, name: &str, each: bool, is: impl Fn(&str) -> bool) -> bool {
        let Some(request) = self.request else {
            return false;
        };
        if request.header(name).is_some_and(|joined| is(&joined)) {
            return true;
        }
        let mut values = request.headers.get_all(name).iter();
        each && values.any(|value| is(&String::from_utf8_lossy(value.as_bytes())))
    }

    fn principal(&self) -> Option<&str> {
        let id = self.client.identity?;
        Some(self.principal.get_or_init(|| id.principal()))
    }

    fn account(&self) -> Option<&str> {
        let id = self.client.identity?;
        let account = |id: &Identity| format!("{}/{}", id.namespace(), id.service_account());
        Some(self.account.get_or_init(|| account(id)))
    }

    fn hosts(&self) -> Option<&Hosts> {
        let request = self.request?;
        Some(self.hosts.get_or_init(|| {
            let host = request.host();
            let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
            let with_port = request.port().map(|port| format!("{host}:{port}"));
            Hosts { host, with_port }
        }))
    }
}

impl Text {
    /// Whether subjects have it in lower case.
    pub(super) fn ignores_case(&self) -> bool {
        matches!(self, Self::Host | Self::Attribute(TextAttribute::ServerName))
    }

    /// Whether it is among the things that are known of a subject.
    pub(super) fn is_known(&self, known: Known) -> bool {
        match self {
            Self::Host | Self::Method | Self::Attribute(TextAttribute::RequestHeader(_)) => {
                known.is_request()
            }
            Self::Attribute(
                TextAttribute::RequestPrincipal
                | TextAttribute::Audiences
                | TextAttribute::Presenter
                | TextAttribute::Claim(_)
                | TextAttribute::ExternalAuth(_),
            ) => known == Known::Request,
            Self::Attribute(
                TextAttribute::SourceNamespace
                | TextAttribute::SourceServiceAccount
                | TextAttribute::SourcePrincipal
                | TextAttribute::SourceTrustDomain
                | TextAttribute::ServerName,
            ) => true,
        }
    }
}

impl Known {
    pub(super) fn is_request(self) -> bool {
        matches!(self, Self::Request | Self::RequestWithoutToken)
    }
}
