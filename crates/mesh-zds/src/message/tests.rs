use super::*;

fn add(netns: u32) -> PodEvent<u32> {
    PodEvent::Add {
        uid: PodUid::new("6f6d0a5c"),
        info: PodInfo {
            name: "web-0".into(),
            namespace: "shop".into(),
            service_account: "web".into(),
        },
        netns,
    }
}

#[test]
fn every_request_survives_the_wire() {
    let uid = PodUid::new("6f6d0a5c");
    for (event, descriptor) in [
        (add(7), Some(7)),
        (PodEvent::Keep { uid: uid.clone() }, None),
        (PodEvent::Del { uid }, None),
        (PodEvent::SnapshotSent, None),
    ] {
        let bytes = event.encode().expect("fits");
        assert_eq!(PodEvent::decode(&bytes, descriptor), Ok(event));
    }
}

#[test]
fn the_bytes_are_upstreams() {
    // WorkloadRequest.del = 2, and DelWorkload.uid = 2, not 1.
    let del = PodEvent::<u32>::Del {
        uid: PodUid::new("ab"),
    };
    assert_eq!(del.encode().expect("fits"), [0x12, 4, 0x12, 2, b'a', b'b']);
    let keep = PodEvent::<u32>::Keep {
        uid: PodUid::new("ab"),
    };
    assert_eq!(keep.encode().expect("fits"), [0x2a, 4, 0x0a, 2, b'a', b'b']);
    assert_eq!(PodEvent::<u32>::SnapshotSent.encode().expect("fits"), [0x1a, 0]);
    assert_eq!(encode_hello(), [8, 1]);
    assert_eq!(encode_answer(&Ok(())), [0x0a, 0]);
    assert_eq!(
        add(1).encode().expect("fits"),
        b"\x0a\x1e\x0a\x086f6d0a5c\x12\x12\x0a\x05web-0\x12\x04shop\x1a\x03web"
    );
}

#[test]
fn a_descriptor_belongs_to_an_add_and_to_nothing_else() {
    let bytes = add(1).encode().expect("fits");
    assert_eq!(
        PodEvent::<u32>::decode(&bytes, None),
        Err(InvalidPacket::NoDescriptor)
    );
    let bytes = PodEvent::<u32>::SnapshotSent.encode().expect("fits");
    assert_eq!(
        PodEvent::decode(&bytes, Some(1)),
        Err(InvalidPacket::StrayDescriptor)
    );
}

#[test]
fn a_pod_without_a_name_is_refused_by_field() {
    let nameless = zds::WorkloadRequest {
        payload: Some(zds::workload_request::Payload::Add(zds::AddWorkload {
            uid: "u".to_owned(),
            workload_info: None,
        })),
    };
    let error = PodEvent::decode(&nameless.encode_to_vec(), Some(1)).expect_err("no info");
    assert_eq!(error, InvalidPacket::Missing("AddWorkload.workload_info"));
}

#[test]
fn a_packet_never_exceeds_the_readers_buffer() {
    let long = PodEvent::Keep::<u32> {
        uid: PodUid::new("u".repeat(1100)),
    };
    assert!(matches!(long.encode(), Err(InvalidPacket::TooLong(_))));
    let answer = Err(Refused("ü".repeat(3000)));
    let bytes = encode_answer(&answer);
    assert!(bytes.len() <= MAX_PACKET);
    let Ok(Err(Refused(reason))) = decode_answer(&bytes) else {
        panic!("a refusal stays one");
    };
    assert!(reason.chars().all(|c| c == 'ü'));
}

#[test]
fn a_refusal_without_words_is_no_success() {
    let bytes = encode_answer(&Err(Refused(String::new())));
    assert!(matches!(decode_answer(&bytes), Ok(Err(_))));
}

#[test]
fn only_version_one_is_spoken() {
    assert_eq!(decode_hello(&encode_hello()), Ok(()));
    assert_eq!(decode_hello(&[]), Err(InvalidPacket::Version(0)));
    assert_eq!(decode_hello(&[8, 9]), Err(InvalidPacket::Version(9)));
    assert!(matches!(
        decode_hello(&[0xff]),
        Err(InvalidPacket::Malformed { .. })
    ));
}
