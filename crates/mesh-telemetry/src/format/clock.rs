//! Times as `strftime` writes them, and by default as Envoy does: `2026-11-21T08:05:09.123Z`.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

/// How a time is written, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clock(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(char),
    /// The default.
    Iso,
    Year,
    ShortYear,
    Month,
    MonthName(bool),
    Day,
    DaySpaced,
    DayOfYear,
    WeekdayName(bool),
    WeekdayNumber,
    Hour,
    Hour12,
    Minute,
    Second,
    HalfOfDay,
    Zone,
    ZoneName,
    /// Seconds since 1970.
    Seconds,
    /// So many digits of the second's fraction.
    Fraction(u8),
    /// Since 1970: in thousandths (3), millionths (6), billionths (9).
    Since(u8),
}

impl Clock {
    /// Compiles a format; empty is the default.
    pub(super) fn parse(format: &str) -> Option<Self> {
        if format.is_empty() {
            return Some(Self(vec![Piece::Iso]));
        }
        let mut pieces = Vec::new();
        let mut chars = format.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '%' {
                pieces.push(Piece::Text(c));
                continue;
            }
            match chars.next()? {
                'Y' => pieces.push(Piece::Year),
                'y' => pieces.push(Piece::ShortYear),
                'm' => pieces.push(Piece::Month),
                'b' | 'h' => pieces.push(Piece::MonthName(false)),
                'B' => pieces.push(Piece::MonthName(true)),
                'd' => pieces.push(Piece::Day),
                'e' => pieces.push(Piece::DaySpaced),
                'j' => pieces.push(Piece::DayOfYear),
                'a' => pieces.push(Piece::WeekdayName(false)),
                'A' => pieces.push(Piece::WeekdayName(true)),
                'w' => pieces.push(Piece::WeekdayNumber),
                'H' => pieces.push(Piece::Hour),
                'I' => pieces.push(Piece::Hour12),
                'M' => pieces.push(Piece::Minute),
                'S' => pieces.push(Piece::Second),
                'p' => pieces.push(Piece::HalfOfDay),
                'z' => pieces.push(Piece::Zone),
                'Z' => pieces.push(Piece::ZoneName),
                's' => pieces.push(Piece::Seconds),
                'f' => pieces.push(Piece::Fraction(9)),
                'E' => match (chars.next()?, chars.next()?) {
                    (digits @ '1'..='9', 'f' | 'S') => pieces.push(Piece::Fraction(digits as u8 - b'0')),
                    _ => return None,
                },
                digits @ '1'..='9' => match chars.next()? {
                    'f' => pieces.push(Piece::Fraction(digits as u8 - b'0')),
                    _ => return None,
                },
                'T' => pieces.extend([
                    Piece::Hour,
                    Piece::Text(':'),
                    Piece::Minute,
                    Piece::Text(':'),
                    Piece::Second,
                ]),
                'F' => pieces.extend([
                    Piece::Year,
                    Piece::Text('-'),
                    Piece::Month,
                    Piece::Text('-'),
                    Piece::Day,
                ]),
                'L' => pieces.push(Piece::Since(3)),
                'n' => pieces.push(Piece::Text('\n')),
                't' => pieces.push(Piece::Text('\t')),
                '%' => pieces.push(Piece::Text('%')),
                _ => return None,
            }
        }
        Some(Self(pieces))
    }

    pub(super) fn write(&self, time: SystemTime, out: &mut Vec<u8>) {
        let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let when = OffsetDateTime::from(time);
        for piece in &self.0 {
            piece.write(when, nanos, out);
        }
    }
}

impl Piece {
    fn write(&self, when: OffsetDateTime, nanos: u128, out: &mut Vec<u8>) {
        let month = || when.month().to_string();
        let weekday = || when.weekday().to_string();
        // Writing to a vector cannot fail.
        let _ = match self {
            Self::Text(c) => write!(out, "{c}"),
            Self::Iso => return iso(when, out),
            Self::Year => write!(out, "{:04}", when.year()),
            Self::ShortYear => write!(out, "{:02}", when.year().rem_euclid(100)),
            Self::Month => write!(out, "{:02}", u8::from(when.month())),
            Self::MonthName(true) => write!(out, "{}", month()),
            Self::MonthName(false) => write!(out, "{:.3}", month()),
            Self::Day => write!(out, "{:02}", when.day()),
            Self::DaySpaced => write!(out, "{:2}", when.day()),
            Self::DayOfYear => write!(out, "{:03}", when.ordinal()),
            Self::WeekdayName(true) => write!(out, "{}", weekday()),
            Self::WeekdayName(false) => write!(out, "{:.3}", weekday()),
            Self::WeekdayNumber => write!(out, "{}", when.weekday().number_days_from_sunday()),
            Self::Hour => write!(out, "{:02}", when.hour()),
            Self::Hour12 => write!(out, "{:02}", (when.hour() + 11) % 12 + 1),
            Self::Minute => write!(out, "{:02}", when.minute()),
            Self::Second => write!(out, "{:02}", when.second()),
            Self::HalfOfDay => write!(out, "{}", if when.hour() < 12 { "AM" } else { "PM" }),
            Self::Zone => write!(out, "+0000"),
            Self::ZoneName => write!(out, "UTC"),
            Self::Seconds => write!(out, "{}", nanos / 1_000_000_000),
            Self::Fraction(digits) => {
                let fraction = format!("{:09}", nanos % 1_000_000_000);
                write!(out, "{}", &fraction[..usize::from(*digits)])
            }
            Self::Since(digits) => write!(out, "{}", nanos / 10_u128.pow(9 - u32::from(*digits))),
        };
    }
}

/// The default, without going through formatting: it is in every line.
fn iso(when: OffsetDateTime, out: &mut Vec<u8>) {
    let two = |out: &mut Vec<u8>, n: u8| out.extend_from_slice(&[b'0' + n / 10 % 10, b'0' + n % 10]);
    // Years of five digits are beyond what a line can have.
    let year = u16::try_from(when.year()).unwrap_or(0) % 10_000;
    two(out, (year / 100) as u8);
    two(out, (year % 100) as u8);
    out.push(b'-');
    two(out, u8::from(when.month()));
    out.push(b'-');
    two(out, when.day());
    out.push(b'T');
    two(out, when.hour());
    out.push(b':');
    two(out, when.minute());
    out.push(b':');
    two(out, when.second());
    out.push(b'.');
    let millis = when.millisecond();
    #[expect(clippy::cast_possible_truncation, reason = "one digit")]
    out.push(b'0' + (millis / 100) as u8);
    two(out, (millis % 100) as u8);
    out.push(b'Z');
}
