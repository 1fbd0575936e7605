use bytes::Bytes;
use mesh_proto::istio::workload as pb;
use prost::Message;

use crate::fixtures::{full_service, full_workload};
use crate::{Address, Problem};

#[test]
fn addresses_survive_the_wire_under_their_names() {
    let workload = Address::Workload(full_workload());
    let service = Address::Service(full_service());
    assert_eq!(workload.name(), "Kubernetes//Pod/shop/web-6d4b75cb6d-abcde");
    assert_eq!(service.name(), "shop/web.shop.svc.cluster.local");
    for address in [workload, service] {
        assert_eq!(Address::decode(&address.name(), address.encode()), Ok(address));
    }
}

#[test]
fn an_address_under_anothers_name_is_refused() {
    let refused = Address::decode("shop/other", Address::Service(full_service()).encode()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "address \"shop/other\": name: the content is that of \"shop/web.shop.svc.cluster.local\""
    );
}

#[test]
fn an_address_without_content_is_refused_by_the_name_it_came_under() {
    let refused = Address::decode("shop/web", Bytes::new()).unwrap_err();
    assert_eq!(
        (refused.name.as_str(), refused.problem),
        ("shop/web", Problem::Missing)
    );
}

#[test]
fn fields_of_tomorrow_are_ignored() {
    let address = Address::Workload(full_workload());
    let mut inner = pb::Workload::from(&full_workload()).encode_to_vec();
    // Field 1000, four bytes.
    inner.extend([0xc5, 0x3e, 1, 2, 3, 4]);
    let mut body = vec![10];
    prost::encoding::encode_varint(inner.len() as u64, &mut body);
    body.extend(inner);
    assert_eq!(Address::decode(&address.name(), body.into()), Ok(address));
}
