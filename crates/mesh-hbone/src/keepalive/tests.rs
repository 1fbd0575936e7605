use std::time::Duration;

use tokio::time::Instant;

use super::{Keepalive, Liveness};
use crate::options::KeepaliveOptions;

struct Clock(Instant);

impl Clock {
    fn at(&self, seconds: u64) -> Instant {
        self.0 + Duration::from_secs(seconds)
    }
}

fn begin() -> (Clock, Keepalive) {
    let start = Instant::now();
    (Clock(start), Keepalive::new(KeepaliveOptions::default(), start))
}

#[test]
fn a_silent_peer_is_asked_after_ten_seconds_and_given_up_twenty_later() {
    let (clock, mut keepalive) = begin();
    assert_eq!(keepalive.poll(clock.at(0)), Liveness::Wait(clock.at(10)));
    assert_eq!(keepalive.poll(clock.at(10)), Liveness::Ping);
    assert_eq!(keepalive.poll(clock.at(10)), Liveness::Wait(clock.at(30)));
    assert_eq!(keepalive.poll(clock.at(30)), Liveness::Dead);
}

#[test]
fn the_next_question_comes_ten_seconds_after_the_answer() {
    let (clock, mut keepalive) = begin();
    assert_eq!(keepalive.poll(clock.at(10)), Liveness::Ping);
    keepalive.heard(clock.at(11));
    assert_eq!(keepalive.poll(clock.at(12)), Liveness::Wait(clock.at(21)));
    assert_eq!(keepalive.poll(clock.at(21)), Liveness::Ping);
}

#[test]
fn data_is_a_sign_of_life() {
    let (clock, mut keepalive) = begin();
    for second in 1..60 {
        keepalive.heard(clock.at(second));
        assert_eq!(
            keepalive.poll(clock.at(second)),
            Liveness::Wait(clock.at(second + 10))
        );
    }
}
