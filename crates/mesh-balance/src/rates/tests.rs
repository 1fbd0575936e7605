use super::*;

fn tally(good: u32, all: u32) -> Tally {
    Tally { all, good }
}

fn success(tallies: &[Tally]) -> Vec<usize> {
    worse(tallies, |_| true, &SuccessRate::default())
}

#[test]
fn who_does_much_worse_than_the_others_is_found() {
    // Mean 95.2, deviation 2.14: the threshold is 91.1.
    let close = [96, 97, 93, 97, 93].map(|good| tally(good, 100));
    assert_eq!(success(&close), [0_usize; 0]);
    let mut one = [96; 10].map(|good| tally(good, 100));
    one[3] = tally(60, 100);
    assert_eq!(success(&one), [3]);
    // All equally bad: nobody is worse.
    assert_eq!(success(&[tally(10, 100); 8]), [0_usize; 0]);
}

#[test]
fn few_endpoints_or_few_requests_say_nothing() {
    let mut few = vec![tally(100, 100); 3];
    few.push(tally(0, 100));
    assert_eq!(success(&few), [0_usize; 0], "four are too few to compare");
    let mut quiet = vec![tally(99, 99); 10];
    quiet.push(tally(0, 100));
    assert_eq!(
        success(&quiet),
        [0_usize; 0],
        "of most there are too few requests"
    );
    let out = [0, 1, 2, 3, 4, 5];
    let mut all = vec![tally(100, 100); 9];
    all[8] = tally(0, 100);
    let found = worse(&all, |at| !out.contains(at), &SuccessRate::default());
    assert_eq!(found, [0_usize; 0], "who is out is not compared with");
}

#[test]
fn who_fails_too_often_is_found_whatever_the_others_do() {
    let rule = FailureRate::default();
    let tallies = [(15, 100), (16, 100), (0, 50), (0, 49), (7, 50), (50, 50)];
    let tallies = tallies.map(|(good, all)| tally(good, all));
    // 85 %, 84 %, 100 %, too few, 86 %, none.
    assert_eq!(failing(&tallies, |_| true, &rule), [0, 2, 4]);
    assert_eq!(
        failing(&tallies[..5], |_| true, &rule),
        [0_usize; 0],
        "four are too few"
    );
}

#[test]
fn one_is_named_once() {
    let rules = OutlierDetection {
        success_rate: Some(SuccessRate::default()),
        failure_rate: Some(FailureRate::default()),
        ..OutlierDetection::default()
    };
    let mut tallies = vec![tally(100, 100); 10];
    tallies[7] = tally(0, 100);
    assert_eq!(bad(&tallies, |_| true, &rules), [(7, Reason::SuccessRate)]);
}
