use super::*;

#[test]
fn a_star_at_one_end_leaves_the_other_open() {
    assert_eq!(starred("*"), Ok(TextMatch::Present));
    assert_eq!(starred("*.bar"), Ok(TextMatch::Suffix(".bar".into())));
    assert_eq!(starred("/a*"), Ok(TextMatch::Prefix("/a".into())));
    assert_eq!(starred("a*b"), Ok(TextMatch::Exact("a*b".into())));
    assert_eq!(starred("**"), Ok(TextMatch::Suffix("*".into())));
    assert!(starred("").is_err());
}

#[test]
fn an_ipv4_range_in_ipv6_clothes_is_one() {
    assert_eq!(block("::ffff:10.1.2.3"), block("10.1.2.3"));
    assert_eq!(block("::ffff:10.0.0.0/104"), block("10.0.0.0/8"));
    assert_eq!(block("::/0").map(|b| b.to_string()), Ok("::/0".to_owned()));
    assert_eq!(
        block("10.1.2.3/8").map(|b| b.to_string()),
        Ok("10.0.0.0/8".to_owned())
    );
    assert!(block("10.0.0.0/33").is_err());
}

#[test]
fn fractions_are_rounded_and_bounded() {
    assert_eq!(scaled(12.5, 100.0, 10_000), 1250);
    assert_eq!(scaled(0.4, 1.0, 100), 0);
    assert_eq!(scaled(-1.0, 1.0, 100), 0);
    assert_eq!(scaled(f64::NAN, 1.0, 100), 0);
    assert_eq!(scaled(f64::INFINITY, 1.0, 7), 7);
}

#[test]
fn the_way_to_a_claim_has_no_gaps() {
    assert_eq!(claim("a.b"), Ok(vec!["a".into(), "b".into()]));
    assert!(claim("a..b").is_err());
    assert!(claim("").is_err());
}
