//! An authorization policy on the wire: `lateen.l7.v1.Authorization`.

mod external;
mod values;

use mesh_proto::lateen::l7::v1 as pb;

use super::{Action, Authorization, Condition, IpAttribute, Operation, Rule, Source, TextAttribute};
use crate::invalid::{FieldProblem, InField, Problem};
use crate::l7::wire::{Wire, check, list, list_to_wire, or_default, required, unless_default};

impl Wire for Authorization {
    type Message = pb::Authorization;

    fn from_wire(m: &pb::Authorization) -> Result<Self, FieldProblem> {
        Ok(Self {
            action: action(m)?,
            rules: list("rules", &m.rules)?,
            dry_run: m.dry_run,
        })
    }

    fn to_wire(&self) -> pb::Authorization {
        use pb::authorization::Action as Message;
        let action = match &self.action {
            Action::Allow => Message::Allow(pb::Empty {}),
            Action::Deny => Message::Deny(pb::Empty {}),
            Action::Audit => Message::Audit(pb::Empty {}),
            Action::External(auth) => Message::External(auth.to_wire()),
            Action::ExternalUnknown(provider) => Message::ExternalUnknown(provider.to_string()),
        };
        pb::Authorization {
            action: Some(action),
            rules: list_to_wire(&self.rules),
            dry_run: self.dry_run,
        }
    }
}

fn action(m: &pb::Authorization) -> Result<Action, FieldProblem> {
    use pb::authorization::Action as Message;
    Ok(match m.action.as_ref().ok_or(Problem::Missing).field("action")? {
        Message::Allow(pb::Empty {}) => Action::Allow,
        Message::Deny(pb::Empty {}) => Action::Deny,
        Message::Audit(pb::Empty {}) => Action::Audit,
        Message::External(m) => Action::External(Box::new(Wire::from_wire(m).field("external")?)),
        Message::ExternalUnknown(provider) => Action::ExternalUnknown(provider.into()),
    })
}

impl Wire for Rule {
    type Message = pb::AuthorizationRule;

    fn from_wire(m: &pb::AuthorizationRule) -> Result<Self, FieldProblem> {
        Ok(Self {
            from: list("from", &m.from)?,
            to: list("to", &m.to)?,
            when: list("when", &m.when)?,
        })
    }

    fn to_wire(&self) -> pb::AuthorizationRule {
        pb::AuthorizationRule {
            from: list_to_wire(&self.from),
            to: list_to_wire(&self.to),
            when: list_to_wire(&self.when),
        }
    }
}

impl Wire for Source {
    type Message = pb::Source;

