//! A route on the wire: `lateen.l7.v1.Route`.

mod matches;

use bytes::Bytes;
use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::Strng;

use super::{
    Destination, HttpAction, HttpBackend, HttpRule, Order, Route, RouteParent, Rules, TcpBackend, TcpRule,
    TlsRule,
};
use crate::invalid::{FieldProblem, InField, InvalidResource, Problem, ResourceKind};
use crate::l7::Created;
use crate::l7::wire::{
    Resource, Wire, check, decode_resource, encode_resource, list, list_to_wire, optional, or_default,
    required, string, strings, to_wire, unless_default,
};

impl Route {
    /// Reads a resource as it came over xDS.
    ///
    /// # Errors
    /// Names the resource and the field.
    pub fn decode(name: &str, body: Bytes) -> Result<Self, InvalidResource> {
        decode_resource(name, body)
    }

    /// The body of the resource.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        encode_resource(self)
    }
}

impl Resource for Route {
    const KIND: ResourceKind = ResourceKind::Route;

    fn own_name(&self) -> Strng {
        self.key()
    }
}

impl Wire for Route {
    type Message = pb::Route;

    fn from_wire(m: &pb::Route) -> Result<Self, FieldProblem> {
        let consumer = m.consumer_namespace.as_ref();
        Ok(Self {
            object: required("object", m.object.as_ref())?,
            part: check::name_or_empty(&m.part).field("part")?,
            parents: list("parents", &m.parents)?,
            created: Created::from_wire(m.created_seconds),
            consumer: check::maybe("consumer_namespace", consumer, check::name)?,
            hostnames: check::each("hostnames", &m.hostnames, check::host_pattern)?,
            rules: rules(m)?,
        })
    }

    fn to_wire(&self) -> pb::Route {
        use pb::route::Rules as Message;
        let rules = match &self.rules {
            Rules::Http { order, rules } => Message::Http(pb::HttpRules {
                order: order_to_wire(*order).into(),
                rules: list_to_wire(rules),
            }),
            Rules::Tls(rules) => Message::Tls(pb::TlsRules {
                rules: list_to_wire(rules),
            }),
            Rules::Tcp(rules) => Message::Tcp(pb::TcpRules {
                rules: list_to_wire(rules),
            }),
        };
        pb::Route {
            object: Some(self.object.to_wire()),
            part: self.part.to_string(),
            parents: list_to_wire(&self.parents),
            created_seconds: self.created.seconds(),
            consumer_namespace: string(self.consumer.as_ref()),
            hostnames: strings(&self.hostnames),
            rules: Some(rules),
        }
    }
}

fn rules(m: &pb::Route) -> Result<Rules, FieldProblem> {
    use pb::route::Rules as Message;
    match m.rules.as_ref().ok_or(Problem::Missing).field("rules")? {
        Message::Http(m) => Ok(Rules::Http {
            order: order(m.order).field("http.order")?,
            rules: list("rules", &m.rules).field("http")?,
        }),
        Message::Tls(m) => list("rules", &m.rules).map(Rules::Tls).field("tls"),
        Message::Tcp(m) => list("rules", &m.rules).map(Rules::Tcp).field("tcp"),
    }
}

fn order(order: i32) -> Result<Order, Problem> {
    match pb::Order::try_from(order) {
        Ok(pb::Order::Specificity) => Ok(Order::Specificity),
        Ok(pb::Order::Listed) => Ok(Order::Listed),
        Ok(pb::Order::Unspecified) | Err(_) => Err(Problem::UnknownValue(order)),
    }
}

fn order_to_wire(order: Order) -> pb::Order {
    match order {
        Order::Specificity => pb::Order::Specificity,
        Order::Listed => pb::Order::Listed,
    }
}

impl Wire for RouteParent {
    type Message = pb::RouteParent;

    fn from_wire(m: &pb::RouteParent) -> Result<Self, FieldProblem> {
        use pb::route_parent::Parent;
        match m.parent.as_ref().ok_or(Problem::Missing).field("parent")? {
            Parent::ServicePort(m) => Wire::from_wire(m).map(Self::ServicePort).field("service_port"),
            Parent::Service(m) => Wire::from_wire(m).map(Self::Service).field("service"),
            Parent::Bind(key) => check::text(key).map(Self::Bind).field("bind"),
        }
    }

    fn to_wire(&self) -> pb::RouteParent {
        use pb::route_parent::Parent;
        let parent = match self {
            Self::ServicePort(port) => Parent::ServicePort(port.to_wire()),
            Self::Service(service) => Parent::Service(service.to_wire()),
            Self::Bind(key) => Parent::Bind(key.to_string()),
        };
        pb::RouteParent { parent: Some(parent) }
    }
}

impl Wire for HttpRule {
    type Message = pb::HttpRule;

