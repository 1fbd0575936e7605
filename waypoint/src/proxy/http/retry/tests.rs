use mesh_model::l7::TextMatch;

use super::*;

fn on(condition: RetryCondition) -> Retry {
    Retry {
        conditions: vec![condition],
        ..Retry::default()
    }
}

fn answered(status: u16, header: (&'static str, &str)) -> (StatusCode, HeaderMap) {
    let mut headers = HeaderMap::new();
    headers.insert(header.0, header.1.parse().unwrap());
    (StatusCode::from_u16(status).unwrap(), headers)
}

#[test]
fn each_condition_has_its_outcomes() {
    let plain = HeaderMap::new();
    let status = |code| Outcome::Answered(StatusCode::from_u16(code).unwrap(), &plain);
    let reset = Outcome::Reset { sent: true };
    for (condition, yes, no) in [
        (
            RetryCondition::ServerError,
            vec![status(500), reset],
            vec![status(404)],
        ),
        (
            RetryCondition::GatewayError,
            vec![status(503), reset],
            vec![status(500)],
        ),
        (
            RetryCondition::Reset,
            vec![reset, Outcome::TimedOut],
            vec![status(503)],
        ),
        (
            RetryCondition::ResetBeforeRequest,
            vec![Outcome::Reset { sent: false }],
            vec![reset],
        ),
        (
            RetryCondition::ConnectFailure,
            vec![Outcome::ConnectFailure],
            vec![reset],
        ),
        (
            RetryCondition::RefusedStream,
            vec![Outcome::RefusedStream],
            vec![reset],
        ),
        (
            RetryCondition::RetriableClientError,
            vec![status(409)],
            vec![status(404)],
        ),
        (
            RetryCondition::Status(418),
            vec![status(418)],
            vec![status(503), reset],
        ),
    ] {
        let retry = on(condition);
        assert!(
            yes.into_iter().all(|outcome| wanted(&retry, outcome)),
            "{retry:?}"
        );
        assert!(
            !no.into_iter().any(|outcome| wanted(&retry, outcome)),
            "{retry:?}"
        );
    }
}

#[test]
fn headers_of_an_answer_count() {
    let (status, headers) = answered(200, ("grpc-status", "14"));
    assert!(wanted(&Retry::default(), Outcome::Answered(status, &headers)));
    let (status, headers) = answered(429, ("x-envoy-ratelimited", "true"));
    assert!(wanted(
        &on(RetryCondition::RateLimited),
        Outcome::Answered(status, &headers)
    ));
    let condition = RetryCondition::Header("x-again".into(), TextMatch::Prefix("y".into()));
    let (status, headers) = answered(200, ("x-again", "yes"));
    assert!(wanted(&on(condition), Outcome::Answered(status, &headers)));
}

#[test]
fn pauses_double_up_to_ten_times_the_first() {
    let retry = Retry::default();
    let most: Vec<_> = (1..=6).map(|n| pause(&retry, n, 1.0).as_millis()).collect();
    assert_eq!(most, [25, 50, 100, 200, 250, 250]);
    assert_eq!(pause(&retry, 3, 0.0), Duration::ZERO);
}

#[test]
fn an_answer_may_ask_for_a_pause_where_somebody_lets_it() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 5);
    let heeding = Retry {
        retry_after: Some(Duration::from_secs(10)),
        ..Retry::default()
    };
    let asked = |retry: &Retry, text: &str| {
        let (status, headers) = answered(503, ("retry-after", text));
        told(retry, Outcome::Answered(status, &headers), now)
    };
    for (text, seconds) in [
        ("3", Some(3)),
        (" 120 ", Some(120)),
        ("0", Some(0)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(5)),
        ("Sun, 06 Nov 1994 08:49:31 GMT", Some(0)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", None),
        ("-1", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(
            asked(&heeding, text),
            seconds.map(Duration::from_secs),
            "{text:?}"
        );
        assert_eq!(asked(&Retry::default(), text), None, "nobody lets it");
    }
    assert_eq!(told(&heeding, Outcome::ConnectFailure, now), None);
    let second = Duration::from_secs(1);
    assert_eq!(heeded(&heeding, second, 0.0), Some(second));
    assert_eq!(heeded(&heeding, second, 1.0), Some(second.mul_f64(1.5)));
    assert_eq!(heeded(&heeding, 10 * second, 0.0), Some(10 * second));
    assert_eq!(
        heeded(&heeding, 11 * second, 0.0),
        None,
        "nobody waits for so long"
    );
}

#[test]
fn dates_are_read_as_they_are_written() {
    let at = |text| {
        Some(
            date::at(text)?
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
        )
    };
    for (text, seconds) in [
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
        ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
        ("Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800)),
        ("Fri, 31 Dec 2100 23:59:59 GMT", Some(4_133_980_799)),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 Nov 1994 24:49:37 GMT", None),
        ("Sun, 32 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Now 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT more", None),
    ] {
        assert_eq!(at(text), seconds, "{text}");
    }
}