    fn from_wire(m: &pb::Source) -> Result<Self, FieldProblem> {
        Ok(Self {
            principals: or_default("principals", m.principals.as_ref())?,
            request_principals: or_default("request_principals", m.request_principals.as_ref())?,
            namespaces: or_default("namespaces", m.namespaces.as_ref())?,
            service_accounts: or_default("service_accounts", m.service_accounts.as_ref())?,
            trust_domains: or_default("trust_domains", m.trust_domains.as_ref())?,
            ips: or_default("ips", m.ips.as_ref())?,
            remote_ips: or_default("remote_ips", m.remote_ips.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::Source {
        pb::Source {
            principals: unless_default(&self.principals),
            request_principals: unless_default(&self.request_principals),
            namespaces: unless_default(&self.namespaces),
            service_accounts: unless_default(&self.service_accounts),
            trust_domains: unless_default(&self.trust_domains),
            ips: unless_default(&self.ips),
            remote_ips: unless_default(&self.remote_ips),
        }
    }
}

impl Wire for Operation {
    type Message = pb::Operation;

    fn from_wire(m: &pb::Operation) -> Result<Self, FieldProblem> {
        Ok(Self {
            hosts: or_default("hosts", m.hosts.as_ref())?,
            ports: or_default("ports", m.ports.as_ref())?,
            methods: or_default("methods", m.methods.as_ref())?,
            paths: or_default("paths", m.paths.as_ref())?,
        })
    }

    fn to_wire(&self) -> pb::Operation {
        pb::Operation {
            hosts: unless_default(&self.hosts),
            ports: unless_default(&self.ports),
            methods: unless_default(&self.methods),
            paths: unless_default(&self.paths),
        }
    }
}

impl Wire for Condition {
    type Message = pb::Condition;

    fn from_wire(m: &pb::Condition) -> Result<Self, FieldProblem> {
        use pb::condition::Condition as Message;
        match m.condition.as_ref().ok_or(Problem::Missing).field("condition")? {
            Message::Text(m) => Ok(Self::Text(
                required("attribute", m.attribute.as_ref()).field("text")?,
                or_default("values", m.values.as_ref()).field("text")?,
            )),
            Message::Ip(m) => Ok(Self::Ip(
                ip_attribute(m.attribute).field("ip.attribute")?,
                or_default("values", m.values.as_ref()).field("ip")?,
            )),
            Message::DestinationPort(m) => Wire::from_wire(m)
                .map(Self::DestinationPort)
                .field("destination_port"),
            Message::Unknown(key) => Ok(Self::Unknown(key.into())),
        }
    }

    fn to_wire(&self) -> pb::Condition {
        use pb::condition::Condition as Message;
        let condition = match self {
            Self::Text(attribute, values) => Message::Text(pb::TextCondition {
                attribute: Some(attribute.to_wire()),
                values: unless_default(values),
            }),
            Self::Ip(attribute, values) => Message::Ip(pb::IpCondition {
                attribute: ip_attribute_to_wire(*attribute).into(),
                values: unless_default(values),
            }),
            Self::DestinationPort(values) => Message::DestinationPort(values.to_wire()),
            Self::Unknown(key) => Message::Unknown(key.to_string()),
        };
        pb::Condition {
            condition: Some(condition),
        }
    }
}

impl Wire for TextAttribute {
    type Message = pb::TextAttribute;

    fn from_wire(m: &pb::TextAttribute) -> Result<Self, FieldProblem> {
        use pb::text_attribute::Attribute;
        match m.attribute.as_ref().ok_or(Problem::Missing).field("attribute")? {
            Attribute::Named(named) => named_attribute(*named).field("named"),
            Attribute::RequestHeader(name) => check::header(name)
                .map(Self::RequestHeader)
                .field("request_header"),
            Attribute::Claim(m) => Wire::from_wire(m).map(Self::Claim).field("claim"),
            Attribute::ExternalAuth(name) if name.is_empty() => Err(Problem::Missing).field("external_auth"),
            Attribute::ExternalAuth(name) => Ok(Self::ExternalAuth(name.into())),
        }
    }

    fn to_wire(&self) -> pb::TextAttribute {
        use pb::text_attribute::Attribute;
        let named = |named: pb::NamedAttribute| Attribute::Named(named.into());
        let attribute = match self {
            Self::RequestHeader(name) => Attribute::RequestHeader(name.to_string()),
            Self::SourceNamespace => named(pb::NamedAttribute::SourceNamespace),
            Self::SourceServiceAccount => named(pb::NamedAttribute::SourceServiceAccount),
            Self::SourcePrincipal => named(pb::NamedAttribute::SourcePrincipal),
            Self::SourceTrustDomain => named(pb::NamedAttribute::SourceTrustDomain),
            Self::RequestPrincipal => named(pb::NamedAttribute::RequestPrincipal),
            Self::Audiences => named(pb::NamedAttribute::Audiences),
            Self::Presenter => named(pb::NamedAttribute::Presenter),
            Self::Claim(path) => Attribute::Claim(path.to_wire()),
            Self::ServerName => named(pb::NamedAttribute::ServerName),
            Self::ExternalAuth(name) => Attribute::ExternalAuth(name.to_string()),
        };
        pb::TextAttribute {
            attribute: Some(attribute),
        }
    }
}

fn named_attribute(named: i32) -> Result<TextAttribute, Problem> {
    match pb::NamedAttribute::try_from(named) {
        Ok(pb::NamedAttribute::SourceNamespace) => Ok(TextAttribute::SourceNamespace),
        Ok(pb::NamedAttribute::SourceServiceAccount) => Ok(TextAttribute::SourceServiceAccount),
        Ok(pb::NamedAttribute::SourcePrincipal) => Ok(TextAttribute::SourcePrincipal),
        Ok(pb::NamedAttribute::SourceTrustDomain) => Ok(TextAttribute::SourceTrustDomain),
        Ok(pb::NamedAttribute::RequestPrincipal) => Ok(TextAttribute::RequestPrincipal),
        Ok(pb::NamedAttribute::Audiences) => Ok(TextAttribute::Audiences),
        Ok(pb::NamedAttribute::Presenter) => Ok(TextAttribute::Presenter),
        Ok(pb::NamedAttribute::ServerName) => Ok(TextAttribute::ServerName),
        Ok(pb::NamedAttribute::Unspecified) | Err(_) => Err(Problem::UnknownValue(named)),
    }
}

fn ip_attribute(attribute: i32) -> Result<IpAttribute, Problem> {
    match pb::IpAttribute::try_from(attribute) {
        Ok(pb::IpAttribute::Source) => Ok(IpAttribute::Source),
        Ok(pb::IpAttribute::Remote) => Ok(IpAttribute::Remote),
        Ok(pb::IpAttribute::Destination) => Ok(IpAttribute::Destination),
        Ok(pb::IpAttribute::Unspecified) | Err(_) => Err(Problem::UnknownValue(attribute)),
    }
}

fn ip_attribute_to_wire(attribute: IpAttribute) -> pb::IpAttribute {
    match attribute {
        IpAttribute::Source => pb::IpAttribute::Source,
        IpAttribute::Remote => pb::IpAttribute::Remote,
        IpAttribute::Destination => pb::IpAttribute::Destination,
    }
}
