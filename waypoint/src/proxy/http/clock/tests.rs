use bytes::Bytes;
use http_body::Body as _;
use tokio::time::{advance, sleep};

use super::*;
use crate::body::Body;

const LIMIT: Duration = Duration::from_secs(5);

fn clock(body: Option<&Replay>) -> Clock {
    let timeouts = Timeouts {
        request: Some(LIMIT),
        ..Timeouts::default()
    };
    Clock::new(&timeouts, false, &HeaderMap::new(), body)
}

async fn is_over(clock: &Clock) -> bool {
    poll_fn(|cx| Poll::Ready(Box::pin(clock.over()).as_mut().poll(cx).is_ready())).await
}

#[tokio::test(start_paused = true)]
async fn nobody_takes_the_body_and_the_time_runs() {
    let (_client, body) = Body::spoken();
    let body = Replay::new(body);
    let clock = clock(Some(&body));
    let began = Instant::now();
    clock.over().await;
    assert_eq!(began.elapsed(), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_client_takes_its_time_and_the_time_stands() {
    let (client, body) = Body::spoken();
    let body = Replay::new(body);
    let clock = clock(Some(&body));
    let mut sent = Body::from(body.body());
    let mut poll = async || poll_fn(|cx| Poll::Ready(Pin::new(&mut sent).poll_frame(cx).is_ready())).await;
    assert!(!poll().await);
    advance(LIMIT * 10).await;
    assert!(!is_over(&clock).await);
    assert_eq!(clock.left(), None);
    client.send(Bytes::from_static(b"x")).unwrap();
    assert!(poll().await);
    assert_eq!(clock.left(), Some(LIMIT));
    // An answer that has begun is not cut while the client may still speak.
    let mut deadline = clock.clone().deadline().unwrap();
    assert!(!poll().await);
    advance(LIMIT * 10).await;
    assert!(poll_fn(|cx| Poll::Ready(deadline.poll(cx).is_pending())).await);
    drop(client);
    assert!(poll().await);
    let ended = Instant::now();
    clock.over().await;
    assert_eq!(ended.elapsed(), LIMIT);
    poll_fn(|cx| deadline.poll(cx)).await;
    assert_eq!(ended.elapsed(), LIMIT);
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_over_asks_for_nothing() {
    let (_client, body) = Body::spoken();
    let body = Replay::new(body);
    let clock = clock(Some(&body));
    let mut sent = Body::from(body.body());
    let asked = poll_fn(|cx| Poll::Ready(Pin::new(&mut sent).poll_frame(cx).is_ready())).await;
    assert!(!asked);
    sleep(LIMIT * 2).await;
    // The next one waits for a connection.
    drop(sent);
    let _next = body.body();
    let began = Instant::now();
    clock.over().await;
    assert_eq!(began.elapsed(), LIMIT);
}

#[test]
fn the_shorter_of_the_rules_time_and_the_clients_counts() {
    let limit = |grpc: bool, rule: Option<Duration>, told: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", told.parse().unwrap());
        let timeouts = Timeouts {
            request: rule,
            ..Timeouts::default()
        };
        Clock::new(&timeouts, grpc, &headers, None).limit
    };
    let seconds = Duration::from_secs;
    assert_eq!(limit(true, None, "3S"), Some(seconds(3)));
    assert_eq!(limit(true, Some(seconds(2)), "3S"), Some(seconds(2)));
    assert_eq!(
        limit(true, Some(seconds(2)), "500m"),
        Some(Duration::from_millis(500))
    );
    assert_eq!(limit(true, Some(Duration::ZERO), "1H"), Some(seconds(3600)));
    assert_eq!(limit(true, None, "99999999H"), Some(seconds(99_999_999 * 3600)));
    assert_eq!(limit(true, None, "2M"), Some(seconds(120)));
    assert_eq!(limit(true, None, "7u"), Some(Duration::from_micros(7)));
    assert_eq!(limit(true, None, "7n"), Some(Duration::from_nanos(7)));
    for nothing in ["", "S", "3", "0S", "123456789S", "-1S", "1.5S", "3s", "3S x"] {
        assert_eq!(
            limit(true, Some(seconds(9)), nothing),
            Some(seconds(9)),
            "{nothing:?}"
        );
    }
    assert_eq!(limit(false, None, "3S"), None);
}
