//! A DestinationRule's content on the wire: `lateen.l7.v1.TrafficRules`.

mod balancer;
mod limits;

use mesh_proto::lateen::l7::v1 as pb;

use super::{ProxyProtocolVersion, Subset, TrafficRules, TrafficSettings};
use crate::invalid::{FieldProblem, InField, Problem};
use crate::l7::wire::{
    Wire, by_port, by_port_to_wire, check, list, list_to_wire, optional, or_default, to_wire, unless_default,
};

impl Wire for TrafficRules {
    type Message = pb::TrafficRules;

    fn from_wire(m: &pb::TrafficRules) -> Result<Self, FieldProblem> {
        Ok(Self {
            settings: or_default("settings", m.settings.as_ref())?,
            ports: by_port("ports", &m.ports)?,
            subsets: list("subsets", &m.subsets)?,
        })
    }

    fn to_wire(&self) -> pb::TrafficRules {
        pb::TrafficRules {
            settings: unless_default(&self.settings),
            ports: by_port_to_wire(&self.ports),
            subsets: list_to_wire(&self.subsets),
        }
    }
}

impl Wire for Subset {
    type Message = pb::Subset;

    fn from_wire(m: &pb::Subset) -> Result<Self, FieldProblem> {
        Ok(Self {
            name: check::text(&m.name).field("name")?,
            labels: list("labels", &m.labels)?,
            settings: or_default("settings", m.settings.as_ref())?,
            ports: by_port("ports", &m.ports)?,
        })
    }

    fn to_wire(&self) -> pb::Subset {
        pb::Subset {
            name: self.name.to_string(),
            labels: list_to_wire(&self.labels),
            settings: unless_default(&self.settings),
            ports: by_port_to_wire(&self.ports),
        }
    }
}

impl Wire for TrafficSettings {
    type Message = pb::TrafficSettings;

    fn from_wire(m: &pb::TrafficSettings) -> Result<Self, FieldProblem> {
        let proxy_protocol = m.proxy_protocol.map(proxy_protocol).transpose();
        Ok(Self {
            balancer: optional("balancer", m.balancer.as_ref())?,
            locality: optional("locality", m.locality.as_ref())?,
            warmup: optional("warmup", m.warmup.as_ref())?,
            limits: optional("limits", m.limits.as_ref())?,
            outliers: optional("outliers", m.outliers.as_ref())?,
            tls: optional("tls", m.tls.as_ref())?,
            retry_budget: optional("retry_budget", m.retry_budget.as_ref())?,
            proxy_protocol: proxy_protocol.field("proxy_protocol")?,
        })
    }

    fn to_wire(&self) -> pb::TrafficSettings {
        let version = |version| match version {
            ProxyProtocolVersion::V1 => pb::ProxyProtocolVersion::V1,
            ProxyProtocolVersion::V2 => pb::ProxyProtocolVersion::V2,
        };
        pb::TrafficSettings {
            balancer: to_wire(self.balancer.as_ref()),
            locality: to_wire(self.locality.as_ref()),
            warmup: to_wire(self.warmup.as_ref()),
            limits: to_wire(self.limits.as_ref()),
            outliers: to_wire(self.outliers.as_ref()),
            tls: to_wire(self.tls.as_ref()),
            retry_budget: to_wire(self.retry_budget.as_ref()),
            proxy_protocol: self.proxy_protocol.map(|v| version(v).into()),
        }
    }
}

fn proxy_protocol(version: i32) -> Result<ProxyProtocolVersion, Problem> {
    match pb::ProxyProtocolVersion::try_from(version) {
        Ok(pb::ProxyProtocolVersion::V1) => Ok(ProxyProtocolVersion::V1),
        Ok(pb::ProxyProtocolVersion::V2) => Ok(ProxyProtocolVersion::V2),
        Ok(pb::ProxyProtocolVersion::Unspecified) | Err(_) => Err(Problem::UnknownValue(version)),
    }
}
