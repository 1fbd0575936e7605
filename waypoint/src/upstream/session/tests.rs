use super::*;

fn session(carrier: SessionCarrier) -> Session {
    Session {
        name: "sid".into(),
        carrier,
        absolute_timeout: None,
        idle_timeout: None,
    }
}

const IN_COOKIE: SessionCarrier = SessionCarrier::Cookie { permanent: false };

fn with_cookie(cookie: &str) -> HeaderMap {
    [(header::COOKIE, HeaderValue::from_str(cookie).unwrap())]
        .into_iter()
        .collect()
}

/// What a browser sends next time.
fn sent_back(set: &HeaderValue) -> HeaderMap {
    with_cookie(&format!(
        "other=1; {}; x=y",
        set.to_str().unwrap().split(';').next().unwrap()
    ))
}

#[test]
fn what_is_told_is_held_the_next_time_and_not_told_again() {
    let session = session(IN_COOKIE);
    let (name_of, set) = told(&session, None, "a", None, 100).unwrap();
    assert_eq!(name_of, header::SET_COOKIE);
    let back = held(&session, &sent_back(&set), 100).unwrap();
    assert_eq!(back.name, name("a"));
    assert!(told(&session, Some(back), "a", None, 100).is_none());
    assert!(
        told(&session, Some(back), "b", None, 100).is_some(),
        "it had to go elsewhere"
    );
}

#[test]
fn a_session_is_with_one_of_several_destinations() {
    let timed = Session {
        idle_timeout: Some(Duration::from_secs(10)),
        ..session(IN_COOKIE)
    };
    for session in [session(IN_COOKIE), timed] {
        let (_, set) = told(&session, None, "a", Some(7), 100).unwrap();
        let back = held(&session, &sent_back(&set), 101).unwrap();
        assert_eq!((back.name, back.share), (name("a"), Some(7)));
        assert!(
            told(&session, Some(back), "a", Some(8), 101).is_some(),
            "another destination"
        );
        assert!(held(&session, &with_cookie("sid=0"), 101).is_none_or(|held| held.share.is_none()));
    }
}

#[test]
fn a_session_ends_when_it_is_too_old_or_was_idle() {
    let timed = Session {
        absolute_timeout: Some(Duration::from_secs(100)),
        idle_timeout: Some(Duration::from_secs(10)),
        ..session(SessionCarrier::Cookie { permanent: true })
    };
    let (_, set) = told(&timed, None, "a", None, 1_000).unwrap();
    assert!(set.to_str().unwrap().ends_with("; Path=/; HttpOnly; Max-Age=100"));
    let headers = sent_back(&set);
    assert!(held(&timed, &headers, 1_010).is_some());
    assert!(held(&timed, &headers, 1_011).is_none(), "idle");
    let back = held(&timed, &headers, 1_010);
    let (_, again) = told(&timed, back, "a", None, 1_010).unwrap();
    assert!(again.to_str().unwrap().ends_with("; Max-Age=90"), "{again:?}");
    assert!(held(&timed, &sent_back(&again), 1_020).is_some());
    let only_absolute = Session {
        idle_timeout: None,
        ..timed.clone()
    };
    assert!(held(&only_absolute, &headers, 1_100).is_some());
    assert!(held(&only_absolute, &headers, 1_101).is_none(), "too old");
}

#[test]
fn in_a_header() {
    let session = session(SessionCarrier::Header);
    let (name_of, value) = told(&session, None, "a", None, 0).unwrap();
    let headers: HeaderMap = [(name_of, value)].into_iter().collect();
    assert_eq!(held(&session, &headers, 0).unwrap().name, name("a"));
}

#[test]
fn what_is_no_session_is_none() {
    for cookie in [
        "",
        "sid",
        "sid=",
        "sid=zz",
        "sid=123456789012345678901",
        "xsid=1",
        "sidx=1",
        "sid=-",
    ] {
        assert_eq!(
            held(&session(IN_COOKIE), &with_cookie(cookie), 0),
            None,
            "{cookie}"
        );
    }
}

#[test]
fn keys_of_requests() {
    let headers: HeaderMap = [
        (header::COOKIE, HeaderValue::from_static("a=1; b=\"2\"")),
        (HeaderName::from_static("x-user"), HeaderValue::from_static("eve")),
    ]
    .into_iter()
    .collect();
    let uri = Uri::from_static("/p?q=1&user=adam");
    let asked = Asked {
        headers: &headers,
        uri: &uri,
        source: [10, 0, 0, 1].into(),
    };
    let cookie = |name: &str, ttl| HashKey::Cookie {
        name: name.into(),
        path: Some("/".into()),
        ttl,
        attributes: vec![("SameSite".into(), "Lax".into()), ("Secure".into(), "".into())],
    };
    let keys = [
        (HashKey::Header("x-user".into()), Some("eve")),
        (HashKey::Header("x-none".into()), None),
        (HashKey::Query("user".into()), Some("adam")),
        (HashKey::Query("us".into()), None),
        (cookie("b", None), Some("2")),
        (cookie("c", None), None),
    ];
    for (key, value) in keys {
        let wanted = value.map(|value: &str| ring::hash(value.as_bytes()));
        assert_eq!(hash(&key, &asked, 7), (wanted, None), "{key:?}");
    }
    let (made, set) = hash(&cookie("c", Some(Duration::from_secs(5))), &asked, 7);
    let set = set.unwrap();
    assert_eq!(
        set,
        "c=0000000000000007; HttpOnly; Max-Age=5; Path=/; SameSite=Lax; Secure"
    );
    let back = sent_back(&set);
    let asked = Asked {
        headers: &back,
        ..asked
    };
    assert_eq!(hash(&cookie("c", Some(Duration::ZERO)), &asked, 9), (made, None));
}
