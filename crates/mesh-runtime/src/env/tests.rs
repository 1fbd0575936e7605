use super::*;

fn vars(of: &[(&str, &str)]) -> HashMap<String, String> {
    of.iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

#[test]
fn every_bad_value_is_reported() {
    let vars = vars(&[("A", "x"), ("B", "maybe"), ("C", "10"), ("D", "7")]);
    let mut reader = Reader::new(&vars);
    let a: u32 = reader.parse_or("A", 1);
    let b = reader.flag_or("B", true);
    let c = reader.duration_or("C", Duration::from_secs(3));
    let d: u32 = reader.parse_or("D", 1);
    assert_eq!((a, b, c, d), (1, true, Duration::from_secs(3), 7));
    reader.reject("E", "is missing");
    let error = reader.finish(()).unwrap_err();
    let expected = "A=\"x\": invalid digit found in string\n\
                    B=\"maybe\": is neither true nor false\n\
                    C=\"10\": needs a unit: ns, us, ms, s, m, h or d\n\
                    E: is missing";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_empty_value_is_not_set() {
    let vars = vars(&[("A", "")]);
    let mut reader = Reader::new(&vars);
    assert_eq!(reader.string_or("A", "default"), "default");
    assert!(reader.flag_or("A", true));
    reader.finish(()).unwrap();
}

#[test]
fn prefixes_are_stripped() {
    let vars = vars(&[("XDS_HEADER_B", "2"), ("XDS_HEADER_A", "1"), ("XDS_ADDRESS", "x")]);
    let found = Reader::new(&vars).with_prefix("XDS_HEADER_");
    assert_eq!(found, [("A".into(), "1".into()), ("B".into(), "2".into())]);
}

#[test]
fn durations() {
    for (text, expected) in [
        ("10s", Ok(Duration::from_secs(10))),
        ("1m30s", Ok(Duration::from_secs(90))),
        ("250ms", Ok(Duration::from_millis(250))),
        ("24h", Ok(Duration::from_secs(86_400))),
        ("0s", Ok(Duration::ZERO)),
        ("", Err("is empty")),
        ("10", Err(NO_UNIT)),
        ("s", Err(NO_NUMBER)),
        ("-1s", Err(NO_NUMBER)),
        ("1.5s", Err(NO_UNIT)),
        ("1x", Err(NO_UNIT)),
        ("18446744073709551615h", Err(TOO_LONG)),
    ] {
        assert_eq!(parse_duration(text), expected, "{text}");
    }
}
