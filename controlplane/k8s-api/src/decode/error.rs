//! What is wrong with a value, in serde's words put into ours.

use std::fmt;

use serde::de::{Expected, Unexpected};

use crate::error::{FieldPath, Position, Reason, Segment};

/// What is wrong, and where; the path is relative to what was decoded.
#[derive(Debug)]
pub(crate) struct DecodeError {
    pub(crate) at: Option<Position>,
    pub(crate) path: FieldPath,
    pub(crate) reason: Reason,
}

// === impl DecodeError ===

impl DecodeError {
    pub(super) fn new(reason: Reason) -> Self {
        Self {
            at: None,
            path: FieldPath::default(),
            reason,
        }
    }

    pub(super) fn inside(mut self, segment: Segment) -> Self {
        self.path.prepend(segment);
        self
    }
}

impl serde::de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Reason::Invalid(message.to_string()))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Reason::WrongType {
            found: match found {
                Unexpected::Unit => "null".to_owned(),
                other => other.to_string(),
            },
            expected: expected.to_string(),
        })
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Reason::Invalid(format!("is {found}, but must be {expected}")))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Reason::UnknownValue {
            found: variant.to_owned(),
            nearest: nearest(variant, expected),
            known: expected.iter().map(|&s| s.to_owned()).collect(),
        })
    }

    /// Raised while the key is decoded: [`Fields`] adds its name and place.
    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Reason::UnknownField {
            nearest: nearest(field, expected),
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Reason::Missing).inside(Segment::Field(field.to_owned()))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Reason::DuplicateKey).inside(Segment::Field(field.to_owned()))
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl std::error::Error for DecodeError {}

/// The known name that a misspelt one is closest to, when it is close enough to have been meant.
pub(crate) fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let close_enough = (name.chars().count() / 3).max(2);
    known
        .iter()
        .map(|k| (distance(&name.to_lowercase(), &k.to_lowercase()), *k))
        .min()
        .filter(|(d, _)| *d <= close_enough)
        .map(|(_, k)| k.to_owned())
}

/// Levenshtein's distance, row by row.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(LONGEST_NAME).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(LONGEST_NAME).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// No field is longer; a hostile key costs no more than this squared.
const LONGEST_NAME: usize = 64;
