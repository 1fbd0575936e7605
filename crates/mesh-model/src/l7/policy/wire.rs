//! A policy on the wire: `lateen.l7.v1.Policy`.

use bytes::Bytes;
use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::Strng;
use prost::Message as _;

use super::{PathNormalization, Policy, PolicyKind, Target, Unusable};
use crate::invalid::{FieldProblem, InField, InvalidResource, Problem, ResourceKind};
use crate::l7::wire::{
    Resource, Wire, check, decode_resource, encode_resource, list, list_to_wire, required,
};
use crate::l7::{Created, ObjectRef};

impl Policy {
    /// Reads a resource as it came over xDS.
    ///
    /// # Errors
    /// Names the resource and the field.
    pub fn decode(name: &str, body: Bytes) -> Result<Self, InvalidResource> {
        decode_resource(name, body)
    }

    /// Of a resource that was refused what is known all the same: whose it is and what it is attached to. In force while
    /// there is nothing better, it keeps closed what the policy was to protect; absent when not even that is known.
    #[must_use]
    pub fn unusable(name: &str, body: Bytes, reason: &str) -> Option<Self> {
        let message = pb::Policy::decode(body).ok()?;
        let object: ObjectRef = required("object", message.object.as_ref()).ok()?;
        let part = Strng::from(message.part);
        let label = name.strip_prefix(&format!("{object}/"))?;
        let label = match part.as_str() {
            "" => label,
            part => label.strip_suffix(part)?.strip_suffix('/')?,
        };
        let targets = message.targets.iter();
        let targets: Vec<_> = targets.filter_map(|m| Target::from_wire(m).ok()).collect();
        let kind = PolicyKind::Unusable(Unusable {
            label: label.into(),
            reason: reason.into(),
        });
        (!targets.is_empty()).then_some(Self {
            object,
            targets,
            part,
            created: Created::from_wire(message.created_seconds),
            kind,
        })
    }

    /// The body of the resource.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_resource(self)
    }
}

impl Resource for Policy {
    const KIND: ResourceKind = ResourceKind::Policy;

    fn own_name(&self) -> Strng {
        self.key()
    }
}

impl Wire for Policy {
    type Message = pb::Policy;

    fn from_wire(m: &pb::Policy) -> Result<Self, FieldProblem> {
        let kind = m.kind.as_ref().ok_or(Problem::Missing).field("kind")?;
        Ok(Self {
            object: required("object", m.object.as_ref())?,
            targets: list("targets", &m.targets)?,
            part: m.part.as_str().into(),
            created: Created::from_wire(m.created_seconds),
            kind: PolicyKind::from_wire(kind)?,
        })
    }

    fn to_wire(&self) -> pb::Policy {
        pb::Policy {
            object: Some(self.object.to_wire()),
            targets: list_to_wire(&self.targets),
            part: self.part.to_string(),
            created_seconds: self.created.seconds(),
            kind: self.kind.known_to_wire(),
        }
    }
}

impl PolicyKind {
    fn from_wire(m: &pb::policy::Kind) -> Result<Self, FieldProblem> {
        use pb::policy::Kind;
        match m {
            Kind::Authorization(m) => Wire::from_wire(m).map(Self::Authorization).field("authorization"),
            Kind::Authentication(m) => Wire::from_wire(m)
                .map(Self::Authentication)
                .field("authentication"),
            Kind::Traffic(m) => Wire::from_wire(m)
                .map(|rules| Self::Traffic(Box::new(rules)))
                .field("traffic"),
            Kind::BackendTls(m) => Wire::from_wire(m).map(Self::BackendTls).field("backend_tls"),
            Kind::RateLimit(m) => Wire::from_wire(m).map(Self::RateLimit).field("rate_limit"),
            Kind::HealthCheck(m) => Wire::from_wire(m).map(Self::HealthCheck).field("health_check"),
            Kind::Session(m) => Wire::from_wire(m).map(Self::Session).field("session"),
            Kind::Retry(m) => Wire::from_wire(m).map(Self::Retry).field("retry"),
            Kind::RetryBudget(m) => Wire::from_wire(m).map(Self::RetryBudget).field("retry_budget"),
            Kind::Fault(m) => Wire::from_wire(m).map(Self::Fault).field("fault"),
            Kind::AccessLogging(m) => Wire::from_wire(m)
                .map(Self::AccessLogging)
                .field("access_logging"),
            Kind::Metrics(m) => Wire::from_wire(m).map(Self::Metrics).field("metrics"),
            Kind::Tracing(m) => Wire::from_wire(m).map(Self::Tracing).field("tracing"),
            Kind::PathNormalization(value) => path_normalization(*value)
                .map(Self::PathNormalization)
                .field("path_normalization"),
            Kind::ForwardClientIdentity(on) => Ok(Self::ForwardClientIdentity(*on)),
            Kind::TrustedProxies(count) => Ok(Self::TrustedProxies(*count)),
        }
    }

