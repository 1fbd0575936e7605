//! Quotas on the wire: `lateen.l7.v1.Quota`.

use std::collections::BTreeSet;

use bytes::Bytes;
use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::{NamespacedName, Strng};

use super::{Quota, QuotaLimit, QuotaUnit};
use crate::invalid::{FieldProblem, InField, InvalidResource, Problem, ResourceKind, items};
use crate::l7::wire::{Resource, Wire, check, decode_resource, encode_resource, list, list_to_wire, strings};

impl Quota {
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

impl Resource for Quota {
    const KIND: ResourceKind = ResourceKind::Quota;

    fn own_name(&self) -> Strng {
        self.domain.clone()
    }
}

impl Wire for Quota {
    type Message = pb::Quota;

    fn from_wire(m: &pb::Quota) -> Result<Self, FieldProblem> {
        let limits: Vec<QuotaLimit> = list("limits", &m.limits)?;
        let names: BTreeSet<_> = limits.iter().map(|limit| &limit.name).collect();
        if names.len() != limits.len() {
            return Err(Problem::NotUnderstood).field("limits");
        }
        let caller = |m: &pb::QuotaCaller| {
            Ok::<_, FieldProblem>(NamespacedName::new(
                check::text(&m.namespace).field("namespace")?,
                check::text(&m.service_account).field("service_account")?,
            ))
        };
        let callers = check::some("callers", items("callers", &m.callers, caller)?)?;
        Ok(Self {
            domain: check::text(&m.domain).field("domain")?,
            limits,
            callers: callers.into_iter().collect(),
        })
    }

    fn to_wire(&self) -> pb::Quota {
        let caller = |caller: &NamespacedName| pb::QuotaCaller {
            namespace: caller.namespace.to_string(),
            service_account: caller.name.to_string(),
        };
        pb::Quota {
            domain: self.domain.to_string(),
            limits: list_to_wire(&self.limits),
            callers: self.callers.iter().map(caller).collect(),
        }
    }
}

impl Wire for QuotaLimit {
    type Message = pb::QuotaLimit;

    fn from_wire(m: &pb::QuotaLimit) -> Result<Self, FieldProblem> {
        Ok(Self {
            name: check::text(&m.name).field("name")?,
            keys: items("keys", &m.keys, |key| check::text(key))?,
            requests: check::not_zero(m.requests).field("requests")?,
            unit: unit(m.unit).field("unit")?,
        })
    }

    fn to_wire(&self) -> pb::QuotaLimit {
        pb::QuotaLimit {
            name: self.name.to_string(),
            keys: strings(&self.keys),
            requests: self.requests,
            unit: unit_to_wire(self.unit).into(),
        }
    }
}

fn unit(value: i32) -> Result<QuotaUnit, Problem> {
    match pb::QuotaUnit::try_from(value) {
        Ok(pb::QuotaUnit::Second) => Ok(QuotaUnit::Second),
        Ok(pb::QuotaUnit::Minute) => Ok(QuotaUnit::Minute),
        Ok(pb::QuotaUnit::Hour) => Ok(QuotaUnit::Hour),
        Ok(pb::QuotaUnit::Day) => Ok(QuotaUnit::Day),
        Ok(pb::QuotaUnit::Week) => Ok(QuotaUnit::Week),
        Ok(pb::QuotaUnit::Month) => Ok(QuotaUnit::Month),
        Ok(pb::QuotaUnit::Year) => Ok(QuotaUnit::Year),
        Ok(pb::QuotaUnit::Unspecified) | Err(_) => Err(Problem::UnknownValue(value)),
    }
}

fn unit_to_wire(unit: QuotaUnit) -> pb::QuotaUnit {
    match unit {
        QuotaUnit::Second => pb::QuotaUnit::Second,
        QuotaUnit::Minute => pb::QuotaUnit::Minute,
        QuotaUnit::Hour => pb::QuotaUnit::Hour,
        QuotaUnit::Day => pb::QuotaUnit::Day,
        QuotaUnit::Week => pb::QuotaUnit::Week,
        QuotaUnit::Month => pb::QuotaUnit::Month,
        QuotaUnit::Year => pb::QuotaUnit::Year,
    }
}
