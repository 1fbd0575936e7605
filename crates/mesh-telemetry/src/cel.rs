//! Expressions over attributes, in CEL (<https://github.com/google/cel-spec>, "Language Definition").
//!
//! # Layout
//! - this file: [`Expression`], compiled once, evaluated for each request.
//! - `compile`: from the text to nodes: names are looked up, types checked, sizes capped.
//! - `evaluate`: from nodes and attributes to a value, within a number of steps.
//! - `functions`: what can be called.
//! - `operators`: comparison and arithmetic.
//! - [`value`]: what an evaluation gives.
//!
//! The `cel` crate reads the text. Its tree is compiled here instead of being walked by its interpreter: names that nobody
//! knows are errors when a policy is written and not when a request comes, constant patterns and header names are compiled
//! once, values are borrowed from the record, and every step counts against a budget.

mod compile;
mod evaluate;
mod functions;
mod operators;
pub mod value;

use std::fmt;

pub use functions::FUNCTIONS;
pub use value::Value;

use crate::attributes::{Attribute, Attributes, Since, Type, entries};
use compile::Node;

/// An expression, compiled.
#[derive(Clone)]
pub struct Expression {
    text: Box<str>,
    root: Node,
    kind: Type,
    attributes: Vec<Attribute>,
}

/// Why a text is no expression: always its author's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidExpression {
    /// It cannot be read.
    #[error("{0}")]
    Syntax(String),
    /// It is too long, too deep, or has too many parts.
    #[error("it is too big: {what} is {limit} at most")]
    TooBig {
        /// What there is too much of.
        what: &'static str,
        /// How much there may be.
        limit: usize,
    },
    /// Nobody knows such an attribute.
    #[error("there is no attribute {0:?} (docs/attributes.md has them all)")]
    UnknownAttribute(String),
    /// Nobody knows such a function.
    #[error("there is no function {0:?} with these arguments")]
    UnknownFunction(String),
    /// An operator cannot be used so.
    #[error("{operator} cannot be used with {left} and {right}")]
    Types {
        /// The operator.
        operator: &'static str,
        /// The type on its left.
        left: &'static str,
        /// The type on its right.
        right: &'static str,
    },
    /// It gives something else than what is needed.
    #[error("it gives {got} where {wanted} is needed")]
    Result {
        /// What it gives.
        got: &'static str,
        /// What is needed.
        wanted: &'static str,
    },
    /// It asks for what is known only later.
    #[error("{0} is not known yet when a request begins")]
    TooEarly(&'static str),
    /// The pattern of `matches` is none, or is not constant.
    #[error("the pattern of matches(): {0}")]
    Pattern(String),
    /// A part of the language that is not supported.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
}

/// Why an evaluation gave no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluationError {
    /// An attribute is not known of this request.
    #[error("a value is not there")]
    NotThere,
    /// A map has no such key, a list no such place.
    #[error("there is no such key")]
    NoSuchKey,
    /// An operator or function cannot take these values.
    #[error("these values cannot be used so")]
    NoSuchOverload,
    /// A number is too large, or divided by zero.
    #[error("the result is no number")]
    Arithmetic,
    /// A text cannot be read as what it should be.
    #[error("the text cannot be read")]
    Conversion,
    /// It took too many steps.
    #[error("it took too long")]
    TooCostly,
}

impl Expression {
    /// Reads, checks and compiles.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn compile(text: &str) -> Result<Self, InvalidExpression> {
        compile::compile(text)
    }

    /// One that is true or false, as filters are.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn filter(text: &str) -> Result<Self, InvalidExpression> {
        Self::compile(text)?.giving(Type::Bool)
    }

    /// One that is true or false when a request begins, as conditions of limits are.
    ///
    /// # Errors
    /// Says what is wrong with the text, or which attribute is not known then.
    pub fn condition(text: &str) -> Result<Self, InvalidExpression> {
        Self::compile(text)?.giving(Type::Bool)?.at_its_beginning()
    }

    /// One that gives a text when a request begins, as keys of limits are.
    ///
    /// # Errors
    /// Says what is wrong with the text, or which attribute is not known then.
    pub fn key(text: &str) -> Result<Self, InvalidExpression> {
        Self::compile(text)?.giving(Type::String)?.at_its_beginning()
    }

    fn giving(self, wanted: Type) -> Result<Self, InvalidExpression> {
        if self.kind == wanted || self.kind == Type::Dynamic {
            return Ok(self);
        }
        Err(InvalidExpression::Result {
            got: self.kind.as_str(),
            wanted: wanted.as_str(),
        })
    }

    fn at_its_beginning(self) -> Result<Self, InvalidExpression> {
        let late = |attribute: &Attribute| {
            let mut names = entries().filter(|entry| entry.attribute == *attribute);
            names.find(|entry| entry.since > Since::Request)
        };
        match self.attributes.iter().find_map(late) {
            None => Ok(self),
            Some(entry) => Err(InvalidExpression::TooEarly(entry.name)),
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it gives, as far as that is known.
    #[must_use]
    pub fn kind(&self) -> Type {
        self.kind
    }

    /// What it asks for.
    #[must_use]
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// Its value.
    ///
    /// # Errors
    /// Says why there is none.
    pub fn evaluate<'a>(&'a self, attributes: &'a dyn Attributes) -> Result<Value<'a>, EvaluationError> {
        evaluate::evaluate(&self.root, attributes)
    }

    /// Whether it is true. What cannot be evaluated is not.
    #[must_use]
    pub fn is_true(&self, attributes: &dyn Attributes) -> bool {
        matches!(self.evaluate(attributes), Ok(Value::Bool(true)))
    }
}

impl EvaluationError {
    /// Whether something was asked for that is absent; the expression itself did as it should.
    #[must_use]
    pub fn is_absence(self) -> bool {
        matches!(self, Self::NotThere | Self::NoSuchKey)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

#[cfg(test)]
mod tests;
