use std::time::Duration;

use super::*;

/// HTTPRouteCORS.
#[test]
fn questions_are_answered_here() {
    let answer = decide(
        &strict(),
        Method::OPTIONS,
        &[
            ("origin", "https://www.foo.com"),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "x-header-1, x-header-2"),
        ],
    );
    let CorsDecision::Answer(headers) = answer else {
        panic!("{answer:?} is no answer")
    };
    assert_eq!(
        lines(&headers),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-headers: x-header-1, x-header-2",
            "access-control-allow-methods: GET, OPTIONS",
            "access-control-allow-origin: https://www.foo.com",
            "access-control-max-age: 3600",
            "vary: Origin",
        ]
    );
}

#[test]
fn answers_are_annotated() {
    let decision = decide(&strict(), Method::GET, &[("origin", "https://www.foo.com")]);
    let CorsDecision::Annotate(headers) = decision else {
        panic!("{decision:?} annotates nothing")
    };
    assert_eq!(
        lines(&headers),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://www.foo.com",
            "access-control-expose-headers: x-header-3",
            "vary: Origin",
        ]
    );
}

#[test]
fn other_origins_are_told_nothing() {
    let preflight = [
        ("origin", "https://evil.com"),
        ("access-control-request-method", "GET"),
    ];
    assert_eq!(
        decide(&strict(), Method::OPTIONS, &preflight),
        CorsDecision::Answer(HeaderMap::new())
    );
    assert_eq!(
        decide(&strict(), Method::GET, &preflight[..1]),
        CorsDecision::Pass
    );
    let forward = Cors {
        forward_unmatched_preflights: true,
        ..strict()
    };
    assert_eq!(decide(&forward, Method::OPTIONS, &preflight), CorsDecision::Pass);
    // An origin that is a prefix of an allowed one, or has it as its own, is another one.
    for origin in ["https://www.foo.com.evil.com", "https://www.foo.co", "null", ""] {
        assert_eq!(
            decide(&strict(), Method::GET, &[("origin", origin)]),
            CorsDecision::Pass
        );
    }
}

#[test]
fn what_is_no_question_goes_on() {
    assert_eq!(decide(&strict(), Method::GET, &[]), CorsDecision::Pass);
    let plain_options = decide(&strict(), Method::OPTIONS, &[("origin", "https://www.foo.com")]);
    assert!(matches!(plain_options, CorsDecision::Annotate(_)));
}

#[test]
fn stars_with_and_without_cookies() {
    let open = |allow_credentials| Cors {
        allow_origins: vec![TextMatch::Present],
        allow_methods: vec!["*".into()],
        allow_headers: vec!["*".into()],
        expose_headers: vec!["*".into()],
        max_age: None,
        allow_credentials,
        forward_unmatched_preflights: false,
    };
    let asked = [
        ("origin", "https://any.com"),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-a"),
    ];
    let CorsDecision::Answer(headers) = decide(&open(false), Method::OPTIONS, &asked) else {
        panic!("a question is answered")
    };
    assert_eq!(
        lines(&headers),
        [
            "access-control-allow-headers: *",
            "access-control-allow-methods: *",
            "access-control-allow-origin: *",
        ]
    );
    let CorsDecision::Answer(headers) = decide(&open(true), Method::OPTIONS, &asked) else {
        panic!("a question is answered")
    };
    assert_eq!(
        lines(&headers),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-headers: x-a",
            "access-control-allow-methods: PUT",
            "access-control-allow-origin: https://any.com",
            "vary: Origin",
        ]
    );
}

fn strict() -> Cors {
    Cors {
        allow_origins: vec![TextMatch::Exact("https://www.foo.com".into())],
        allow_methods: vec!["GET".into(), "OPTIONS".into()],
        allow_headers: vec!["x-header-1".into(), "x-header-2".into()],
        expose_headers: vec!["x-header-3".into()],
        max_age: Some(Duration::from_secs(3600)),
        allow_credentials: true,
        forward_unmatched_preflights: false,
    }
}

fn decide(rules: &Cors, method: Method, of: &[(&'static str, &'static str)]) -> CorsDecision {
    let mut headers = HeaderMap::new();
    for (name, value) in of {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let request = Request {
        method: &method,
        scheme: "https",
        authority: "shop",
        path: "/",
        query: None,
        headers: &headers,
        metadata: None,
    };
    cors(rules, &request)
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let lines = headers
        .iter()
        .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()));
    let mut lines: Vec<_> = lines.collect();
    lines.sort();
    lines
}
