use super::*;

#[test]
fn times_are_read_as_they_are_written() {
    for (time, expected) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2000-02-29T12:00:01Z", Some(951_825_601)),
        ("2026-11-21T17:23:25Z", Some(1_795_281_805)),
        ("2026-11-21T17:23:25.123Z", Some(1_795_281_805)),
        ("never", None),
    ] {
        assert_eq!(seconds(time), expected, "{time}");
    }
}

#[test]
fn spans_have_their_two_greatest_units() {
    for (length, expected) in [
        (0, "0s"),
        (59, "59s"),
        (-61, "1m1s"),
        (3_599, "59m59s"),
        (86_399, "23h59m"),
        (90_000, "1d1h"),
        (864_000, "10d0h"),
    ] {
        assert_eq!(span(length), expected, "{length}");
    }
}
