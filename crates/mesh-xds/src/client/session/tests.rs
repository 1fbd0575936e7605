use bytes::Bytes;
use mesh_proto::google::protobuf::Any;

use super::*;

fn session() -> ClientSession {
    ClientSession::new(&ClientConfig {
        node: NodeInfo::ztunnel(None, "z", "istio-system", "n1"),
        types: vec![TypeUrl::AUTHORIZATION, TypeUrl::ADDRESS],
    })
}

fn resource(type_url: TypeUrl, name: &str, version: &str) -> wire::Resource {
    wire::Resource {
        name: name.to_owned(),
        version: version.to_owned(),
        resource: Some(Any {
            type_url: type_url.as_str().to_owned(),
            value: Bytes::from_static(b"body"),
        }),
        aliases: Vec::new(),
    }
}

fn response(type_url: TypeUrl, resources: &[(&str, &str)], removed: &[&str]) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        type_url: type_url.as_str().to_owned(),
        nonce: "n".to_owned(),
        resources: resources.iter().map(|(n, v)| resource(type_url, n, v)).collect(),
        removed_resources: removed.iter().map(|n| (*n).to_owned()).collect(),
        ..Default::default()
    }
}

fn apply(
    session: &mut ClientSession,
    response: DeltaDiscoveryResponse,
    bad: &[&str],
) -> DeltaDiscoveryRequest {
    let Received::Apply(_, pending) = session.receive(response) else {
        panic!("expected a batch");
    };
    let bad: Vec<_> = bad.iter().map(|n| reject(n, "bad")).collect();
    let outcome = if bad.is_empty() { Ok(()) } else { Err(bad) };
    session.answer(pending, outcome)
}

#[test]
fn the_first_requests_are_wildcards_that_name_what_is_held() {
    let mut session = session();
    let first = session.open();
    let urls: Vec<_> = first.iter().map(|r| r.type_url.as_str()).collect();
    assert_eq!(urls, [TypeUrl::AUTHORIZATION.as_str(), TypeUrl::ADDRESS.as_str()]);
    assert!(
        first
            .iter()
            .all(|r| r.node.is_some() && r.resource_names_subscribe.is_empty())
    );
    let _ = apply(
        &mut session,
        response(TypeUrl::ADDRESS, &[("a", "1"), ("b", "1")], &[]),
        &[],
    );
    let _ = apply(
        &mut session,
        response(TypeUrl::ADDRESS, &[("a", "2")], &["b"]),
        &[],
    );
    let held = &session.open()[1].initial_resource_versions;
    assert_eq!(
        held.iter().collect::<Vec<_>>(),
        [(&"a".to_owned(), &"2".to_owned())]
    );
}

#[test]
fn ready_when_each_type_was_accepted_once() {
    let mut session = session();
    let ack = apply(&mut session, response(TypeUrl::ADDRESS, &[], &[]), &[]);
    assert_eq!((ack.response_nonce.as_str(), ack.error_detail), ("n", None));
    assert!(!session.is_ready());
    let _ = apply(
        &mut session,
        response(TypeUrl::AUTHORIZATION, &[("p", "")], &[]),
        &["p"],
    );
    assert!(!session.is_ready());
    let _ = apply(
        &mut session,
        response(TypeUrl::AUTHORIZATION, &[("p", "")], &[]),
        &[],
    );
    assert!(session.is_ready());
}

#[test]
fn a_refused_update_is_named_and_asked_for_again() {
    let mut session = session();
    let _ = apply(&mut session, response(TypeUrl::ADDRESS, &[("a", "1")], &[]), &[]);
    let nack = apply(
        &mut session,
        response(TypeUrl::ADDRESS, &[("a", "2"), ("b", "1"), ("c", "1")], &[]),
        &["a", "b"],
    );
    let refused = nack.error_detail.unwrap();
    assert_eq!(refused.message, "a: bad; b: bad");
    assert_eq!(
        refusal::from_details(&refused.details),
        Some(vec!["a".to_owned(), "b".to_owned()])
    );
    // `a` is still held in its first version, so that its removal would not be missed; `b` never was.
    let held: Vec<_> = session.open()[1]
        .initial_resource_versions
        .clone()
        .into_iter()
        .collect();
    assert_eq!(
        held,
        [("a".to_owned(), "1".to_owned()), ("c".to_owned(), "1".to_owned())]
    );
    assert_eq!(session.status()[1].refused.as_deref(), Some("a: bad; b: bad"));
    let ack = apply(&mut session, response(TypeUrl::ADDRESS, &[("a", "3")], &[]), &[]);
    assert_eq!(ack.error_detail, None);
    assert_eq!(session.status()[1].refused, None);
}

#[test]
fn malformed_resources_are_refused_before_they_are_applied() {
    let mut session = session();
    let mut bad = response(
        TypeUrl::ADDRESS,
        &[("a", "1"), ("a", "1"), ("b", "1"), ("", "1"), ("c", "1")],
        &["b", "d"],
    );
    bad.resources[4].resource = None;
    bad.resources.push(resource(TypeUrl::AUTHORIZATION, "e", "1"));
    let Received::Apply(batch, pending) = session.receive(bad) else {
        panic!("expected a batch");
    };
    let names: Vec<_> = batch.resources.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(batch.removed, ["d"]);
    let message = session.answer(pending, Ok(())).error_detail.unwrap().message;
    assert_eq!(
        message,
        "a: the name stands twice; : name is empty; c: resource is missing; \
         e: resource.type_url is \"type.googleapis.com/istio.security.Authorization\"; b: it is both updated and removed"
    );
}

#[test]
fn a_type_that_nobody_asked_for_is_accepted_and_dropped() {
    let mut session = session();
    let unknown = DeltaDiscoveryResponse {
        type_url: "type.googleapis.com/x".to_owned(),
        nonce: "7".to_owned(),
        ..Default::default()
    };
    let Received::Answer(answer) = session.receive(unknown) else {
        panic!("nothing to apply");
    };
    assert_eq!(answer.response_nonce, "7");
    assert!(answer.error_detail.is_none());
}
