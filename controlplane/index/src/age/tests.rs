use super::*;

#[test]
fn times_of_api_servers() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2000-02-29T12:00:01Z", Some(951_825_601)),
        ("2026-08-20T10:11:12Z", Some(1_787_220_672)),
        ("2026-08-20T10:11:12.345Z", Some(1_787_220_672)),
        ("1969-12-31T23:59:59Z", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-08-20T10:11:12+02:00", None),
        ("2026-08-20", None),
        ("", None),
    ] {
        assert_eq!(seconds_of(text), seconds, "{text}");
    }
}
