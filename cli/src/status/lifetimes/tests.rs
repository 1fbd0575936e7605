use super::*;

fn held(ends: &[Option<&str>]) -> Lifetimes {
    let page: Vec<Value> = ends
        .iter()
        .enumerate()
        .map(|(at, ends)| json!({"identity": format!("id-{at}"), "state": "Available", "expirationTime": ends}))
        .collect();
    Lifetimes::read(&page.into()).expect("the page")
}

#[test]
fn the_one_that_ends_first_is_shown() {
    let some = held(&[Some("1970-01-02T00:00:00Z"), Some("1970-01-01T12:00:00Z"), None]);
    assert_eq!(some.cell(3_600), "in 11h0m, 1 missing");
    assert_eq!(
        some.data(3_600),
        json!({"count": 3, "missing": 1, "ends": "1970-01-01T12:00:00Z", "endsInSeconds": 39_600, "identity": "id-1"})
    );
    assert!(!some.has_ended(3_600));
    assert!(some.has_ended(43_200));
    assert_eq!(some.cell(43_260), "1m0s ago: id-1, 1 missing");
}

#[test]
fn none_is_told_from_none_yet_and_from_not_known() {
    assert_eq!(held(&[]).cell(0), "holds none");
    assert_eq!(held(&[None, None]).cell(0), "none yet, of 2");
    let unknown = Lifetimes::Unknown("no answer within 10 s".to_owned());
    assert_eq!(unknown.cell(0), "unknown: no answer within 10 s");
    assert_eq!(unknown.data(0), json!({"unknown": "no answer within 10 s"}));
    for lifetimes in [held(&[]), held(&[None]), unknown] {
        assert!(!lifetimes.has_ended(i64::MAX));
    }
}

#[test]
fn the_dump_of_an_older_proxy_says_the_same() {
    let dump = json!({"certificates": [
        {"identity": "id-0", "state": "Available", "certChain": [{"expirationTime": "1970-01-01T12:00:00Z"}]},
        {"identity": "id-1", "state": "Initializing", "certChain": []},
    ]});
    assert_eq!(
        Lifetimes::of_dump(&dump),
        Some(held(&[Some("1970-01-01T12:00:00Z"), None]))
    );
    assert_eq!(Lifetimes::of_dump(&json!({"version": {}})), None);
}
