//! How texts are compared.

use std::fmt;
use std::sync::{Arc, OnceLock};

use mesh_types::Strng;

/// A text to compare with. An empty prefix matches any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// This text.
    Exact(Strng),
    /// Texts that begin so.
    Prefix(Strng),
    /// Texts that end so.
    Suffix(Strng),
    /// Texts that match as a whole.
    Regex(Pattern),
    /// Any text, as long as there is one.
    Present,
}

/// A regular expression in RE2's syntax, compiled when it is decoded, that must match the whole text.
#[derive(Clone)]
pub struct Pattern {
    text: Strng,
    compiled: regex::Regex,
    /// Made when it is needed.
    search: Arc<OnceLock<regex::Regex>>,
}

/// Why a regular expression is refused; the fault is its author's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no regular expression: {reason}")]
pub struct InvalidPattern {
    /// What was written.
    pub text: String,
    /// What is wrong with it, in a line.
    pub reason: String,
}

impl Pattern {
    /// Compiles; `text` is anchored at both ends.
    ///
    /// # Errors
    /// When it is malformed, or its program would exceed 1 MiB.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        // By itself first: `a)|(b` would be well-formed between the anchors' parentheses, and match anywhere.
        regex_syntax::parse(text).map_err(|e| InvalidPattern::new(text, &e))?;
        let compiled = regex::RegexBuilder::new(&format!("^(?:{text})$"))
            .size_limit(PROGRAM_LIMIT)
            .build();
        compiled
            .map(|compiled| Self {
                text: text.into(),
                compiled,
                search: Arc::default(),
            })
            .map_err(|e| InvalidPattern::new(text, &e))
    }

    /// Whether it matches the whole of `text`.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every text that matches begins with, as far as the expression shows it at first sight; often nothing.
    #[must_use]
    pub fn literal_prefix(&self) -> String {
        let mut prefix = String::new();
        // Alternatives may begin with anything.
        if self.text.contains('|') {
            return prefix;
        }
        let mut rest = self.text.trim_start_matches('^').chars();
        while let Some(c) = rest.next() {
            match c {
                '\\' => match rest.next() {
                    Some(escaped) if escaped.is_ascii_punctuation() => prefix.push(escaped),
                    _ => break,
                },
                // What stands before one of these may be absent.
                '*' | '?' | '{' => {
                    prefix.pop();
                    break;
                }
                '.' | '[' | ']' | '(' | ')' | '}' | '+' | '^' | '$' => break,
                literal => prefix.push(literal),
            }
        }
        prefix
    }

    /// The expression without anchors, for replacements; its groups are numbered as in the text that was written.
    #[must_use]
    pub fn search(&self) -> &regex::Regex {
        self.search.get_or_init(|| {
            let search = regex::RegexBuilder::new(&self.text)
                .size_limit(PROGRAM_LIMIT)
                .build();
            // What is well formed within a group and anchors is so without them, and no larger.
            search.unwrap_or_else(|_| self.compiled.clone())
        })
    }
}

impl InvalidPattern {
    fn new(text: &str, error: &dyn fmt::Display) -> Self {
        Self {
            text: text.to_owned(),
            reason: error.to_string().lines().last().unwrap_or_default().to_owned(),
        }
    }
}

impl TextMatch {
    /// Whether `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact.as_str(),
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::Regex(pattern) => pattern.is_match(text),
            Self::Present => true,
        }
    }

    /// Whether `text` matches, letters of both cases being the same (ASCII).
    #[must_use]
    pub fn matches_ignoring_case(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text.eq_ignore_ascii_case(exact),
            Self::Prefix(prefix) => {
                let head = text.as_bytes().get(..prefix.len());
                head.is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
            }
            Self::Suffix(suffix) => text
                .len()
                .checked_sub(suffix.len())
                .is_some_and(|at| text.as_bytes()[at..].eq_ignore_ascii_case(suffix.as_bytes())),
            Self::Regex(pattern) => pattern.is_match(text),
            Self::Present => true,
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

/// In bytes; a larger program is an attack or a mistake.
const PROGRAM_LIMIT: usize = 1 << 20;

#[cfg(test)]
mod tests;
