use super::*;

#[test]
fn a_service_keeps_its_address_and_nobody_else_has_it() {
    let mut given = Given::default();
    assert_eq!(given.give("shop/edge"), Some(0));
    assert_eq!(given.give("shop/other"), Some(1));
    assert_eq!(given.give("shop/edge"), Some(0));
}

#[test]
fn an_address_that_was_given_back_is_given_again() {
    let mut given = Given::default();
    for service in 0..plan::LOAD_BALANCER_ADDRESSES {
        assert_eq!(given.give(&format!("shop/{service}")), Some(service));
    }
    assert_eq!(given.give("shop/late"), None, "all are taken");
    given.give_back("shop/3");
    assert_eq!(given.give("shop/late"), Some(3));
    given.only(Some(&BTreeSet::from(["shop/late".to_owned()])));
    assert_eq!(given.give("shop/next"), Some(0));
    assert_eq!(given.give("shop/late"), Some(3));
    given.only(None);
    assert_eq!(given.give("shop/next"), Some(0), "nobody said that it is gone");
}
