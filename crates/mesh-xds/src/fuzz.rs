//! Fuzz target: whatever arrives, the sessions answer or refuse, and never panic. The input is a series of messages,
//! each preceded by its length in two bytes; the same series is given to both ends.

use mesh_proto::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest,
};
use mesh_proto::google::protobuf::Any;
use prost::Message;

use crate::client::{ClientConfig, ClientSession, Received};
use crate::node::NodeInfo;
use crate::resource::{Rejected, TypeUrl};
use crate::server::debug::Session as DebugSession;
use crate::server::debug::wire::{ClientStanding, TYPE};
use crate::server::{Change, ResourceCache, ServerSession};

/// All sessions against arbitrary messages.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let messages = split(data);
    server(&messages);
    client(&messages);
    debug(&messages);
}

fn debug(messages: &[&[u8]]) {
    let mut session = DebugSession::default();
    for message in messages {
        if let Ok(request) = DiscoveryRequest::decode(*message) {
            let _ = session.receive(&request);
        }
        let resource = Any {
            type_url: TYPE.to_owned(),
            value: message.to_vec().into(),
        };
        if let Ok(standing) = ClientStanding::from_any(&resource) {
            let again = ClientStanding::from_any(&standing.to_any());
            assert_eq!(
                again,
                Ok(standing),
                "what was understood goes onto the wire and comes back"
            );
        }
    }
}

fn server(messages: &[&[u8]]) {
    let cache = ResourceCache::new(&TypeUrl::IN_ORDER);
    cache.publish(vec![
        Change::upsert(TypeUrl::ADDRESS, "a", "1"),
        Change::upsert(TypeUrl::AUTHORIZATION, "p", "1"),
    ]);
    let mut session = ServerSession::new(cache.clone());
    for (round, message) in messages.iter().enumerate() {
        let Ok(request) = DeltaDiscoveryRequest::decode(*message) else {
            return;
        };
        if session.receive(request).is_err() {
            return;
        }
        let body = round.to_le_bytes().to_vec();
        cache.publish(vec![
            Change::upsert(TypeUrl::ADDRESS, "a", body),
            Change::remove(TypeUrl::AUTHORIZATION, "p"),
            Change::upsert(TypeUrl::ROUTE, "r", "1").for_gateways([format!("ns/{}", round % 2)]),
        ]);
        while let Ok(Some(push)) = session.next_push() {
            push.decode().expect("a push of ours decodes");
            push.into_chunks().for_each(drop);
        }
        let _ = session.status();
    }
}

fn client(messages: &[&[u8]]) {
    let mut session = ClientSession::new(&ClientConfig {
        node: NodeInfo::ztunnel(None, "z", "ns", "n"),
        types: vec![TypeUrl::AUTHORIZATION, TypeUrl::ADDRESS],
    });
    for message in messages {
        let Ok(response) = DeltaDiscoveryResponse::decode(*message) else {
            return;
        };
        let Received::Apply(batch, pending) = session.receive(response) else {
            continue;
        };
        // Every second resource is refused.
        let refused = batch.resources.iter().step_by(2).map(|r| Rejected {
            name: r.name.clone(),
            reason: "no".to_owned(),
        });
        let refused: Vec<_> = refused.collect();
        let outcome = if refused.is_empty() { Ok(()) } else { Err(refused) };
        let _ = session.answer(pending, outcome);
        let _ = session.open();
    }
}

fn split(mut data: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        messages.push(message);
        data = rest;
    }
    messages
}

#[cfg(test)]
mod tests;
