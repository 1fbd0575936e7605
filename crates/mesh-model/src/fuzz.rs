//! One fuzz target for every decoder: whatever the bytes, the answer is a value or a named error, and a value survives
//! its own encoding. Corpus in `fuzz/corpus/<target>/`.

pub mod l7;

use bytes::Bytes;
use mesh_proto::istio::{security, workload as pb};
use prost::Message;

use crate::l7::wire::{Resource, decode_resource, encode_resource};
use crate::l7::{Backend, Bind, EndpointLabels, Policy, Quota, Route};
use crate::{Address, Authorization, Problem, Service, Workload};

/// `istio.workload.Workload`.
pub fn workload(data: &[u8]) {
    let message = pb::Workload::decode(data).ok();
    let Some(Ok(first)) = message.map(Workload::try_from) else {
        return;
    };
    let again = Workload::try_from(pb::Workload::from(&first));
    assert_eq!(again.as_ref(), Ok(&first));
}

/// `istio.workload.Service`.
pub fn service(data: &[u8]) {
    let message = pb::Service::decode(data).ok();
    let Some(Ok(first)) = message.map(Service::try_from) else {
        return;
    };
    let again = Service::try_from(pb::Service::from(&first));
    assert_eq!(again.as_ref(), Ok(&first));
}

/// `istio.workload.Address`, as a resource.
pub fn address(data: &[u8]) {
    let message = pb::Address::decode(data).ok();
    let Some(Ok(first)) = message.map(Address::try_from) else {
        return;
    };
    let again = Address::decode(&first.name(), first.encode());
    assert_eq!(again.as_ref(), Ok(&first));
}

/// `istio.security.Authorization`, as a resource.
pub fn authorization(data: &[u8]) {
    let message = security::Authorization::decode(data).ok();
    let Some(Ok(first)) = message.map(Authorization::try_from) else {
        return;
    };
    let name = first.name.to_string();
    let again = Authorization::decode(&name, first.encode());
    assert_eq!(again.as_ref(), Ok(&first));
    let body = Bytes::copy_from_slice(data);
    assert_eq!(Authorization::decode(&name, body).as_ref(), Ok(&first));
}

/// `lateen.l7.v1.Bind`, as a resource.
pub fn bind(data: &[u8]) {
    resource::<Bind>(data);
}

/// `lateen.l7.v1.Route`, as a resource.
pub fn route(data: &[u8]) {
    resource::<Route>(data);
}

/// `lateen.l7.v1.Backend`, as a resource.
pub fn backend(data: &[u8]) {
    resource::<Backend>(data);
}

/// `lateen.l7.v1.Policy`, as a resource.
pub fn policy(data: &[u8]) {
    resource::<Policy>(data);
}

/// `lateen.l7.v1.EndpointLabels`, as a resource.
pub fn endpoint_labels(data: &[u8]) {
    resource::<EndpointLabels>(data);
}

/// `lateen.l7.v1.Quota`, as a resource.
pub fn quota(data: &[u8]) {
    resource::<Quota>(data);
}

fn resource<T: Resource + PartialEq + std::fmt::Debug>(data: &[u8]) {
    let message = T::Message::decode(data).ok();
    let Some(Ok(first)) = message.as_ref().map(T::from_wire) else {
        return;
    };
    let (name, body) = (first.own_name(), encode_resource(&first));
    assert_eq!(decode_resource(&name, body).as_ref(), Ok(&first));
    match decode_resource::<T>(&name, Bytes::copy_from_slice(data)) {
        Ok(same) => assert_eq!(same, first),
        // The bytes were no canonical encoding.
        Err(refused) => assert_eq!(refused.problem, Problem::NotUnderstood),
    }
}

#[cfg(test)]
mod tests;
