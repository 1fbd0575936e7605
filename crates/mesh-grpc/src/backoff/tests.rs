use super::*;

#[test]
fn delays_double_up_to_the_bound_and_begin_again() {
    let mut backoff = Backoff::of_streams();
    let delays: Vec<_> = (0..13).map(|_| backoff.next_delay(0.5).as_millis()).collect();
    assert_eq!(delays[..4], [10, 20, 40, 80]);
    assert_eq!(delays[11..], [15_000, 15_000]);
    backoff.held_for(Duration::from_secs(14));
    assert_eq!(backoff.next_delay(0.5), Duration::from_secs(15));
    backoff.held_for(Duration::from_secs(15));
    assert_eq!(backoff.next_delay(0.0), Duration::from_millis(8));
    assert_eq!(backoff.next_delay(1.0), Duration::from_millis(24));
}
