//! What is left of a policy that is not understood as a whole, in its safe direction: an ALLOW allows less than its author
//! meant, a DENY denies more, and mutual TLS is demanded.
//!
//! For sources that cannot refuse an object: an API server has taken it already, and its author believes that it protects
//! something. Where not even its target is understood nothing is left of it: whom it would hit is anybody's guess.

use crate::error::Position;
use crate::object::{Kind, Located, Object};
use crate::raw::RawObject;
use crate::tree::{Entry, Tree, Value};

impl RawObject {
    /// The policy in its safe direction; nothing for other kinds, and where its target is not understood.
    #[must_use]
    pub fn strictest(self, kind: Kind) -> Option<Located<Object>> {
        match kind {
            Kind::AuthorizationPolicy => authorization(self),
            Kind::PeerAuthentication => peer_authentication(self),
            _ => None,
        }
    }
}

/// Rules that are not understood: of a DENY, and of what somebody else decides, each becomes one that matches everything;
/// of an ALLOW it goes. An ALLOW without rules allows nothing.
fn authorization(mut policy: RawObject) -> Option<Located<Object>> {
    let kind = Kind::AuthorizationPolicy;
    let rules = policy.take_of_spec("rules");
    let frame = policy.clone().with_rules(vec![anything()]);
    if frame.understand(kind).is_err() {
        // Whatever the action was to be, allowing nothing is no less strict.
        policy.take_of_spec("action");
        policy.take_of_spec("provider");
        return policy.understand(kind).ok();
    }
    let widens = matches!(policy.text_of_spec("action"), Some("DENY" | "CUSTOM"));
    let rules = match rules.map(|rules| rules.value) {
        Some(Value::List(rules)) => rules,
        // No list: as one rule that is not understood.
        Some(_) => vec![Tree::new(Value::Null)],
        None => Vec::new(),
    };
    let mut left = Vec::new();
    for rule in rules {
        let alone = policy.clone().with_rules(vec![rule.clone()]);
        match alone.understand(kind) {
            Ok(_) => left.push(rule),
            Err(_) if widens => left.push(anything()),
            Err(_) => {}
        }
    }
    match left.is_empty() {
        true => policy.understand(kind).ok(),
        false => policy.with_rules(left).understand(kind).ok(),
    }
}

fn peer_authentication(mut policy: RawObject) -> Option<Located<Object>> {
    for field in ["mtls", "portLevelMtls"] {
        policy.take_of_spec(field);
    }
    let mode = entry("mode", Value::String("STRICT".to_owned()));
    policy.put_into_spec("mtls", Value::Map(vec![mode]));
    policy.understand(Kind::PeerAuthentication).ok()
}

impl RawObject {
    fn with_rules(mut self, rules: Vec<Tree>) -> Self {
        self.put_into_spec("rules", Value::List(rules));
        self
    }

    fn put_into_spec(&mut self, field: &str, value: Value) {
        if let Some(spec) = self.spec_mut() {
            spec.push(entry(field, value));
        }
    }

    fn take_of_spec(&mut self, field: &str) -> Option<Tree> {
        let spec = self.spec_mut()?;
        let at = spec.iter().position(|entry| entry.key == field)?;
        Some(spec.remove(at).value)
    }

    fn text_of_spec(&self, field: &str) -> Option<&str> {
        self.tree().field("spec")?.text(field)
    }

    fn spec_mut(&mut self) -> Option<&mut Vec<Entry>> {
        let Value::Map(entries) = &mut self.tree_mut().value else {
            return None;
        };
        let spec = entries.iter_mut().find(|entry| entry.key == "spec")?;
        match &mut spec.value.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }
}

impl Tree {
    fn new(value: Value) -> Self {
        Self {
            at: Position::START,
            value,
        }
    }
}

/// A rule that matches everything.
fn anything() -> Tree {
    Tree::new(Value::Map(Vec::new()))
}

fn entry(key: &str, value: Value) -> Entry {
    Entry {
        key: key.to_owned(),
        key_at: Position::START,
        value: Tree::new(value),
    }
}

#[cfg(test)]
mod tests;
