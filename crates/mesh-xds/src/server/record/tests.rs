use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryResponse;
use prost::Message as _;

use super::*;

#[test]
fn a_record_is_written_as_the_message_of_one_resource() {
    for (name, body, type_url) in [
        ("a", "b".repeat(10), "t"),
        ("a", String::new(), "type.googleapis.com/istio.workload.Address"),
        ("", "b".repeat(127), ""),
        ("name", "b".repeat(128), "t"),
        (
            "x",
            "b".repeat(20_000),
            "type.googleapis.com/istio.workload.Address",
        ),
    ] {
        let record = Record {
            name: name.into(),
            version: 0xab,
            body: body.into(),
        };
        let mut written = BytesMut::new();
        record.encode(type_url, &mut written);
        let message = DeltaDiscoveryResponse {
            resources: vec![record.to_resource(type_url)],
            ..DeltaDiscoveryResponse::default()
        };
        assert_eq!(written, message.encode_to_vec(), "{name:?}");
        assert_eq!(written.len(), record.encoded_len(type_url));
    }
    assert_eq!(version(u64::MAX).len(), VERSION_LEN);
    assert_eq!(version(7), "0000000000000007");
}
