use std::time::Duration;

use tokio::time::Instant;

use super::{Choice, ConnectionId, Shelf};

const IDLE: Duration = Duration::from_secs(300);

/// A shelf with one connection of the given limit.
fn shelf_with(limit: usize) -> (Shelf, ConnectionId) {
    let mut shelf = Shelf::default();
    assert_eq!(shelf.choose(), Choice::Dial);
    let id = shelf.dialed(limit, Instant::now());
    (shelf, id)
}

#[test]
fn one_dials_and_the_others_wait() {
    let mut shelf = Shelf::default();
    assert_eq!(shelf.choose(), Choice::Dial);
    assert_eq!(shelf.choose(), Choice::Wait);
    let id = shelf.dialed(100, Instant::now());
    assert_eq!(shelf.choose(), Choice::Use(id));
}

#[test]
fn a_failed_dial_lets_the_next_caller_try() {
    let mut shelf = Shelf::default();
    assert_eq!(shelf.choose(), Choice::Dial);
    shelf.dial_failed();
    assert!(shelf.is_empty());
    assert_eq!(shelf.choose(), Choice::Dial);
}

#[test]
fn a_full_connection_makes_another_and_serves_again_when_a_stream_ends() {
    let (mut shelf, first) = shelf_with(2);
    assert_eq!(shelf.choose(), Choice::Use(first));
    assert_eq!(shelf.choose(), Choice::Use(first));
    assert_eq!(shelf.choose(), Choice::Dial);
    let second = shelf.dialed(2, Instant::now());
    assert_eq!(shelf.choose(), Choice::Use(second));
    shelf.stream_ended(first, Instant::now());
    shelf.stream_ended(second, Instant::now());
    // The fuller of the two, so that the other can go.
    assert_eq!(shelf.choose(), Choice::Use(first));
}

#[test]
fn a_retired_connection_is_never_chosen() {
    let (mut shelf, id) = shelf_with(100);
    assert_eq!(shelf.choose(), Choice::Use(id));
    assert!(shelf.retire(id));
    assert!(!shelf.retire(id));
    assert_eq!(shelf.choose(), Choice::Dial);
    shelf.stream_ended(id, Instant::now());
    assert_eq!(shelf.idle_deadline(id, IDLE), None);
}

#[test]
fn a_lowered_limit_counts_at_once() {
    let (mut shelf, id) = shelf_with(100);
    assert_eq!(shelf.choose(), Choice::Use(id));
    shelf.set_limit(id, 1);
    assert_eq!(shelf.choose(), Choice::Dial);
    shelf.dial_failed();
    shelf.set_limit(id, 2);
    assert_eq!(shelf.choose(), Choice::Use(id));
}

#[test]
fn idleness_begins_when_the_last_stream_ends() {
    let start = Instant::now();
    let mut shelf = Shelf::default();
    assert_eq!(shelf.choose(), Choice::Dial);
    let id = shelf.dialed(100, start);
    assert_eq!(shelf.idle_deadline(id, IDLE), Some(start + IDLE));
    assert_eq!(
        (shelf.choose(), shelf.choose()),
        (Choice::Use(id), Choice::Use(id))
    );
    let later = start + Duration::from_secs(7);
    shelf.stream_ended(id, later);
    assert_eq!(shelf.idle_deadline(id, IDLE), None);
    shelf.stream_ended(id, later);
    assert_eq!(shelf.idle_deadline(id, IDLE), Some(later + IDLE));
}
