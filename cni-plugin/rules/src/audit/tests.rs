use super::*;
use crate::plan::{PodOptions, pod};

#[test]
fn a_ruleset_equals_its_own_listing() {
    let ruleset = pod(&PodOptions::default());
    let listing = nftables::listing(&ruleset);
    assert_eq!(compare(&ruleset, listing.as_bytes()), Ok(Vec::new()));
}

#[test]
fn a_missing_table_is_named() {
    let findings = compare(&pod(&PodOptions::default()), br#"{"nftables":[]}"#).expect("a listing");
    let tables: Vec<_> = findings.iter().map(|f| f.table).collect();
    assert_eq!(tables, ["istio-ambient-mangle", "istio-ambient-nat"]);
}

#[test]
fn what_is_no_listing_is_an_error_and_not_an_all_clear() {
    for bad in [&b""[..], b"[]", b"{}", br#"{"nftables": 3}"#, b"table inet x {"] {
        assert!(compare(&Ruleset::empty(), bad).is_err(), "{bad:?}");
    }
}

#[test]
fn fuzz_listings() {
    let corpus = [
        nftables::listing(&pod(&PodOptions::default())).into_bytes(),
        br#"{"nftables":[{"metainfo":{}},{"rule":{"family":"inet","table":"x"}},{"chain":3},{}]}"#.to_vec(),
    ];
    for input in mesh_types::fuzzing::mutations(&corpus, 3, 2_000) {
        let _ = compare(&Ruleset::empty(), &input);
    }
}
