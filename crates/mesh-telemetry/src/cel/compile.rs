//! From the text to nodes: names are looked up, types checked, sizes capped.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators as op,
};
use cel::parser::Parser;
use regex::Regex;

use super::functions::{self, Function};
use super::operators::Operator;
use super::{Expression, InvalidExpression, Value};
use crate::attributes::{Attribute, HeaderSet, Type, find};

/// A part of a compiled expression.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Constant(Value<'static>),
    Attribute(Attribute),
    HasAttribute(Attribute),
    /// A header whose name is constant, in lower case.
    Header(HeaderSet, Box<str>),
    HasHeader(HeaderSet, Box<str>),
    /// A variable of a macro, by its place on the stack.
    Local(usize),
    And(Box<[Self; 2]>),
    Or(Box<[Self; 2]>),
    Not(Box<Self>),
    Negate(Box<Self>),
    /// A condition, and what is given if it is true, and if it is false.
    If(Box<[Self; 3]>),
    Binary(Operator, Box<[Self; 2]>),
    Index(Box<[Self; 2]>),
    HasKey(Box<[Self; 2]>),
    Call(Function, Vec<Self>),
    Matches(Box<Self>, Regex),
    List(Vec<Self>),
    Map(Vec<[Self; 2]>),
    NotStrictlyFalse(Box<Self>),
    Loop(Box<Loop>),
}

/// What a macro becomes: one step for each element of a list, or key of a map.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub(super) range: Node,
    pub(super) start: Node,
    pub(super) condition: Node,
    pub(super) step: Node,
    pub(super) result: Node,
}

pub(super) fn compile(text: &str) -> Result<Expression, InvalidExpression> {
    check_size(text)?;
    let tree = Parser::new()
        .max_recursion_depth(MAX_DEPTH_PARSER)
        .parse(text)
        .map_err(|errors| InvalidExpression::Syntax(first_line(&errors.to_string())))?;
    let mut compiler = Compiler::default();
    let (root, kind) = compiler.expression(&tree)?;
    Ok(Expression {
        text: text.into(),
        root,
        kind,
        attributes: compiler.attributes,
    })
}

/// Caps that hold before anybody else looks at the text: its length, its parts, and how deep its brackets go.
fn check_size(text: &str) -> Result<(), InvalidExpression> {
    let too_big = |what, limit| Err(InvalidExpression::TooBig { what, limit });
    if text.len() > MAX_LENGTH {
        return too_big("its length in bytes", MAX_LENGTH);
    }
    let (mut depth, mut deepest, mut parts, mut in_word) = (0_usize, 0, 0, false);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' | '?' => depth += 1,
            ')' | ']' | '}' | ':' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
        let word = c.is_alphanumeric() || c == '_';
        let begins = !word || !in_word;
        parts += usize::from(!c.is_whitespace() && begins);
        in_word = word;
    }
    if deepest > MAX_DEPTH {
        return too_big("its depth", MAX_DEPTH);
    }
    if parts > MAX_PARTS {
        return too_big("the number of its parts", MAX_PARTS);
    }
    Ok(())
}

fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.trim_start_matches("ERROR: <input>:").to_owned()
}

#[derive(Default)]
struct Compiler {
    attributes: Vec<Attribute>,
    /// Names of the variables of the macros around, by their places on the stack.
    locals: Vec<(String, Type)>,
    depth: usize,
}

type Compiled = Result<(Node, Type), InvalidExpression>;

