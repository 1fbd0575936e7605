use super::*;

#[test]
fn serial_numbers_are_decimal_however_long_they_are() {
    for (hex, expected) in [
        ("0", "0"),
        ("a", "10"),
        ("ff", "255"),
        ("0100", "256"),
        // The greatest of 20 octets whose first bit is not set.
        (
            "7fffffffffffffffffffffffffffffffffffffff",
            "730750818665451459101842416358141509827966271487",
        ),
    ] {
        assert_eq!(decimal(hex), expected, "{hex}");
    }
}
