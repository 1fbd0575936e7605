use std::time::Duration;

use super::Backoff;

#[test]
fn delays_grow_to_a_bound_and_start_anew() {
    let seconds = Duration::from_secs;
    let mut backoff = Backoff::new(seconds(1), seconds(5));
    for step in [1, 2, 4, 5, 5] {
        let delay = backoff.next_delay();
        assert!(
            delay <= seconds(step) && delay * 2 >= seconds(step),
            "{delay:?} of {step}"
        );
    }
    backoff.reset();
    assert!(backoff.next_delay() <= seconds(1));
}