    /// What was not understood cannot be said.
    fn known_to_wire(&self) -> Option<pb::policy::Kind> {
        use pb::policy::Kind;
        Some(match self {
            Self::Authorization(policy) => Kind::Authorization(policy.to_wire()),
            Self::Authentication(policy) => Kind::Authentication(policy.to_wire()),
            Self::Traffic(rules) => Kind::Traffic(rules.to_wire()),
            Self::BackendTls(tls) => Kind::BackendTls(tls.to_wire()),
            Self::RateLimit(limit) => Kind::RateLimit(limit.to_wire()),
            Self::HealthCheck(check) => Kind::HealthCheck(check.to_wire()),
            Self::Session(session) => Kind::Session(session.to_wire()),
            Self::Retry(retry) => Kind::Retry(retry.to_wire()),
            Self::RetryBudget(budget) => Kind::RetryBudget(budget.to_wire()),
            Self::Fault(fault) => Kind::Fault(fault.to_wire()),
            Self::AccessLogging(logging) => Kind::AccessLogging(logging.to_wire()),
            Self::Metrics(metrics) => Kind::Metrics(metrics.to_wire()),
            Self::Tracing(tracing) => Kind::Tracing(tracing.to_wire()),
            Self::PathNormalization(how) => Kind::PathNormalization(path_normalization_to_wire(*how).into()),
            Self::ForwardClientIdentity(on) => Kind::ForwardClientIdentity(*on),
            Self::TrustedProxies(count) => Kind::TrustedProxies(*count),
            Self::Unusable(_) => return None,
        })
    }
}

fn path_normalization(value: i32) -> Result<PathNormalization, Problem> {
    match pb::PathNormalization::try_from(value) {
        Ok(pb::PathNormalization::None) => Ok(PathNormalization::None),
        Ok(pb::PathNormalization::Base) => Ok(PathNormalization::Base),
        Ok(pb::PathNormalization::MergeSlashes) => Ok(PathNormalization::MergeSlashes),
        Ok(pb::PathNormalization::DecodeAndMergeSlashes) => Ok(PathNormalization::DecodeAndMergeSlashes),
        Ok(pb::PathNormalization::Unspecified) | Err(_) => Err(Problem::UnknownValue(value)),
    }
}

fn path_normalization_to_wire(how: PathNormalization) -> pb::PathNormalization {
    match how {
        PathNormalization::None => pb::PathNormalization::None,
        PathNormalization::Base => pb::PathNormalization::Base,
        PathNormalization::MergeSlashes => pb::PathNormalization::MergeSlashes,
        PathNormalization::DecodeAndMergeSlashes => pb::PathNormalization::DecodeAndMergeSlashes,
    }
}

impl Wire for Target {
    type Message = pb::Target;

    fn from_wire(m: &pb::Target) -> Result<Self, FieldProblem> {
        use pb::target::Target as Message;
        match m.target.as_ref().ok_or(Problem::Missing).field("target")? {
            Message::Mesh(pb::Empty {}) => Ok(Self::Mesh),
            Message::Namespace(name) => check::name(name).map(Self::Namespace).field("namespace"),
            Message::Gateway(m) => Wire::from_wire(m).map(Self::Gateway).field("gateway"),
            Message::Listener(m) => Ok(Self::Listener(
                required("gateway", m.gateway.as_ref()).field("listener")?,
                check::name(&m.listener).field("listener.listener")?,
            )),
            Message::Service(m) => Wire::from_wire(m).map(Self::Service).field("service"),
            Message::ServicePort(m) => Wire::from_wire(m).map(Self::ServicePort).field("service_port"),
            Message::Backend(name) => check::text(name).map(Self::Backend).field("backend"),
            Message::Route(m) => Wire::from_wire(m).map(Self::Route).field("route"),
            Message::RouteRule(m) => Ok(Self::RouteRule(
                required("route", m.route.as_ref()).field("route_rule")?,
                check::text(&m.rule).field("route_rule.rule")?,
            )),
        }
    }

    fn to_wire(&self) -> pb::Target {
        use pb::target::Target as Message;
        let target = match self {
            Self::Mesh => Message::Mesh(pb::Empty {}),
            Self::Namespace(name) => Message::Namespace(name.to_string()),
            Self::Gateway(gateway) => Message::Gateway(gateway.to_wire()),
            Self::Listener(gateway, listener) => Message::Listener(pb::ListenerTarget {
                gateway: Some(gateway.to_wire()),
                listener: listener.to_string(),
            }),
            Self::Service(service) => Message::Service(service.to_wire()),
            Self::ServicePort(port) => Message::ServicePort(port.to_wire()),
            Self::Backend(name) => Message::Backend(name.to_string()),
            Self::Route(route) => Message::Route(route.to_wire()),
            Self::RouteRule(route, rule) => Message::RouteRule(pb::RouteRuleTarget {
                route: Some(route.to_wire()),
                rule: rule.to_string(),
            }),
        };
        pb::Target { target: Some(target) }
    }
}
