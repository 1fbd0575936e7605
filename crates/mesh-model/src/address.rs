//! "A workload or a service": the resource that travels over xDS (`istio.workload.Address`).

use bytes::Bytes;
use mesh_proto::istio::workload as pb;
use mesh_types::Strng;
use prost::Message;

use crate::invalid::{misnamed, unreadable};
use crate::{InvalidResource, Problem, ResourceKind, Service, Workload};

/// A workload or a service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives only between the wire and the state, where each goes behind an Arc"
)]
pub enum Address {
    /// A workload.
    Workload(Workload),
    /// A service.
    Service(Service),
}

impl Address {
    /// Its name as in xDS: the uid of a workload, `<namespace>/<hostname>` of a service.
    #[must_use]
    pub fn name(&self) -> Strng {
        match self {
            Self::Workload(workload) => Strng::from(workload.uid.as_str()),
            Self::Service(service) => Strng::from(service.hostname.to_string()),
        }
    }
}

impl Address {
    /// Reads a resource as it came over xDS.
    ///
    /// # Errors
    /// Names the resource and the field; a resource that goes by another name than its content says is refused, as it
    /// could never be removed.
    pub fn decode(name: &str, body: Bytes) -> Result<Self, InvalidResource> {
        let message = pb::Address::decode(body).map_err(|e| unreadable(ResourceKind::Address, name, &e))?;
        let address = Self::try_from(message).map_err(|e| e.called(name))?;
        match address.name() == *name {
            true => Ok(address),
            false => Err(misnamed(ResourceKind::Address, name, &address.name())),
        }
    }

    /// The body of the resource.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        pb::Address::from(self).encode_to_vec().into()
    }
}

impl TryFrom<pb::Address> for Address {
    type Error = InvalidResource;

    fn try_from(address: pb::Address) -> Result<Self, Self::Error> {
        match address.r#type {
            Some(pb::address::Type::Workload(workload)) => workload.try_into().map(Self::Workload),
            Some(pb::address::Type::Service(service)) => service.try_into().map(Self::Service),
            None => Err(InvalidResource {
                kind: ResourceKind::Address,
                name: String::new(),
                field: "type".to_owned(),
                problem: Problem::Missing,
            }),
        }
    }
}

impl From<&Address> for pb::Address {
    fn from(address: &Address) -> Self {
        let content = match address {
            Address::Workload(workload) => pb::address::Type::Workload(workload.into()),
            Address::Service(service) => pb::address::Type::Service(service.into()),
        };
        Self {
            r#type: Some(content),
        }
    }
}

#[cfg(test)]
mod tests;
