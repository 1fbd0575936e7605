//! From nodes and attributes to a value, within a number of steps.

use std::sync::Arc;

use super::compile::{Loop, Node};
use super::{EvaluationError, Value, functions};
use crate::attributes::{Attribute, Attributes, HeaderSet};

/// One evaluation.
pub(super) struct Run<'a> {
    attributes: &'a dyn Attributes,
    steps: usize,
    locals: Vec<Result<Value<'a>, EvaluationError>>,
}

type Evaluated<'a> = Result<Value<'a>, EvaluationError>;

pub(super) fn evaluate<'a>(root: &'a Node, attributes: &'a dyn Attributes) -> Evaluated<'a> {
    let mut run = Run {
        attributes,
        steps: 0,
        locals: Vec::new(),
    };
    run.node(root)
}

impl<'a> Run<'a> {
    pub(super) fn attributes(&self) -> &'a dyn Attributes {
        self.attributes
    }

    /// Counts steps; there is an end to them.
    pub(super) fn charge(&mut self, steps: usize) -> Result<(), EvaluationError> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            return Err(EvaluationError::TooCostly);
        }
        Ok(())
    }

    pub(super) fn charge_bytes(&mut self, bytes: usize) -> Result<(), EvaluationError> {
        self.charge(bytes / BYTES_OF_A_STEP)
    }

    fn node(&mut self, node: &'a Node) -> Evaluated<'a> {
        self.charge(1)?;
        match node {
            Node::Constant(value) => Ok(value.clone()),
            Node::Attribute(attribute) => self.attribute(*attribute),
            Node::HasAttribute(attribute) => Ok(Value::Bool(match attribute.headers() {
                Some(_) => true,
                None => self.attributes.attribute(*attribute).is_some(),
            })),
            Node::Header(set, name) => self.header(*set, name),
            Node::HasHeader(set, name) => Ok(Value::Bool(self.attributes.header(*set, name).is_some())),
            Node::Local(place) => match &self.locals[*place] {
                Ok(value) => Ok(value.clone()),
                Err(error) => Err(*error),
            },
            Node::And(both) => self.both(both, false),
            Node::Or(both) => self.both(both, true),
            Node::Not(node) => Ok(Value::Bool(!self.bool(node)?)),
            Node::Negate(node) => match self.node(node)? {
                Value::Int(n) => n.checked_neg().map(Value::Int).ok_or(EvaluationError::Arithmetic),
                Value::Double(n) => Ok(Value::Double(-n)),
                _ => Err(EvaluationError::NoSuchOverload),
            },
            Node::If(parts) => {
                let [condition, yes, no] = parts.as_ref();
                match self.bool(condition)? {
                    true => self.node(yes),
                    false => self.node(no),
                }
            }
            Node::Binary(operator, both) => {
                let (left, right) = (self.node(&both[0])?, self.node(&both[1])?);
                operator.apply(self, left, right)
            }
            Node::Index(both) => {
                let (of, key) = (self.node(&both[0])?, self.node(&both[1])?);
                self.index(&of, &key)
            }
            Node::HasKey(both) => {
                let (of, key) = (self.node(&both[0])?, self.node(&both[1])?);
                match self.index(&of, &key) {
                    Ok(_) => Ok(Value::Bool(true)),
                    Err(EvaluationError::NoSuchKey) => Ok(Value::Bool(false)),
                    Err(error) => Err(error),
                }
            }
            Node::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.node(argument)?);
                }
                functions::call(self, *function, &values)
            }
            Node::Matches(text, pattern) => match self.node(text)? {
                Value::String(text) => {
                    self.charge_bytes(text.len())?;
                    Ok(Value::Bool(pattern.is_match(&text)))
                }
                _ => Err(EvaluationError::NoSuchOverload),
            },
            Node::List(items) => {
                let items: Result<Vec<_>, _> = items.iter().map(|item| self.node(item)).collect();
                Ok(functions::list(items?))
            }
            Node::Map(entries) => {
                let mut values: Vec<(Value<'a>, Value<'a>)> = Vec::with_capacity(entries.len());
                for [key, value] in entries {
                    values.push((self.node(key)?, self.node(value)?));
                }
                Ok(Value::Map(Arc::from(values)))
            }
            Node::NotStrictlyFalse(node) => {
                let strictly_false = matches!(self.node(node), Ok(Value::Bool(false)));
                Ok(Value::Bool(!strictly_false))
            }
            Node::Loop(parts) => self.loop_over(parts),
        }
    }

    fn bool(&mut self, node: &'a Node) -> Result<bool, EvaluationError> {
        match self.node(node)? {
            Value::Bool(b) => Ok(b),
            _ => Err(EvaluationError::NoSuchOverload),
        }
    }

    /// `&&` and `||`: what decides alone does so whichever side it is on, and whatever is wrong with the other
    /// (CEL, "Logical operators").
    fn both(&mut self, both: &'a [Node; 2], decides: bool) -> Evaluated<'a> {
        let left = self.bool(&both[0]);
        if left == Ok(decides) {
            return Ok(Value::Bool(decides));
        }
        let right = self.bool(&both[1]);
        if right == Ok(decides) {
            return Ok(Value::Bool(decides));
        }
        left?;
        right.map(Value::Bool)
    }

    fn attribute(&self, attribute: Attribute) -> Evaluated<'a> {
        self.attributes
            .attribute(attribute)
            .ok_or(EvaluationError::NotThere)
    }

    fn header(&self, set: HeaderSet, name: &str) -> Evaluated<'a> {
        let value = self.attributes.header(set, name);
        value.map(Value::String).ok_or(EvaluationError::NoSuchKey)
    }

    fn index(&mut self, of: &Value<'a>, key: &Value<'a>) -> Evaluated<'a> {
        match (of, key) {
            (Value::Headers(set), Value::String(name)) => self.header(*set, &name.to_ascii_lowercase()),
            (Value::Headers(_), _) => Err(EvaluationError::NoSuchKey),
            (Value::Map(entries), key) => {
                self.charge(entries.len())?;
                let found = entries.iter().find(|(k, _)| k.equals(key));
                found
                    .map(|(_, value)| value.clone())
                    .ok_or(EvaluationError::NoSuchKey)
            }
            (Value::List(items), Value::Int(place)) => {
                let place = usize::try_from(*place).map_err(|_| EvaluationError::NoSuchKey)?;
                items.get(place).cloned().ok_or(EvaluationError::NoSuchKey)
            }
            (Value::List(items), Value::Uint(place)) => {
                let place = usize::try_from(*place).map_err(|_| EvaluationError::NoSuchKey)?;
                items.get(place).cloned().ok_or(EvaluationError::NoSuchKey)
            }
            _ => Err(EvaluationError::NoSuchOverload),
        }
    }

    fn loop_over(&mut self, parts: &'a Loop) -> Evaluated<'a> {
        let items: Vec<Value<'a>> = match self.node(&parts.range)? {
            Value::List(items) => items.to_vec(),
            Value::Map(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
            Value::Headers(set) => {
                let names = self.attributes.header_names(set);
                names.into_iter().map(Value::String).collect()
            }
            _ => return Err(EvaluationError::NoSuchOverload),
        };
        self.charge(items.len())?;
        let start = self.node(&parts.start);
        // The result so far, and the element; what is wrong with the one may be made good by a later step.
        let place = self.locals.len();
        self.locals.push(start);
        self.locals.push(Ok(Value::Null));
        for item in items {
            self.locals[place + 1] = Ok(item);
            match self.node(&parts.condition) {
                Ok(Value::Bool(true)) => {}
                Ok(_) => break,
                Err(error) => {
                    self.locals.truncate(place);
                    return Err(error);
                }
            }
            let step = self.node(&parts.step);
            self.locals[place] = step;
        }
        self.locals.truncate(place + 1);
        let result = self.node(&parts.result);
        self.locals.truncate(place);
        result
    }
}

const MAX_STEPS: usize = 10_000;
/// What is copied or searched counts, but less than a step for each byte.
const BYTES_OF_A_STEP: usize = 64;
