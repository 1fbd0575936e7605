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
