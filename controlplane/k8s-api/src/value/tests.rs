use super::*;

#[test]
fn gateway_durations_are_whole_numbers_with_units() {
    let millis = |text: &str| gateway_duration(text).map(|d| d.as_millis());
    for (text, expected) in [
        ("0s", 0),
        ("10s", 10_000),
        ("1h2m3s4ms", 3_723_004),
        ("500ms", 500),
        ("99999h", 359_996_400_000),
        ("1m1m", 120_000),
    ] {
        assert_eq!(millis(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "0",
        "10",
        "s",
        "1.5s",
        "-1s",
        "100000s",
        "1s2s3s4s5s",
        "1d",
        "1us",
        "1 s",
        "1S",
    ] {
        assert_eq!(millis(text), None, "{text}");
    }
}

#[test]
fn istio_durations_are_gos() {
    let micros = |text: &str| istio_duration(text).map(|d| d.as_micros());
    for (text, expected) in [
        ("0", 0),
        ("0s", 0),
        ("1.5s", 1_500_000),
        (".5s", 500_000),
        ("1.s", 1_000_000),
        ("1h15m30.918273s", 4_530_918_273),
        ("300ms", 300_000),
        ("7us", 7),
        ("7µs", 7),
        ("1000ns", 1),
        ("0.0000001h", 360),
        ("2562047h", 9_223_369_200_000_000),
    ] {
        assert_eq!(micros(text), Some(expected), "{text}");
    }
    for text in [
        "",
        "1",
        "s",
        ".s",
        "1..5s",
        "-1s",
        "+1s",
        "1d",
        "1S",
        "2562048h",
        "99999999999999999999s",
        "1s ",
    ] {
        assert_eq!(micros(text), None, "{text}");
    }
}
