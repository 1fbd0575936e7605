//! The relay between two scripted streams, step by step and without a runtime.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Waker;

use super::*;

#[test]
fn both_directions_flow_and_are_counted() {
    let (down, up) = (End::default(), End::default());
    let counters = RelayCounters::default();
    let mut relay = pin!(relay(down.clone(), up.clone(), &counters));
    down.arrives(b"question");
    up.arrives(b"answer!");
    assert!(poll(relay.as_mut()).is_pending());
    assert_eq!(
        (up.written(), down.written()),
        (b"question".to_vec(), b"answer!".to_vec())
    );
    assert_eq!((counters.to_up(), counters.to_down()), (8, 7));
    assert_eq!((up.flushes(), down.flushes()), (1, 1));
}

#[test]
fn an_idle_relay_does_nothing() {
    let (down, up) = (End::default(), End::default());
    let counters = RelayCounters::default();
    let mut relay = pin!(relay(down.clone(), up.clone(), &counters));
    for _ in 0..3 {
        assert!(poll(relay.as_mut()).is_pending());
    }
    assert_eq!(
        (up.flushes(), down.flushes(), up.writes(), down.writes()),
        (0, 0, 0, 0)
    );
}

#[test]
fn half_close_is_kept_until_both_are_done() {
    let (down, up) = (End::default(), End::default());
    let counters = RelayCounters::default();
    let mut relay = pin!(relay(down.clone(), up.clone(), &counters));
    up.arrives(b"all");
    up.finishes();
    assert!(poll(relay.as_mut()).is_pending());
    assert!(down.is_finished() && !up.is_finished());
    down.arrives(b"still talking");
    assert!(poll(relay.as_mut()).is_pending());
    assert_eq!(up.written(), b"still talking");
    down.finishes();
    assert_eq!(
        poll(relay.as_mut()),
        Poll::Ready(RelayEnd::Finished { first: Side::Up })
    );
    assert_eq!((up.aborted(), down.aborted()), (None, None));
}

#[test]
fn what_waits_here_is_bounded() {
    let (down, up) = (End::default(), End::default());
    up.takes_at_most(0);
    for _ in 0..100 {
        down.arrives(&[7; 10_000]);
    }
    let counters = RelayCounters::default();
    let mut relay = pin!(relay(down.clone(), up.clone(), &counters));
    assert!(poll(relay.as_mut()).is_pending());
    assert!(poll(relay.as_mut()).is_pending());
    let taken_in = 1_000_000 - down.unread();
    assert!(
        (MAX_IN_FLIGHT..MAX_IN_FLIGHT + 10_000).contains(&taken_in),
        "{taken_in}"
    );
    assert_eq!(counters.to_up(), 0);

    // A slow writer that takes odd parts loses and repeats nothing.
    up.takes_at_most(33_333);
    down.finishes();
    while !up.is_finished() {
        assert!(poll(relay.as_mut()).is_pending());
        up.may_take_again();
    }
    assert_eq!(up.written().len(), 1_000_000);
    assert_eq!(counters.to_up(), 1_000_000);
}

#[test]
fn a_reset_is_passed_on_after_what_came_before_it() {
    let (down, up) = (End::default(), End::default());
    let counters = RelayCounters::default();
    let mut relay = pin!(relay(down.clone(), up.clone(), &counters));
    up.arrives(b"part of a response");
    up.fails(StreamError::Reset);
    let (side, error) = (Side::Up, StreamError::Reset);
    assert_eq!(
        poll(relay.as_mut()),
        Poll::Ready(RelayEnd::Failed { side, error })
    );
    assert_eq!(down.written(), b"part of a response");
    assert!(!down.is_finished(), "a truncated stream must not look complete");
    assert_eq!(down.aborted(), Some(AbortReason::OtherSide));
    assert_eq!(up.aborted(), Some(AbortReason::Cancelled));
}

