//! Reads the environment through a trait, collects every bad value, and reports them all at once.
//!
//! ```
//! use mesh_runtime::env::Reader;
//! let vars = std::collections::HashMap::from([("PORT".to_owned(), "no".to_owned())]);
//! let mut reader = Reader::new(&vars);
//! let port: u16 = reader.parse_or("PORT", 8080);
//! let name = reader.string_or("NAME", "me");
//! let error = reader.finish((port, name)).unwrap_err();
//! assert_eq!(error.to_string(), "PORT=\"no\": invalid digit found in string");
//! ```

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// Where values come from: the process, or a map in tests.
pub trait Strings {
    /// The value of `key`, if it is set.
    ///
    /// # Errors
    /// Fails when the value is not UTF-8.
    fn get(&self, key: &str) -> Result<Option<String>, NotUnicode>;

    /// Every key and value whose key starts with `prefix`, in the order of the keys. Values that are not UTF-8 are
    /// left out.
    fn with_prefix(&self, prefix: &str) -> Vec<(String, String)>;
}

/// The environment of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

/// The value is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not UTF-8")]
pub struct NotUnicode;

/// Parses values and remembers what was wrong with them.
///
/// An empty value counts as not set: Kubernetes manifests cannot leave a variable out conditionally.
pub struct Reader<'a> {
    strings: &'a dyn Strings,
    problems: Vec<Problem>,
}

/// One bad value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub key: String,
    /// What is wrong, naming the value unless it is secret.
    pub message: String,
}

/// Every bad value of the environment, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEnv(pub Vec<Problem>);

// === impl Strings ===

impl Strings for ProcessEnv {
    fn get(&self, key: &str) -> Result<Option<String>, NotUnicode> {
        match std::env::var_os(key) {
            None => Ok(None),
            Some(value) => value.into_string().map(Some).map_err(|_| NotUnicode),
        }
    }

    fn with_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        let text = |s: &OsStr| s.to_str().map(ToOwned::to_owned);
        let mut found: Vec<_> = std::env::vars_os()
            .filter_map(|(key, value)| Some((text(&key)?, text(&value)?)))
            .filter(|(key, _)| key.starts_with(prefix))
            .collect();
        found.sort();
        found
    }
}

impl Strings for HashMap<String, String> {
    fn get(&self, key: &str) -> Result<Option<String>, NotUnicode> {
        Ok(Self::get(self, key).cloned())
    }

    fn with_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        let mut found: Vec<_> = self
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        found.sort();
        found
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Reads from `strings`.
    #[must_use]
    pub fn new(strings: &'a dyn Strings) -> Self {
        Self {
            strings,
            problems: Vec::new(),
        }
    }

    /// The value as it is.
    pub fn string(&mut self, key: &str) -> Option<String> {
        match self.strings.get(key) {
            Ok(value) => value.filter(|v| !v.is_empty()),
            Err(e) => {
                self.reject(key, e.to_string());
                None
            }
        }
    }

    /// The value as it is, or a default.
    pub fn string_or(&mut self, key: &str, default: &str) -> String {
        self.string(key).unwrap_or_else(|| default.to_owned())
    }

    /// The value by its `FromStr`.
    pub fn parse<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        self.parse_with(key, |value| value.trim().parse::<T>())
    }

    /// The value by its `FromStr`, or a default.
    pub fn parse_or<T: FromStr<Err: Display>>(&mut self, key: &str, default: T) -> T {
        self.parse(key).unwrap_or(default)
    }

    /// The value by a parser of the caller's.
    pub fn parse_with<T, E: Display>(
        &mut self,
        key: &str,
        parser: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.string(key)?;
        match parser(&value) {
            Ok(parsed) => Some(parsed),
            Err(e) => {
                self.problems.push(Problem {
                    key: key.to_owned(),
                    message: format!("={value:?}: {e}"),
                });
                None
            }
        }
    }

    /// `true`/`1`/`yes`/`on` or `false`/`0`/`no`/`off`, in any case.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        self.parse_with(key, parse_bool)
    }

    /// A flag with a default.
    pub fn flag_or(&mut self, key: &str, default: bool) -> bool {
        self.flag(key).unwrap_or(default)
    }

    /// A duration such as `10s`, `1m30s`, `250ms`; a bare number is refused, since its unit would be a guess.
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        self.parse_with(key, parse_duration)
    }

    /// A duration with a default.
    pub fn duration_or(&mut self, key: &str, default: Duration) -> Duration {
        self.duration(key).unwrap_or(default)
    }

    /// Every variable whose name starts with `prefix`, keyed by the rest of the name.
    pub fn with_prefix(&mut self, prefix: &str) -> Vec<(String, String)> {
        let strip = |(key, value): (String, String)| (key[prefix.len()..].to_owned(), value);
        self.strings.with_prefix(prefix).into_iter().map(strip).collect()
    }

    /// Records that the value of `key` cannot be used, for a reason that only the caller can see.
    pub fn reject(&mut self, key: &str, why: impl Display) {
        self.problems.push(Problem {
            key: key.to_owned(),
            message: format!(": {why}"),
        });
    }

    /// `value` when nothing was wrong, else everything that was.
    ///
    /// # Errors
    /// Fails with every problem that was met since [`Reader::new`].
    pub fn finish<T>(self, value: T) -> Result<T, InvalidEnv> {
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(InvalidEnv(self.problems))
        }
    }
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

// === impl InvalidEnv ===

impl Display for InvalidEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}{}", problem.key, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidEnv {}

fn parse_bool(value: &str) -> Result<bool, &'static str> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("is neither true nor false"),
    }
}

/// Parses Go's duration notation (<https://pkg.go.dev/time#ParseDuration>) without sign and fractions, plus `d`.
///
/// # Errors
/// Fails on an empty text, a number without a unit, an unknown unit, and on overflow.
pub fn parse_duration(value: &str) -> Result<Duration, &'static str> {
    let mut rest = value.trim();
    if rest.is_empty() {
        return Err("is empty");
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(NO_UNIT)?;
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| NO_NUMBER)?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let seconds = |factor: u64| {
            number
                .checked_mul(factor)
                .map(Duration::from_secs)
                .ok_or(TOO_LONG)
        };
        let part = match unit {
            "ns" => Duration::from_nanos(number),
            "us" | "µs" => Duration::from_micros(number),
            "ms" => Duration::from_millis(number),
            "s" => seconds(1)?,
            "m" => seconds(60)?,
            "h" => seconds(60 * 60)?,
            "d" => seconds(24 * 60 * 60)?,
            _ => return Err(NO_UNIT),
        };
        total = total.checked_add(part).ok_or(TOO_LONG)?;
        rest = tail;
    }
    Ok(total)
}

const NO_UNIT: &str = "needs a unit: ns, us, ms, s, m, h or d";
const NO_NUMBER: &str = "is no whole number with a unit, such as 10s";
const TOO_LONG: &str = "is too long";

#[cfg(test)]
mod tests;
