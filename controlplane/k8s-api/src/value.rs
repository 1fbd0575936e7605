//! Values that several groups write in the same way: durations and percentages.

use std::time::Duration;

use mesh_types::Strng;
use serde::Deserialize;

/// A duration as Gateway API writes it (GEP-2257): `1h2m3s4ms`, whole numbers, at most four parts, nothing negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(try_from = "GatewayText")]
pub struct GatewayDuration(pub Duration);

/// A duration as Istio writes it, which is as Go does: `1.5s`, `1h0.5m`, `300ms`; nothing negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(try_from = "IstioText")]
pub struct IstioDuration(pub Duration);

/// A share of requests, 0 to 100, as Istio writes it.
#[derive(Clone, Copy, Debug, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Percent {
    /// The share in percent.
    pub value: f64,
}

/// A [`GatewayDuration`] as text; by this name a schema knows its form.
#[derive(Deserialize)]
#[serde(rename = "GatewayDuration")]
struct GatewayText(Strng);

/// An [`IstioDuration`] as text; by this name a schema knows its form.
#[derive(Deserialize)]
#[serde(rename = "IstioDuration")]
struct IstioText(Strng);

impl TryFrom<GatewayText> for GatewayDuration {
    type Error = String;

    fn try_from(GatewayText(text): GatewayText) -> Result<Self, String> {
        gateway_duration(&text).map(Self).ok_or_else(|| {
            format!(
                "{:?} is no duration: whole numbers with the units h, m, s, ms, as in 1m30s",
                text.as_str()
            )
        })
    }
}

impl TryFrom<IstioText> for IstioDuration {
    type Error = String;

    fn try_from(IstioText(text): IstioText) -> Result<Self, String> {
        istio_duration(&text).map(Self).ok_or_else(|| {
            format!(
                "{:?} is no duration: numbers with the units h, m, s, ms, us, ns, as in 1m30s or 0.5s",
                text.as_str()
            )
        })
    }
}

/// `^([0-9]{1,5}(h|m|s|ms)){1,4}$`.
fn gateway_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        if !(1..=5).contains(&digits) || parts == 4 {
            return None;
        }
        let (unit, behind) = unit(behind, &GATEWAY_UNITS)?;
        total += Duration::from_nanos(unit).checked_mul(number.parse().ok()?)?;
        (rest, parts) = (behind, parts + 1);
    }
    (parts > 0).then_some(total)
}

/// `time.ParseDuration` of Go, without signs.
fn istio_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let length = rest
            .bytes()
            .take_while(|b| b.is_ascii_digit() || *b == b'.')
            .count();
        let (number, behind) = rest.split_at(length);
        let (unit, behind) = unit(behind, &ISTIO_UNITS)?;
        nanos = nanos.checked_add(scaled(number, unit)?)?;
        rest = behind;
    }
    // Go's durations are signed.
    (nanos <= i64::MAX as u64).then(|| Duration::from_nanos(nanos))
}

/// A decimal number of units, in nanoseconds; digits beyond a nanosecond are cut off.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut nanos = whole.checked_mul(unit)?;
    let mut weight = unit;
    for digit in fraction.bytes() {
        weight /= 10;
        nanos = nanos.checked_add(weight * u64::from(digit - b'0'))?;
    }
    Some(nanos)
}

fn unit<'a>(text: &'a str, units: &[(&str, u64)]) -> Option<(u64, &'a str)> {
    units
        .iter()
        .find_map(|(name, nanos)| text.strip_prefix(name).map(|rest| (*nanos, rest)))
}

/// Units with their length in nanoseconds; longer names come first.
const GATEWAY_UNITS: [(&str, u64); 4] = [
    ("ms", 1_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];
const ISTIO_UNITS: [(&str, u64); 8] = [
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ns", 1),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];

#[cfg(test)]
mod tests;
