use super::*;
use crate::testing::identity;

fn message() -> IstioCertificateRequest {
    let (_, pem) = csr::encode(&identity("web")).unwrap();
    encode(pem, Duration::from_hours(1), Some(&identity("web")))
}

#[test]
fn what_is_asked_for_comes_out_as_it_went_in() {
    let order = decode(&message()).unwrap();
    assert_eq!(order.identity, identity("web"));
    assert!(order.impersonated);
    assert_eq!(order.lifetime, Duration::from_hours(1));
    let own = IstioCertificateRequest {
        metadata: None,
        ..message()
    };
    assert!(!decode(&own).unwrap().impersonated);
}

#[test]
fn lifetimes_are_those_of_istiod() {
    assert_eq!(lifetime(0), Ok(DEFAULT_LIFETIME));
    assert_eq!(lifetime(-1), Ok(DEFAULT_LIFETIME));
    assert_eq!(lifetime(60), Ok(Duration::from_mins(1)));
    let longest = 90 * 24 * 3600;
    assert_eq!(lifetime(longest), Ok(MAX_LIFETIME));
    assert_eq!(lifetime(longest + 1), Err(InvalidOrder::Lifetime(longest + 1)));
    assert!(
        lifetime(i64::MAX)
            .unwrap_err()
            .to_string()
            .starts_with("validity_duration: ")
    );
}

#[test]
fn malformed_requests_name_the_field() {
    let broken = |change: &dyn Fn(&mut IstioCertificateRequest)| {
        let mut message = message();
        change(&mut message);
        decode(&message).unwrap_err().to_string()
    };
    assert!(broken(&|m| m.csr = "nothing".to_owned()).starts_with("csr: "));
    assert!(broken(&|m| m.csr = "x".repeat(1_000_000)).starts_with("csr: signing request of 1000000 bytes"));
    let with = |kind: Option<Kind>| {
        move |m: &mut IstioCertificateRequest| {
            let fields = BTreeMap::from([(IMPERSONATED.to_owned(), Value { kind: kind.clone() })]);
            m.metadata = Some(Struct { fields });
        }
    };
    let number = broken(&with(Some(Kind::NumberValue(1.0))));
    assert_eq!(number, "metadata.ImpersonatedIdentity: is no string");
    assert_eq!(broken(&with(None)), number);
    let text = |text: &str| Some(Kind::StringValue(text.to_owned()));
    assert!(broken(&with(text("root"))).starts_with("metadata.ImpersonatedIdentity: "));
    let other = broken(&with(text("spiffe://cluster.local/ns/default/sa/db")));
    assert!(
        other.starts_with("csr: is for spiffe://cluster.local/ns/default/sa/web, but "),
        "{other}"
    );
}
