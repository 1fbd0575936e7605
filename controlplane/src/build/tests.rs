use serde_json::Value;

use super::*;

/// istioctl divides at dashes: the last two parts are revision and status, all before them is the version.
#[test]
fn the_line_has_three_parts() {
    let line = line();
    let mut parts = line.rsplitn(3, '-');
    assert_eq!(parts.next(), Some(STATUS));
    assert_eq!(parts.next(), Some(REVISION));
    assert_eq!(parts.next(), Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_identifier_is_what_istioctl_takes_apart() {
    let who: Value = serde_json::from_str(&identifier("istiod-1")).unwrap();
    assert_eq!(who["Component"], "istiod");
    assert_eq!(who["ID"], "istiod-1");
    assert_eq!(who["Info"]["version"], env!("CARGO_PKG_VERSION"));
}