#[test]
fn a_side_that_has_finished_and_gives_up_is_noticed_without_a_write() {
    let (down, up) = (End::default(), End::default());
    let counters = RelayCounters::default();
    let mut relay = pin!(relay(down.clone(), up.clone(), &counters));
    down.gives_up(StreamError::Reset);
    assert!(poll(relay.as_mut()).is_pending(), "reading will say so");
    down.finishes();
    let (side, error) = (Side::Down, StreamError::Reset);
    assert_eq!(
        poll(relay.as_mut()),
        Poll::Ready(RelayEnd::Failed { side, error })
    );
    assert_eq!(up.aborted(), Some(AbortReason::OtherSide));
}

/// As a server does that closes after its answer: its client did not ask for more, and gets all of it.
#[test]
fn a_side_that_has_finished_and_takes_nothing_more_is_no_failure() {
    let (down, up) = (End::default(), End::default());
    let counters = RelayCounters::default();
    let mut relay = pin!(relay(down.clone(), up.clone(), &counters));
    up.arrives(b"answer");
    up.finishes();
    down.takes_at_most(4);
    up.gives_up(StreamError::Declined);
    assert!(poll(relay.as_mut()).is_pending(), "not all of it has gone");
    down.may_take_again();
    assert_eq!(
        poll(relay.as_mut()),
        Poll::Ready(RelayEnd::Finished { first: Side::Up })
    );
    assert_eq!(down.written(), b"answer");
    assert!(down.is_finished() && down.is_left() && !up.is_left());
    assert_eq!((down.aborted(), up.aborted()), (None, None));
}

#[test]
fn who_takes_no_more_of_a_request_still_answers_it() {
    let (down, up) = (End::default(), End::default());
    let counters = RelayCounters::default();
    let mut relay = pin!(relay(down.clone(), up.clone(), &counters));
    up.refuses(StreamError::Declined);
    down.arrives(b"a large request");
    up.arrives(b"too ");
    assert!(poll(relay.as_mut()).is_pending());
    down.arrives(b"and more of it");
    up.arrives(b"large");
    up.finishes();
    assert_eq!(
        poll(relay.as_mut()),
        Poll::Ready(RelayEnd::Finished { first: Side::Up })
    );
    assert_eq!(down.written(), b"too large");
    assert!(down.is_finished() && down.is_left());
    assert_eq!((down.aborted(), up.aborted()), (None, None));
}

#[test]
fn a_failed_write_still_delivers_what_the_failed_side_sent() {
    let (down, up) = (End::default(), End::default());
    let counters = RelayCounters::default();
    let mut relay = pin!(relay(down.clone(), up.clone(), &counters));
    up.refuses(StreamError::Closed);
    up.arrives(b"too large");
    down.arrives(b"a large request");
    let (side, error) = (Side::Up, StreamError::Closed);
    assert_eq!(
        poll(relay.as_mut()),
        Poll::Ready(RelayEnd::Failed { side, error })
    );
    assert_eq!(down.written(), b"too large");
    assert_eq!(down.aborted(), Some(AbortReason::OtherSide));
}

#[test]
fn an_endless_stream_lets_others_have_their_turn() {
    let (down, up) = (End::default(), End::default());
    down.arrives_for_ever(&[7; 60_000]);
    let counters = RelayCounters::default();
    let mut relay = pin!(relay(down.clone(), up.clone(), &counters));
    assert!(poll(relay.as_mut()).is_pending());
    let first = counters.to_up();
    assert!((500_000..3_000_000).contains(&first), "{first}");
    assert!(poll(relay.as_mut()).is_pending());
    assert!(counters.to_up() > first);
}

#[test]
fn the_future_stays_small() {
    let counters = RelayCounters::default();
    let (down, up) = (End::default(), End::default());
    let (streams, whole) = (2 * size_of::<End>(), size_of_val(&relay(down, up, &counters)));
    // One per connection: ten thousand of them are in memory at once.
    assert!(whole - streams <= 400, "{whole} bytes");
    assert!(size_of::<TcpChunks>() <= 56, "{} bytes", size_of::<TcpChunks>());
}

