//! `gateway.networking.k8s.io`: gateways, and the routes that attach to them or to services (Gateway API reference,
//! v1.6). A field that does not exist is told as a warning.

mod backend_tls_policy;
mod filter;
#[expect(clippy::module_inception, reason = "the kind has the name of its group")]
mod gateway;
mod gateway_class;
mod grpc_route;
mod http_route;
mod l4_route;
mod matching;
mod reference;
mod reference_grant;
mod selector;

pub use backend_tls_policy::{
    BackendTlsPolicy, BackendTlsPolicySpec, BackendTlsValidation, SubjectAltName, WellKnownBundle,
};
pub use filter::{
    Cors, ExternalAuth, ExternalAuthProtocol, ForwardBody, Fraction, GrpcAuth, Header, HeaderModifier,
    HttpAuth, PathModifier, RedirectScheme, RedirectStatus, RequestMirror, RequestRedirect, RouteFilter,
    UrlRewrite,
};
pub use gateway::{
    AllowedListeners, AllowedRoutes, BackendTls, FromNamespaces, FrontendTls, FrontendTlsPort,
    FrontendValidation, FrontendValidationMode, Gateway, GatewayAddress, GatewayInfrastructure, GatewaySpec,
    GatewayStatus, GatewayTls, Listener, ListenerTls, LocalParametersRef, PortValidation, RouteGroupKind,
    RouteNamespaces, SecretRef, TlsMode,
};
pub use gateway_class::{GatewayClass, GatewayClassSpec, ParametersRef};
pub use grpc_route::{GrpcRoute, GrpcRouteRule, GrpcRouteSpec};
pub use http_route::{
    CookieLifetime, HttpBackendRef, HttpRetry, HttpRoute, HttpRouteRule, HttpRouteSpec, HttpTimeouts,
    SessionCookie, SessionPersistence, SessionType,
};
pub use l4_route::{L4RouteRule, TcpRoute, TcpRouteSpec, TlsRoute, TlsRouteSpec};
pub use matching::{
    GrpcMethodMatch, GrpcRouteMatch, HeaderMatch, HttpMethod, HttpRouteMatch, PathMatch, ValueMatch,
};
pub use reference::{BackendObjectRef, BackendRef, LocalObjectRef, ParentRef, PolicyTarget};
pub use reference_grant::{GrantFrom, GrantTo, ReferenceGrant, ReferenceGrantSpec};
pub use selector::{LabelSelector, Requirement, SelectorOperator};
