//! Where something is wrong, in which object and field, and why.

use std::fmt;

use crate::object::ObjectRef;

/// One thing that is wrong with a file. Its text is one line: `3:5: AuthorizationPolicy shop/web: spec.rules[0].from:
/// is empty`; whoever knows the file's name puts it in front.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    /// Where in the text.
    pub at: Position,
    /// Which object, as far as it could be told.
    pub object: Option<Box<ObjectRef>>,
    /// Which field; empty for the object as a whole.
    pub field: FieldPath,
    /// Why.
    pub reason: Reason,
}

/// A place in a text, both counted from 1; a file without any text is at 1:1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// The way to a field: `spec.rules[0].from[1].source`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FieldPath(Vec<Segment>);

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Into a mapping.
    Field(String),
    /// Into a list.
    Item(usize),
}

/// Why an object is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The text is no YAML.
    Syntax(String),
    /// A mapping has the same key twice.
    DuplicateKey,
    /// The field does not exist on this kind.
    UnknownField {
        /// The field that was probably meant.
        nearest: Option<String>,
    },
    /// A required field is absent.
    Missing,
    /// A value of another type is needed.
    WrongType {
        /// What is there.
        found: String,
        /// What is needed.
        expected: String,
    },
    /// The value is none of the known ones.
    UnknownValue {
        /// What is there.
        found: String,
        /// The value that was probably meant.
        nearest: Option<String>,
        /// All values.
        known: Vec<String>,
    },
    /// The value, or its combination with others, is not allowed.
    Invalid(String),
}

// === impl ParseError ===

impl ParseError {
    /// The error with the file's name in front: `policies.yaml:3:5: …`.
    #[must_use]
    pub fn in_file(&self, file: &str) -> String {
        one_line(&format!("{file}:{self}"))
    }

    /// The error of an object that nobody reads as a text, such as an API server's.
    #[must_use]
    pub fn without_place(&self) -> String {
        let text = self.to_string();
        let place = format!("{}: ", self.at);
        text.strip_prefix(&place).map(str::to_owned).unwrap_or(text)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.object.as_ref().map(|o| format!(" {o}:")).unwrap_or_default();
        let field = if self.field.is_empty() {
            String::new()
        } else {
            format!(" {}:", self.field)
        };
        f.write_str(&one_line(&format!("{}:{object}{field} {}", self.at, self.reason)))
    }
}

// === impl Position ===

impl Position {
    /// The beginning of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

// === impl FieldPath ===

impl FieldPath {
    /// Whether this is the object itself.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The steps, outermost first.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.0.iter()
    }

    /// A field of the thing that this path leads to.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.with(Segment::Field(name.to_owned()))
    }

    /// An item of the list that this path leads to.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.with(Segment::Item(index))
    }

    /// A path further inside the thing that this path leads to.
    pub(crate) fn join(&self, inner: &Self) -> Self {
        let mut path = self.clone();
        path.0.extend(inner.0.iter().cloned());
        path
    }

    /// The path from a field on, where this path leads through it.
    pub(crate) fn inside(&self, field: &str) -> Option<Self> {
        let (first, rest) = self.0.split_first()?;
        (*first == Segment::Field(field.to_owned())).then(|| Self(rest.to_vec()))
    }

    /// Puts a step in front: paths of decoding errors grow from the inside out.
    pub(crate) fn prepend(&mut self, segment: Segment) {
        self.0.insert(0, segment);
    }

    fn with(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }
}

/// `"spec.mtls".into()`: dotted field names, without items.
impl From<&str> for FieldPath {
    fn from(dotted: &str) -> Self {
        Self(dotted.split('.').map(|s| Segment::Field(s.to_owned())).collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            match segment {
                // Label and annotation keys hold dots themselves.
                Segment::Field(name) if name.contains('.') => write!(f, "[{name:?}]")?,
                Segment::Field(name) if i == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

// === impl Reason ===

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(why) => write!(f, "not valid YAML: {why}"),
            Self::DuplicateKey => f.write_str("is there twice"),
            Self::UnknownField { nearest: None } => f.write_str("there is no such field"),
            Self::UnknownField { nearest: Some(name) } => {
                write!(f, "there is no such field; did you mean {name:?}?")
            }
            Self::Missing => f.write_str("is required"),
            Self::WrongType { found, expected } => write!(f, "is {found}, but must be {expected}"),
            Self::UnknownValue {
                found,
                nearest: Some(nearest),
                ..
            } => write!(f, "{found:?} is not known; did you mean {nearest:?}?"),
            Self::UnknownValue { found, known, .. } => {
                write!(f, "{found:?} is not known, only {}", known.join(", "))
            }
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

/// Outside text ends up in messages: line breaks and control characters become visible escapes.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