    fn from_wire(m: &pb::HttpRule) -> Result<Self, FieldProblem> {
        Ok(Self {
            name: check::maybe("name", m.name.as_ref(), check::text)?,
            matches: list("matches", &m.matches)?,
            filters: list("filters", &m.filters)?,
            action: action(m)?,
            timeouts: or_default("timeouts", m.timeouts.as_ref())?,
            retry: optional("retry", m.retry.as_ref())?,
            session: optional("session", m.session.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::HttpRule {
        use pb::http_rule::Action;
        let action = match &self.action {
            HttpAction::Forward(backends) => Action::Forward(pb::ForwardAction {
                backends: list_to_wire(backends),
            }),
            HttpAction::Redirect(redirect) => Action::Redirect(redirect.to_wire()),
            HttpAction::Respond(respond) => Action::Respond(respond.to_wire()),
        };
        pb::HttpRule {
            name: string(self.name.as_ref()),
            matches: list_to_wire(&self.matches),
            filters: list_to_wire(&self.filters),
            action: Some(action),
            timeouts: unless_default(&self.timeouts),
            retry: to_wire(self.retry.as_ref()),
            session: to_wire(self.session.as_ref()),
        }
    }
}

fn action(m: &pb::HttpRule) -> Result<HttpAction, FieldProblem> {
    use pb::http_rule::Action;
    match m.action.as_ref().ok_or(Problem::Missing).field("action")? {
        Action::Forward(m) => list("backends", &m.backends)
            .map(HttpAction::Forward)
            .field("forward"),
        Action::Redirect(m) => Wire::from_wire(m).map(HttpAction::Redirect).field("redirect"),
        Action::Respond(m) => Wire::from_wire(m).map(HttpAction::Respond).field("respond"),
    }
}

impl Wire for HttpBackend {
    type Message = pb::HttpBackend;

    fn from_wire(m: &pb::HttpBackend) -> Result<Self, FieldProblem> {
        Ok(Self {
            weight: check::weight(m.weight).field("weight")?,
            destination: required("destination", m.destination.as_ref())?,
            filters: list("filters", &m.filters)?,
        })
    }

    fn to_wire(&self) -> pb::HttpBackend {
        pb::HttpBackend {
            weight: self.weight,
            destination: Some(self.destination.to_wire()),
            filters: list_to_wire(&self.filters),
        }
    }
}

impl Wire for Destination {
    type Message = pb::Destination;

    fn from_wire(m: &pb::Destination) -> Result<Self, FieldProblem> {
        use pb::destination::Destination as Message;
        match m
            .destination
            .as_ref()
            .ok_or(Problem::Missing)
            .field("destination")?
        {
            Message::Service(m) => Ok(Self::Service {
                service: required("service", m.service.as_ref()).field("service")?,
                subset: check::maybe("subset", m.subset.as_ref(), check::text).field("service")?,
            }),
            Message::Backend(name) => check::text(name).map(Self::Backend).field("backend"),
            Message::Invalid(reason) => Ok(Self::Invalid(reason.into())),
        }
    }

    fn to_wire(&self) -> pb::Destination {
        use pb::destination::Destination as Message;
        let destination = match self {
            Self::Service { service, subset } => Message::Service(pb::ServiceDestination {
                service: Some(service.to_wire()),
                subset: string(subset.as_ref()),
            }),
            Self::Backend(name) => Message::Backend(name.to_string()),
            Self::Invalid(reason) => Message::Invalid(reason.to_string()),
        };
        pb::Destination {
            destination: Some(destination),
        }
    }
}

impl Wire for TlsRule {
    type Message = pb::TlsRule;

    fn from_wire(m: &pb::TlsRule) -> Result<Self, FieldProblem> {
        Ok(Self {
            name: check::maybe("name", m.name.as_ref(), check::text)?,
            server_names: check::each("server_names", &m.server_names, check::host_pattern)?,
            backends: list("backends", &m.backends)?,
        })
    }

    fn to_wire(&self) -> pb::TlsRule {
        pb::TlsRule {
            name: string(self.name.as_ref()),
            server_names: strings(&self.server_names),
            backends: list_to_wire(&self.backends),
        }
    }
}

impl Wire for TcpRule {
    type Message = pb::TcpRule;

    fn from_wire(m: &pb::TcpRule) -> Result<Self, FieldProblem> {
        Ok(Self {
            name: check::maybe("name", m.name.as_ref(), check::text)?,
            destinations: list("destinations", &m.destinations)?,
            backends: list("backends", &m.backends)?,
        })
    }

    fn to_wire(&self) -> pb::TcpRule {
        pb::TcpRule {
            name: string(self.name.as_ref()),
            destinations: list_to_wire(&self.destinations),
            backends: list_to_wire(&self.backends),
        }
    }
}

impl Wire for TcpBackend {
    type Message = pb::TcpBackend;

    fn from_wire(m: &pb::TcpBackend) -> Result<Self, FieldProblem> {
        Ok(Self {
            weight: check::weight(m.weight).field("weight")?,
            destination: required("destination", m.destination.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::TcpBackend {
        pb::TcpBackend {
            weight: self.weight,
            destination: Some(self.destination.to_wire()),
        }
    }
}
