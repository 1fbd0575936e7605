use std::task::Waker;

use super::*;

fn memory(limit: usize) -> Memory {
    Memory::new(IntGauge::new("held", "held").expect("a good name"), limit)
}

#[test]
fn holders_give_back_what_they_had() {
    let memory = memory(100 * STEP);
    let mut share = memory.share();
    share.add(STEP - 1);
    assert_eq!(memory.held.get(), 0, "little is not counted");
    share.add(1);
    share.add(79 * STEP);
    assert!(memory.is_high() && !memory.is_full());
    let mut other = memory.share();
    other.add(15 * STEP);
    assert!(memory.is_full());
    other.give_back(14 * STEP);
    assert!(!memory.is_full() && memory.is_high());
    drop(share);
    assert_eq!(memory.held.get(), i64::try_from(STEP).expect("it is small"));
    other.give_back(usize::MAX);
    assert_eq!(memory.held.get(), 0);
}

#[test]
fn a_connection_waits_for_its_client_while_memory_is_short() {
    let memory = memory(100 * STEP);
    let (greedy, modest) = (Unsent::new(&memory), Unsent::new(&memory));
    let cx = Context::from_waker(Waker::noop());
    greedy.handed(90 * STEP);
    assert!(greedy.poll_ready(&cx).is_pending());
    assert!(modest.poll_ready(&cx).is_ready());
    greedy.written(87 * STEP);
    assert!(greedy.poll_ready(&cx).is_ready());
    greedy.handed(90 * STEP);
    greedy.lost(93 * STEP);
    assert_eq!(memory.held.get(), 0);
}
