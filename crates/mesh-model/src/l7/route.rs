//! Which requests go where (Gateway API: HTTPRoute, GRPCRoute, TLSRoute, TCPRoute; Istio: VirtualService).

mod wire;

use ipnet::IpNet;
use mesh_types::Strng;

use super::filter::{BackendFilter, Filter, Redirect, Respond};
use super::resilience::{Retry, Timeouts};
use super::session::Session;
use super::{Created, ObjectRef, Pattern, ServicePort, TextMatch};

/// A route object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The object; its text is the resource's name. A VirtualService that has HTTP and TCP routes becomes several
    /// routes, told apart by [`Self::part`].
    pub object: ObjectRef,
    /// Which part of the object; empty for the only one.
    pub part: Strng,
    /// What it is attached to.
    pub parents: Vec<RouteParent>,
    /// Between routes of the same rank the older one wins.
    pub created: Created,
    /// Only requests of clients in this namespace (a consumer route: its parent is another namespace's Service).
    pub consumer: Option<Strng>,
    /// Only requests for these hosts, `*.` in front of one for all below; without meaning for services.
    pub hostnames: Vec<Strng>,
    /// The rules.
    pub rules: Rules,
}

/// What a route is attached to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteParent {
    /// A port of a service.
    ServicePort(ServicePort),
    /// Every port of a service.
    Service(mesh_types::NamespacedHostname),
    /// A listener of a gateway, by [`super::Bind::key`].
    Bind(Strng),
}

/// The rules of a route, by what they route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Requests.
    Http {
        /// Which of several rules that match takes a request.
        order: Order,
        /// The rules.
        rules: Vec<HttpRule>,
    },
    /// Connections, by what their TLS handshake says.
    Tls(Vec<TlsRule>),
    /// Connections.
    Tcp(Vec<TcpRule>),
}

/// Which of several rules that match takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The most specific (Gateway API, HTTPRoute, "matches"): exact path, then the longest prefix, a method, the
    /// number of headers, the number of query parameters, age, name, order of the rules. A regular expression on the
    /// path ranks below prefixes, but above what takes every path.
    Specificity,
    /// The first (VirtualService). Such routes rank before all others of their parent.
    Listed,
}

/// Requests that match, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRule {
    /// Its name, for logs and for policies that are attached to it.
    pub name: Option<Strng>,
    /// Any of these must match; without any every request does.
    pub matches: Vec<HttpMatch>,
    /// Done in this order.
    pub filters: Vec<Filter>,
    /// What becomes of it.
    pub action: HttpAction,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// When it is tried again; absent means the mesh's default.
    pub retry: Option<Retry>,
    /// What keeps a client at one endpoint.
    pub session: Option<Session>,
}

/// Everything that is here must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpMatch {
    /// The path, without the query.
    pub path: Option<PathMatch>,
    /// The method.
    pub method: Option<TextMatch>,
    /// The host that is asked for, without a port, letters of both cases being the same.
    pub authority: Option<TextMatch>,
    /// `http` or `https`.
    pub scheme: Option<TextMatch>,
    /// Headers that must be there and match. Several values of one header are joined with a comma first.
    pub headers: Vec<NamedMatch>,
    /// Headers that must not match: absent, or different.
    pub without_headers: Vec<NamedMatch>,
    /// Query parameters that must be there and match; the first of a name counts.
    pub query: Vec<NamedMatch>,
    /// Claims of the request's token that must be there and match (`@request.auth.claims.a.b`).
    pub claims: Vec<ClaimMatch>,
    /// The namespace of the client.
    pub source_namespace: Option<Strng>,
    /// Labels of the client's workload; all must be there.
    pub source_labels: Vec<(Strng, Strng)>,
}

/// A path to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// This path.
    Exact(Strng),
    /// This path and those below: `/a` takes `/a`, `/a/` and `/a/b`, not `/ab` (Gateway API). No slash at its end, but
    /// for the root.
    Segments(Strng),
    /// Paths that begin so (VirtualService).
    Prefix(Strng),
    /// Paths that match as a whole.
    Regex(Pattern),
    /// [`Self::Exact`], letters of both cases being the same.
    ExactIgnoringCase(Strng),
    /// [`Self::Prefix`], letters of both cases being the same.
    PrefixIgnoringCase(Strng),
}

/// A named text to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMatch {
    /// The name; headers' are in lower case.
    pub name: Strng,
    /// The value.
    pub value: TextMatch,
}

/// A claim to compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimMatch {
    /// The names on the way to it.
    pub path: Vec<Strng>,
    /// The value; of a list, any item.
    pub value: TextMatch,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpAction {
    /// It goes to one of these, by weight. Without any, or when all weights are 0, it is answered with 500.
    Forward(Vec<HttpBackend>),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Respond(Respond),
}

/// One of the destinations of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpBackend {
    /// Its share, relative to the others'.
    pub weight: u32,
    /// Where it goes.
    pub destination: Destination,
    /// Done after the rule's, in this order.
    pub filters: Vec<BackendFilter>,
}

/// Where a request or connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Destination {
    /// To a service.
    Service {
        /// Which.
        service: ServicePort,
        /// The subset of its DestinationRule.
        subset: Option<Strng>,
    },
    /// To a [`super::Backend`], by its name.
    Backend(Strng),
    /// Nowhere: the object refers to something that does not exist or may not be used. The share is answered with 500.
    Invalid(Strng),
}

/// Connections whose TLS handshake matches, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsRule {
    /// Its name.
    pub name: Option<Strng>,
    /// The server names, `*.` in front of one for all below; any if there are none.
    pub server_names: Vec<Strng>,
    /// Where they go.
    pub backends: Vec<TcpBackend>,
}

/// Connections, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpRule {
    /// Its name.
    pub name: Option<Strng>,
    /// Only connections to these addresses; any if there are none.
    pub destinations: Vec<IpNet>,
    /// Where they go.
    pub backends: Vec<TcpBackend>,
}

/// One of the destinations of a rule for connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpBackend {
    /// Its share, relative to the others'.
    pub weight: u32,
    /// Where it goes.
    pub destination: Destination,
}

impl Route {
    /// Its key: `HTTPRoute/shop/cart`, with a part behind another slash where there are several.
    #[must_use]
    pub fn key(&self) -> Strng {
        match self.part.is_empty() {
            true => self.object.to_string().into(),
            false => format!("{}/{}", self.object, self.part).into(),
        }
    }
}
