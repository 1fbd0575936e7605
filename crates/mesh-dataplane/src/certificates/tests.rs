use std::time::Duration;

use mesh_certs::client::FetchError;

use super::*;

#[test]
fn an_identity_without_a_certificate_says_why() {
    let snapshot = CertSnapshot {
        identity: "spiffe://cluster.local/ns/shop/sa/web"
            .parse()
            .expect("an identity"),
        state: CertState::Unavailable,
        certificate: None,
        error: Some(FetchError::Refused("no pod of it is here".to_owned())),
    };
    assert_eq!(
        serde_json::to_value(Held::of(&snapshot)).expect("JSON"),
        serde_json::json!({
            "identity": "spiffe://cluster.local/ns/shop/sa/web",
            "state": "Unavailable",
            "error": "the authority refused: no pod of it is here",
        })
    );
}

#[test]
fn times_are_rfc_3339() {
    assert_eq!(
        rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_281_805)),
        "2026-11-21T17:23:25Z"
    );
}