impl Compiler {
    fn expression(&mut self, expression: &IdedExpr) -> Compiled {
        if self.depth >= MAX_TREE_DEPTH {
            return Err(InvalidExpression::TooBig {
                what: "its depth",
                limit: MAX_DEPTH,
            });
        }
        self.depth += 1;
        let compiled = match &expression.expr {
            Expr::Literal(literal) => Ok(constant(literal)),
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                if !list.optional_indices.is_empty() {
                    return Err(InvalidExpression::Unsupported("an optional element"));
                }
                let items = list.elements.iter().map(|e| Ok(self.expression(e)?.0));
                Ok((Node::List(items.collect::<Result<_, _>>()?), Type::List))
            }
            Expr::Map(map) => {
                let mut entries = Vec::with_capacity(map.entries.len());
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(InvalidExpression::Unsupported("a message"));
                    };
                    if entry.optional {
                        return Err(InvalidExpression::Unsupported("an optional entry"));
                    }
                    entries.push([self.expression(&entry.key)?.0, self.expression(&entry.value)?.0]);
                }
                Ok((Node::Map(entries), Type::Map))
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(_) => Err(InvalidExpression::Unsupported("a message")),
            Expr::Unspecified => Err(InvalidExpression::Syntax("there is no expression".to_owned())),
        };
        self.depth -= 1;
        compiled
    }

    fn name(&self, name: &str) -> Compiled {
        match self.local(name) {
            Some((place, kind)) => Ok((Node::Local(place), kind)),
            None => Err(InvalidExpression::UnknownAttribute(name.to_owned())),
        }
    }

    fn local(&self, name: &str) -> Option<(usize, Type)> {
        let place = self.locals.iter().rposition(|(known, _)| known == name)?;
        Some((place, self.locals[place].1))
    }

    fn attribute(&mut self, attribute: Attribute) {
        if !self.attributes.contains(&attribute) {
            self.attributes.push(attribute);
        }
    }

    /// `a.b.c`: an attribute, or a field of something.
    fn select(&mut self, select: &SelectExpr) -> Compiled {
        let path = self.path(&select.operand).map(|mut path| {
            path.push('.');
            path.push_str(&select.field);
            path
        });
        if let Some(entry) = path.as_deref().and_then(find) {
            self.attribute(entry.attribute);
            return Ok(match (select.test, entry.attribute.headers()) {
                (true, _) => (Node::HasAttribute(entry.attribute), Type::Bool),
                (false, Some(set)) => (Node::Constant(Value::Headers(set)), Type::Map),
                (false, None) => (Node::Attribute(entry.attribute), entry.kind),
            });
        }
        let operand = self
            .expression(&select.operand)
            .map_err(|error| match (error, path) {
                (InvalidExpression::UnknownAttribute(_), Some(path)) => {
                    InvalidExpression::UnknownAttribute(path)
                }
                (error, _) => error,
            })?;
        let key = (Node::Constant(Value::text(select.field.clone())), Type::String);
        if select.test {
            return has_key(operand, key);
        }
        index(operand, key)
    }

    /// The dotted name that an expression is, if it is one and no variable.
    fn path(&self, expression: &IdedExpr) -> Option<String> {
        match &expression.expr {
            Expr::Ident(name) if self.local(name).is_none() => Some(name.clone()),
            Expr::Select(select) if !select.test => {
                let mut path = self.path(&select.operand)?;
                path.push('.');
                path.push_str(&select.field);
                Some(path)
            }
            _ => None,
        }
    }

    fn call(&mut self, call: &CallExpr) -> Compiled {
        let mut arguments = Vec::with_capacity(call.args.len() + 1);
        for argument in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
            arguments.push(self.expression(argument)?);
        }
        let unknown = || InvalidExpression::UnknownFunction(call.func_name.clone());
        let name = call.func_name.as_str();
        if let Some(operator) = Operator::of(name) {
            return binary(operator, two(arguments).ok_or_else(unknown)?);
        }
        match name {
            op::LOGICAL_AND | op::LOGICAL_OR => {
                let [left, right] = two(arguments).ok_or_else(unknown)?;
                for (_, kind) in [&left, &right] {
                    expect_bool(if name == op::LOGICAL_AND { "&&" } else { "||" }, *kind)?;
                }
                let both = Box::new([left.0, right.0]);
                let node = match name {
                    op::LOGICAL_AND => Node::And(both),
                    _ => Node::Or(both),
                };
                Ok((node, Type::Bool))
            }
            op::LOGICAL_NOT => {
                let (node, kind) = one(arguments).ok_or_else(unknown)?;
                expect_bool("!", kind)?;
                Ok((Node::Not(Box::new(node)), Type::Bool))
            }
            op::NEGATE => {
                let (node, kind) = one(arguments).ok_or_else(unknown)?;
                match kind {
                    Type::Int | Type::Double | Type::Dynamic => Ok((Node::Negate(Box::new(node)), kind)),
                    _ => Err(InvalidExpression::Types {
                        operator: "-",
                        left: kind.as_str(),
                        right: "nothing",
                    }),
                }
            }
            op::CONDITIONAL => {
                let [condition, yes, no] = <[_; 3]>::try_from(arguments).map_err(|_| unknown())?;
                expect_bool("?:", condition.1)?;
                let kind = if yes.1 == no.1 { yes.1 } else { Type::Dynamic };
                Ok((Node::If(Box::new([condition.0, yes.0, no.0])), kind))
            }
            op::INDEX => {
                let [of, key] = two(arguments).ok_or_else(unknown)?;
                index(of, key)
            }
            op::NOT_STRICTLY_FALSE => {
                let (node, _) = one(arguments).ok_or_else(unknown)?;
                Ok((Node::NotStrictlyFalse(Box::new(node)), Type::Bool))
            }
            "matches" => {
                let [text, pattern] = two(arguments).ok_or_else(unknown)?;
                let Node::Constant(Value::String(pattern)) = &pattern.0 else {
                    return Err(InvalidExpression::Pattern("it must be a constant".to_owned()));
                };
                expect(text.1, Type::String, "matches()")?;
                let pattern = functions::pattern(pattern)?;
                Ok((Node::Matches(Box::new(text.0), pattern), Type::Bool))
            }
            op::OPT_INDEX | op::OPT_SELECT => Err(InvalidExpression::Unsupported("an optional value")),
            _ => {
                let (function, kind) =
                    functions::find(name, arguments.len(), call.target.is_some()).ok_or_else(unknown)?;
                let arguments = arguments.into_iter().map(|(node, _)| node).collect();
                Ok((Node::Call(function, arguments), kind))
            }
        }
    }

    fn comprehension(&mut self, macro_: &ComprehensionExpr) -> Compiled {
        if macro_.iter_var2.is_some() {
            return Err(InvalidExpression::Unsupported("a macro with two variables"));
        }
        if self.locals.len() >= MAX_NESTED_LOOPS * 2 {
            return Err(InvalidExpression::TooBig {
                what: "the depth of its macros",
                limit: MAX_NESTED_LOOPS,
            });
        }
        let (range, range_kind) = self.expression(&macro_.iter_range)?;
        if !matches!(range_kind, Type::List | Type::Map | Type::Dynamic) {
            return Err(InvalidExpression::Result {
                got: range_kind.as_str(),
                wanted: "list or map",
            });
        }
        let (start, kind) = self.expression(&macro_.accu_init)?;
        self.locals.push((macro_.accu_var.clone(), kind));
        self.locals.push((macro_.iter_var.clone(), Type::Dynamic));
        let inside = (|| {
            let condition = self.expression(&macro_.loop_cond)?.0;
            let step = self.expression(&macro_.loop_step)?.0;
            Ok((condition, step))
        })();
        self.locals.pop();
        let (condition, step) = match inside {
            Ok(inside) => inside,
            Err(error) => {
                self.locals.pop();
                return Err(error);
            }
        };
        let result = self.expression(&macro_.result);
        self.locals.pop();
        let (result, kind) = result?;
        let node = Node::Loop(Box::new(Loop {
            range,
            start,
            condition,
            step,
            result,
        }));
        Ok((node, kind))
    }
}

