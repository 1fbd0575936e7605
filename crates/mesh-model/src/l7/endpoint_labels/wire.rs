//! Labels on the wire: `lateen.l7.v1.EndpointLabels`.

use bytes::Bytes;
use mesh_proto::lateen::l7::v1 as pb;
use mesh_types::{Strng, WorkloadUid};

use super::EndpointLabels;
use crate::invalid::{FieldProblem, InField, InvalidResource, ResourceKind};
use crate::l7::wire::{Resource, Wire, check, decode_resource, encode_resource};

impl EndpointLabels {
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

impl Resource for EndpointLabels {
    const KIND: ResourceKind = ResourceKind::EndpointLabels;

    fn own_name(&self) -> Strng {
        self.workload.as_str().into()
    }
}

impl Wire for EndpointLabels {
    type Message = pb::EndpointLabels;

    fn from_wire(m: &pb::EndpointLabels) -> Result<Self, FieldProblem> {
        let uid = check::text(&m.workload_uid).field("workload_uid")?;
        let labels = m.labels.iter().map(|(name, value)| {
            let name = check::text(name).field("labels")?;
            Ok((name, value.as_str().into()))
        });
        Ok(Self {
            workload: WorkloadUid::new(uid),
            labels: labels.collect::<Result<_, FieldProblem>>()?,
        })
    }

    fn to_wire(&self) -> pb::EndpointLabels {
        let labels = self.labels.iter();
        pb::EndpointLabels {
            workload_uid: self.workload.to_string(),
            labels: labels.map(|(n, v)| (n.to_string(), v.to_string())).collect(),
        }
    }
}
