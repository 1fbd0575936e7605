use super::*;

/// MeshHTTPRouteWeight, HTTPRouteWeight, TCPRouteWeightedRouting: five points of 500 requests, here far less.
#[test]
fn shares_are_met() {
    let backends = [backend(70, "v1"), backend(30, "v2"), backend(0, "v3")];
    for start in [0, 1, u64::MAX / 2, u64::MAX] {
        let spread = Spread::new(start);
        let mut counts = [0, 0, 0];
        for _ in 0..500 {
            let picked = pick_backend(&backends, spread.next()).unwrap();
            counts[backends.iter().position(|b| b == picked).unwrap()] += 1;
        }
        assert!((347..=353).contains(&counts[0]), "{counts:?}");
        assert_eq!((counts[0] + counts[1], counts[2]), (500, 0), "{counts:?}");
    }
}

#[test]
fn the_invalid_ones_get_their_share() {
    let mut invalid = backend(1, "");
    invalid.destination = Destination::Invalid("not found".into());
    let backends = [invalid, backend(1, "v1")];
    assert_eq!(pick_backend(&backends, 0), Some(&backends[0]));
    assert_eq!(pick_backend(&backends, u64::MAX / 2), Some(&backends[0]));
    assert_eq!(pick_backend(&backends, u64::MAX / 2 + 2), Some(&backends[1]));
    assert_eq!(pick_backend(&backends, u64::MAX), Some(&backends[1]));
}

#[test]
fn nothing_with_a_weight_is_nothing() {
    assert_eq!(pick_backend::<HttpBackend>(&[], 7), None);
    assert_eq!(pick_backend(&[backend(0, "v1")], u64::MAX), None);
    let largest = [backend(u32::MAX, "v1"), backend(u32::MAX, "v2")];
    assert_eq!(pick_backend(&largest, u64::MAX), Some(&largest[1]));
}