fn constant(literal: &LiteralValue) -> (Node, Type) {
    let value = match literal {
        LiteralValue::Boolean(b) => Value::Bool(*b.inner()),
        LiteralValue::Bytes(bytes) => Value::Bytes(bytes.inner().to_vec().into()),
        LiteralValue::Double(n) => Value::Double(*n.inner()),
        LiteralValue::Int(n) => Value::Int(*n.inner()),
        LiteralValue::Null => Value::Null,
        LiteralValue::String(text) => Value::text(text.inner().to_owned()),
        LiteralValue::UInt(n) => Value::Uint(*n.inner()),
    };
    let kind = value.kind();
    (Node::Constant(value), kind)
}

fn binary(operator: Operator, [left, right]: [(Node, Type); 2]) -> Compiled {
    let Some(kind) = operator.gives(left.1, right.1) else {
        return Err(InvalidExpression::Types {
            operator: operator.as_str(),
            left: left.1.as_str(),
            right: right.1.as_str(),
        });
    };
    if operator == Operator::In
        && let (Node::Constant(Value::Headers(set)), Node::Constant(Value::String(name))) =
            (&right.0, &left.0)
    {
        return Ok((Node::HasHeader(*set, name.to_ascii_lowercase().into()), kind));
    }
    Ok((Node::Binary(operator, Box::new([left.0, right.0])), kind))
}

