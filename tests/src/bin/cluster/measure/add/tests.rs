use super::*;

#[test]
fn a_percentile_is_one_of_what_was_measured() {
    let texts: Vec<_> = (1..=200).map(|n| (n * 1000).to_string()).collect();
    let durations = Durations::parse(texts.iter().map(String::as_str)).expect("durations");
    assert!((durations.percentile(99) - 198.0).abs() < 1e-9);
    assert!((durations.percentile(50) - 100.0).abs() < 1e-9);
    let one = Durations::parse(["1500"].into_iter()).expect("one");
    assert!((one.percentile(99) - 1.5).abs() < 1e-9 && one.count() == 1);
    assert!(Durations::parse([].into_iter()).is_err());
}
