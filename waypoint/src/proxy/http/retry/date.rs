//! Dates in headers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A date as it is to be written since 1995 (RFC 9110, section 5.6.7: `IMF-fixdate`); its older forms are not read.
pub(crate) fn at(text: &str) -> Option<SystemTime> {
    let (_, text) = text.split_once(", ")?;
    let mut parts = text.split(' ');
    let mut next = || parts.next();
    let day: u64 = next()?.parse().ok()?;
    let name = next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64;
    let year: u64 = next()?.parse().ok()?;
    let mut time = next()?.split(':').map(|part| part.parse::<u64>().ok());
    let mut part = |most| time.next()?.filter(|part| *part <= most);
    let (hour, minute, second) = (part(23)?, part(59)?, part(60)?);
    let ends = parts.next() == Some("GMT") && parts.next().is_none();
    if !ends || !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_before(year, month) + day - 1;
    Some(UNIX_EPOCH + Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

/// Days from 1970 to the first of a month, which counts from 0.
fn days_before(year: u64, month: u64) -> u64 {
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let is_leap = leaps(year) > leaps(year - 1);
    let of_year: u64 = LENGTHS[..usize::try_from(month).unwrap_or(0)].iter().sum();
    let leap_day = u64::from(is_leap && month > 1);
    (year - 1970) * 365 + leaps(year - 1) - leaps(1969) + of_year + leap_day
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