#[test]
fn io_errors_keep_their_meaning() {
    for error in [
        StreamError::Reset,
        StreamError::Closed,
        StreamError::TimedOut,
        StreamError::Io(io::ErrorKind::PermissionDenied),
    ] {
        assert_eq!(StreamError::from(io::Error::from(error)), error);
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A stream whose other end is the test.
#[derive(Clone, Default)]
struct End(Rc<RefCell<Script>>);

struct Script {
    incoming: VecDeque<Bytes>,
    end: Option<Result<(), StreamError>>,
    for_ever: Option<Bytes>,
    written: Vec<u8>,
    writes: usize,
    flushes: usize,
    room: usize,
    room_each_time: usize,
    refusal: Option<StreamError>,
    given_up: Option<StreamError>,
    finished: bool,
    left: bool,
    aborted: Option<AbortReason>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            incoming: VecDeque::new(),
            end: None,
            for_ever: None,
            written: Vec::new(),
            writes: 0,
            flushes: 0,
            room: usize::MAX,
            room_each_time: usize::MAX,
            refusal: None,
            given_up: None,
            finished: false,
            left: false,
            aborted: None,
        }
    }
}

impl End {
    fn arrives(&self, data: &[u8]) {
        self.0
            .borrow_mut()
            .incoming
            .push_back(Bytes::copy_from_slice(data));
    }

    fn arrives_for_ever(&self, data: &[u8]) {
        self.0.borrow_mut().for_ever = Some(Bytes::copy_from_slice(data));
    }

    fn finishes(&self) {
        self.0.borrow_mut().end = Some(Ok(()));
    }

    fn fails(&self, error: StreamError) {
        self.0.borrow_mut().end = Some(Err(error));
    }

    fn refuses(&self, error: StreamError) {
        self.0.borrow_mut().refusal = Some(error);
    }

    fn gives_up(&self, error: StreamError) {
        self.0.borrow_mut().given_up = Some(error);
    }

    fn takes_at_most(&self, bytes: usize) {
        let mut script = self.0.borrow_mut();
        script.room_each_time = bytes;
        script.room = bytes;
    }

    fn may_take_again(&self) {
        let mut script = self.0.borrow_mut();
        script.room = script.room_each_time;
    }

    fn written(&self) -> Vec<u8> {
        self.0.borrow().written.clone()
    }

    fn writes(&self) -> usize {
        self.0.borrow().writes
    }

    fn flushes(&self) -> usize {
        self.0.borrow().flushes
    }

    fn unread(&self) -> usize {
        self.0.borrow().incoming.iter().map(Bytes::len).sum()
    }

    fn is_finished(&self) -> bool {
        self.0.borrow().finished
    }

    fn is_left(&self) -> bool {
        self.0.borrow().left
    }

    fn aborted(&self) -> Option<AbortReason> {
        self.0.borrow().aborted
    }
}

impl ChunkRead for End {
    fn poll_chunk(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        let mut script = self.0.borrow_mut();
        if let Some(chunk) = script.for_ever.clone().or_else(|| script.incoming.pop_front()) {
            return Poll::Ready(Ok(Some(chunk)));
        }
        match script.end {
            Some(Ok(())) => Poll::Ready(Ok(None)),
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }
}

impl ChunkWrite for End {
    fn poll_write_chunks(
        &mut self,
        _: &mut Context<'_>,
        chunks: &mut VecDeque<Bytes>,
    ) -> Poll<Result<usize, StreamError>> {
        let mut script = self.0.borrow_mut();
        assert!(!script.finished, "written after the end");
        script.writes += 1;
        if let Some(error) = script.refusal {
            return Poll::Ready(Err(error));
        }
        let mut taken = 0;
        while let Some(front) = chunks.front_mut() {
            let now = front.len().min(script.room);
            if now == 0 {
                break;
            }
            let part = front.split_to(now);
            script.written.extend_from_slice(&part);
            script.room -= now;
            taken += now;
            if front.is_empty() {
                chunks.pop_front();
            }
        }
        if taken == 0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(taken))
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.0.borrow_mut().flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.0.borrow_mut().finished = true;
        Poll::Ready(Ok(()))
    }

    fn poll_closed(&mut self, _: &mut Context<'_>) -> Poll<StreamError> {
        match self.0.borrow().given_up {
            Some(error) => Poll::Ready(error),
            None => Poll::Pending,
        }
    }

    fn leave(&mut self) {
        self.0.borrow_mut().left = true;
    }

    fn abort(&mut self, reason: AbortReason) {
        self.0.borrow_mut().aborted = Some(reason);
    }
}
