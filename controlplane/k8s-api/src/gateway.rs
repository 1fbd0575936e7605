//! `gateway.networking.k8s.io`: gateways, and the routes that attach to them or to services (Gateway API reference,
//! v1.6). A field that does not exist is told as a warning.

#[expect(clippy::module_inception, reason = "the kind has the name of its group")]
mod gateway;
mod gateway_class;
mod selector;

pub use gateway::{
    AllowedListeners, AllowedRoutes, BackendTls, FromNamespaces, FrontendTls, FrontendTlsPort,
    FrontendValidation, FrontendValidationMode, Gateway, GatewayAddress, GatewayInfrastructure, GatewaySpec,
    GatewayStatus, GatewayTls, Listener, ListenerTls, LocalParametersRef, PortValidation, RouteGroupKind,
    RouteNamespaces, SecretRef, TlsMode,
};
pub use gateway_class::{GatewayClass, GatewayClassSpec, ParametersRef};
pub use selector::{LabelSelector, Requirement, SelectorOperator};
