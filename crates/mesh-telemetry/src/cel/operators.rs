//! Comparison and arithmetic.

use std::borrow::Cow;
use std::cmp::Ordering;

use cel::common::ast::operators as op;

use super::evaluate::Run;
use super::functions::{list, timestamp};
use super::{EvaluationError, Value};
use crate::attributes::Type;

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Operator {
    /// The operator of this name in the tree.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            op::EQUALS => Self::Equal,
            op::NOT_EQUALS => Self::NotEqual,
            op::LESS => Self::Less,
            op::LESS_EQUALS => Self::LessOrEqual,
            op::GREATER => Self::Greater,
            op::GREATER_EQUALS => Self::GreaterOrEqual,
            op::IN => Self::In,
            op::ADD => Self::Add,
            op::SUBSTRACT => Self::Subtract,
            op::MULTIPLY => Self::Multiply,
            op::DIVIDE => Self::Divide,
            op::MODULO => Self::Modulo,
            _ => return None,
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
        }
    }

    /// What it gives for these types; absent when it cannot be used with them.
    pub(super) fn gives(self, left: Type, right: Type) -> Option<Type> {
        use Type as T;
        let number = |kind| matches!(kind, T::Int | T::Uint | T::Double);
        let dynamic = left == T::Dynamic || right == T::Dynamic;
        match self {
            Self::Equal | Self::NotEqual => {
                let comparable = left == right
                    || dynamic
                    || left == T::Null
                    || right == T::Null
                    || (number(left) && number(right));
                comparable.then_some(T::Bool)
            }
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => {
                let ordered = |kind| !matches!(kind, T::List | T::Map | T::Null);
                let comparable =
                    (left == right && ordered(left)) || dynamic || (number(left) && number(right));
                comparable.then_some(T::Bool)
            }
            Self::In => matches!(right, T::List | T::Map | T::Dynamic).then_some(T::Bool),
            _ if dynamic => Some(T::Dynamic),
            Self::Add => match (left, right) {
                (T::Timestamp, T::Duration) | (T::Duration, T::Timestamp) => Some(T::Timestamp),
                (T::Int | T::Uint | T::Double | T::String | T::Bytes | T::List | T::Duration, _)
                    if left == right =>
                {
                    Some(left)
                }
                _ => None,
            },
            Self::Subtract => match (left, right) {
                (T::Timestamp, T::Duration) => Some(T::Timestamp),
                (T::Timestamp, T::Timestamp) => Some(T::Duration),
                (T::Int | T::Uint | T::Double | T::Duration, _) if left == right => Some(left),
                _ => None,
            },
            Self::Multiply | Self::Divide => (left == right && number(left)).then_some(left),
            Self::Modulo => (left == right && matches!(left, T::Int | T::Uint)).then_some(left),
        }
    }

    pub(super) fn apply<'a>(
        self,
        run: &mut Run<'a>,
        left: Value<'a>,
        right: Value<'a>,
    ) -> Result<Value<'a>, EvaluationError> {
        match self {
            Self::Equal => Ok(Value::Bool(left.equals(&right))),
            Self::NotEqual => Ok(Value::Bool(!left.equals(&right))),
            Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual => {
                let order = left.order(&right);
                let order = match order {
                    Some(order) => order,
                    // Not a number is neither less nor more than anything.
                    None if matches!((&left, &right), (Value::Double(_), _) | (_, Value::Double(_)))
                        && left.kind() != Type::String
                        && right.kind() != Type::String =>
                    {
                        return Ok(Value::Bool(false));
                    }
                    None => return Err(EvaluationError::NoSuchOverload),
                };
                Ok(Value::Bool(match self {
                    Self::Less => order == Ordering::Less,
                    Self::LessOrEqual => order != Ordering::Greater,
                    Self::Greater => order == Ordering::Greater,
                    _ => order != Ordering::Less,
                }))
            }
            Self::In => within(run, &left, &right),
            Self::Add => add(run, left, right),
            _ => arithmetic(self, &left, &right),
        }
    }
}

fn within<'a>(run: &mut Run<'a>, item: &Value<'a>, of: &Value<'a>) -> Result<Value<'a>, EvaluationError> {
    let found = match of {
        Value::List(items) => {
            run.charge(items.len())?;
            items.iter().any(|i| i.equals(item))
        }
        Value::Map(entries) => {
            run.charge(entries.len())?;
            entries.iter().any(|(key, _)| key.equals(item))
        }
        Value::Headers(set) => match item {
            Value::String(name) => run
                .attributes()
                .header(*set, &name.to_ascii_lowercase())
                .is_some(),
            _ => false,
        },
        _ => return Err(EvaluationError::NoSuchOverload),
    };
    Ok(Value::Bool(found))
}

fn add<'a>(run: &mut Run<'a>, left: Value<'a>, right: Value<'a>) -> Result<Value<'a>, EvaluationError> {
    match (left, right) {
        (Value::String(left), Value::String(right)) => {
            run.charge_bytes(left.len() + right.len())?;
            Ok(Value::String(match (left.is_empty(), right.is_empty()) {
                (true, _) => right,
                (_, true) => left,
                _ => Cow::Owned(left.into_owned() + &right),
            }))
        }
        (Value::Bytes(left), Value::Bytes(right)) => {
            run.charge_bytes(left.len() + right.len())?;
            let mut bytes = left.into_owned();
            bytes.extend_from_slice(&right);
            Ok(Value::Bytes(Cow::Owned(bytes)))
        }
        (Value::List(left), Value::List(right)) => {
            run.charge(left.len() + right.len())?;
            Ok(list(left.iter().chain(right.iter()).cloned().collect()))
        }
        (left, right) => arithmetic(Operator::Add, &left, &right),
    }
}

fn arithmetic<'a>(
    operator: Operator,
    left: &Value<'a>,
    right: &Value<'a>,
) -> Result<Value<'a>, EvaluationError> {
    use Operator as O;
    let number = match (left, right) {
        (Value::Int(a), Value::Int(b)) => match operator {
            O::Add => a.checked_add(*b),
            O::Subtract => a.checked_sub(*b),
            O::Multiply => a.checked_mul(*b),
            O::Divide => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Value::Int),
        (Value::Uint(a), Value::Uint(b)) => match operator {
            O::Add => a.checked_add(*b),
            O::Subtract => a.checked_sub(*b),
            O::Multiply => a.checked_mul(*b),
            O::Divide => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Value::Uint),
        (Value::Double(a), Value::Double(b)) => Some(Value::Double(match operator {
            O::Add => a + b,
            O::Subtract => a - b,
            O::Multiply => a * b,
            O::Divide => a / b,
            _ => return Err(EvaluationError::NoSuchOverload),
        })),
        (Value::Duration(a), Value::Duration(b)) => match operator {
            O::Add => a.checked_add(*b),
            O::Subtract => a.checked_sub(*b),
            _ => return Err(EvaluationError::NoSuchOverload),
        }
        .map(Value::Duration),
        (Value::Timestamp(a), Value::Duration(b)) => match operator {
            O::Add => return timestamp(a + i128::from(*b)),
            O::Subtract => return timestamp(a - i128::from(*b)),
            _ => return Err(EvaluationError::NoSuchOverload),
        },
        (Value::Duration(a), Value::Timestamp(b)) if operator == O::Add => {
            return timestamp(i128::from(*a) + b);
        }
        (Value::Timestamp(a), Value::Timestamp(b)) if operator == O::Subtract => {
            i64::try_from(a - b).ok().map(Value::Duration)
        }
        _ => return Err(EvaluationError::NoSuchOverload),
    };
    number.ok_or(EvaluationError::Arithmetic)
}