fn index(of: (Node, Type), key: (Node, Type)) -> Compiled {
    if let (Node::Constant(Value::Headers(set)), Node::Constant(Value::String(name))) = (&of.0, &key.0) {
        return Ok((Node::Header(*set, name.to_ascii_lowercase().into()), Type::String));
    }
    let kind = match (of.1, key.1) {
        (Type::Map | Type::Dynamic, _) | (Type::List, Type::Int | Type::Uint | Type::Dynamic) => {
            Type::Dynamic
        }
        (left, right) => {
            return Err(InvalidExpression::Types {
                operator: "[]",
                left: left.as_str(),
                right: right.as_str(),
            });
        }
    };
    Ok((Node::Index(Box::new([of.0, key.0])), kind))
}

fn has_key(of: (Node, Type), key: (Node, Type)) -> Compiled {
    if let (Node::Constant(Value::Headers(set)), Node::Constant(Value::String(name))) = (&of.0, &key.0) {
        return Ok((
            Node::HasHeader(*set, name.to_ascii_lowercase().into()),
            Type::Bool,
        ));
    }
    expect(of.1, Type::Map, "has()")?;
    Ok((Node::HasKey(Box::new([of.0, key.0])), Type::Bool))
}

fn expect_bool(operator: &'static str, kind: Type) -> Result<(), InvalidExpression> {
    expect(kind, Type::Bool, operator)
}

fn expect(kind: Type, wanted: Type, operator: &'static str) -> Result<(), InvalidExpression> {
    if kind == wanted || kind == Type::Dynamic {
        return Ok(());
    }
    Err(InvalidExpression::Types {
        operator,
        left: kind.as_str(),
        right: wanted.as_str(),
    })
}

fn one(arguments: Vec<(Node, Type)>) -> Option<(Node, Type)> {
    let [argument] = <[_; 1]>::try_from(arguments).ok()?;
    Some(argument)
}

fn two(arguments: Vec<(Node, Type)>) -> Option<[(Node, Type); 2]> {
    <[_; 2]>::try_from(arguments).ok()
}

const MAX_LENGTH: usize = 4096;
const MAX_PARTS: usize = 512;
const MAX_DEPTH: usize = 48;
/// One level of brackets is several of the grammar's.
const MAX_DEPTH_PARSER: u16 = 96;
/// Chains of operators are trees that lean to the left; macros add some levels of their own.
const MAX_TREE_DEPTH: usize = 300;
const MAX_NESTED_LOOPS: usize = 3;
