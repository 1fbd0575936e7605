use super::*;

const REQUEST: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test(start_paused = true)]
async fn a_connection_rests_between_whole_requests_and_only_there() {
    let settings = Settings::default();
    let gate = Gate::new(&settings, &memory());
    let later = || Instant::now() + settings.rest_after;
    for end in 1..=REQUEST.len() {
        let begun = Instant::now();
        gate.feed(&REQUEST[end - 1..end]).expect("it is a request");
        let whole = end == REQUEST.len();
        assert_eq!(gate.rests(&settings, later()).is_ok(), whole, "after {end} bytes");
        assert_eq!(
            gate.rests(&settings, begun),
            Err(begun + settings.rest_after),
            "not at once"
        );
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    // An empty line in front of the next one is part of it.
    gate.feed(b"\r\n").expect("one is tolerated");
    assert!(gate.rests(&settings, later()).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_answer_did_not_go_out_does_not_rest() {
    let settings = Settings::default();
    let gate = Gate::new(&settings, &memory());
    gate.feed(REQUEST).expect("it is a request");
    let later = Instant::now() + settings.rest_after;
    for (done, rests) in [
        (Poll::Pending, false),
        (Poll::Ready(Ok(3)), false),
        (Poll::Ready(Ok(8)), true),
    ] {
        let _ = gate.written(8, done);
        assert_eq!(gate.rests(&settings, later).is_ok(), rests);
    }
}

fn memory() -> Memory {
    let held = prometheus::IntGauge::new("held", "bytes").expect("a name and a help");
    Memory::new(held, 1 << 20)
}
