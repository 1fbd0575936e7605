use super::*;

pub(crate) fn hit() -> Hit {
    let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    Hit {
        domain: "shop".to_owned(),
        descriptors: vec![
            vec![entry("user", "bob"), entry("path", "/a")],
            vec![entry("all", "")],
        ],
        hits: 2,
    }
}

pub(crate) fn counted() -> Counted {
    Counted {
        over_limit: true,
        statuses: vec![
            DescriptorStatus {
                over_limit: true,
                limit: Some(CurrentLimit {
                    requests: 10,
                    unit: Unit::Minute,
                    name: "per user".to_owned(),
                }),
                remaining: 0,
                reset: Some(Duration::from_millis(1500)),
            },
            DescriptorStatus::default(),
        ],
        response_headers: vec![("x-a".parse().unwrap(), "1".parse().unwrap())],
        request_headers: vec![("x-b".parse().unwrap(), "2".parse().unwrap())],
        body: Bytes::from_static(b"later"),
    }
}

#[test]
fn questions_and_answers_survive_the_wire() {
    assert_eq!(Hit::decode(&hit().encode()), Ok(hit()));
    assert_eq!(Counted::decode(&counted().encode()), Ok(counted()));
    for unit in [
        Unit::Unknown,
        Unit::Second,
        Unit::Minute,
        Unit::Hour,
        Unit::Day,
        Unit::Month,
        Unit::Year,
    ] {
        let mut answer = counted();
        answer.over_limit = false;
        answer.statuses[0].limit.as_mut().unwrap().unit = unit;
        assert_eq!(Counted::decode(&answer.encode()), Ok(answer));
    }
}

#[test]
fn an_answer_that_does_not_say_is_none() {
    assert!(Counted::decode(b"").is_err());
    assert!(Counted::decode(b"\xff").is_err());
    // overall_code: 1, as Envoy's service writes it.
    assert_eq!(Counted::decode(&[0x08, 0x01]), Ok(Counted::default()));
}
