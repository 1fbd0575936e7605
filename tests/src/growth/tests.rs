use super::Growth;

#[test]
fn a_series_that_rises_all_the_while_is_beyond_and_one_that_settles_is_not() {
    let rises: Vec<u64> = (0..30).map(|round| 1000 + 100 * round).collect();
    assert!(Growth::of(&rises).is_some_and(|growth| growth.is_beyond(200)));
    let settles: Vec<u64> = (0..30).map(|round| 1000 + 10 * u64::min(round, 5)).collect();
    assert!(Growth::of(&settles).is_some_and(|growth| !growth.is_beyond(200)));
}

#[test]
fn one_outlier_decides_nothing() {
    let mut series = vec![1000; 12];
    series[11] = 100_000;
    assert_eq!(Growth::of(&series), Some(Growth { from: 1000, to: 1000 }));
}

#[test]
fn what_is_too_short_tells_nothing() {
    assert_eq!(Growth::of(&[1, 2]), None);
}
