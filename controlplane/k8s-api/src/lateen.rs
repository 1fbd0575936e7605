//! `lateen.dev`: what neither Gateway API nor Istio has a word for. Small and whole; a field that does not exist is an
//! error. Policies attach by `targetRefs` to objects of their own namespace, or to a section of one (GEP-713).

mod external_processor_filter;
mod fault_filter;
mod health_check_policy;
mod rate_limit_policy;
mod session_policy;

pub use external_processor_filter::{
    BodySendMode, ExternalProcessorFilter, ExternalProcessorFilterSpec, HeaderSendMode, MutationRules,
    ProcessingMode,
};
pub use fault_filter::{FaultAbort, FaultDelay, FaultError, FaultFilter, FaultFilterSpec};
pub use health_check_policy::{
    GrpcHealthCheck, HealthCheckPolicy, HealthCheckPolicySpec, HealthProbe, HttpHealthCheck, StatusRange,
    TcpHealthCheck,
};
pub use rate_limit_policy::{
    CountedBy, DescriptorAttribute, DescriptorEntry, DescriptorSource, FailureMode, GlobalDescriptor,
    GlobalLimit, GlobalRateLimit, LimitUnit, LocalLimit, LocalRateLimit, RateLimitBackend, RateLimitPolicy,
    RateLimitPolicySpec, TextMatch,
};
pub use session_policy::{
    SessionCarrier, SessionCookieSpec, SessionHeader, SessionPolicy, SessionPolicySpec,
};
