//! What is left of a policy that is not understood as a whole, in its safe direction: an ALLOW allows less than its author
//! meant, a DENY denies more, mutual TLS is demanded, and tokens that cannot be judged are refused.
//!
//! For sources that cannot refuse an object: an API server has taken it already, and its author believes that it protects
//! something. Where not even its target is understood nothing is left of it: whom it would hit is anybody's guess.

mod request_authentication;

use std::fmt;

use crate::error::Position;
use crate::object::{Kind, Located, Object};
use crate::raw::RawObject;
use crate::tree::{Entry, Tree, Value};

/// A policy in its safe direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Strictest {
    /// What is left of it.
    pub object: Located<Object>,
    /// What its parts that are not understood come to, in their order.
    pub parts: Vec<StrictPart>,
}

/// A part of a policy that is not understood, and what it comes to. As text it is one clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrictPart {
    /// Which: `spec.rules[0]`.
    pub field: String,
    /// What it comes to.
    pub sense: StrictSense,
}

/// What a part of a policy comes to that is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrictSense {
    /// A rule of an ALLOW: nobody is allowed by it.
    AllowsNobody,
    /// A rule of a DENY: everybody is denied by it.
    DeniesEverybody,
    /// A rule of a CUSTOM: the provider is asked about everybody.
    AsksAboutEverybody,
    /// A rule of an AUDIT: it is noted of everybody.
    AuditsEverybody,
    /// What the whole policy is to do: it is an ALLOW without rules.
    PolicyAllowsNobody,
    /// The mode of mutual TLS: it is STRICT.
    RequiresMutualTls,
    /// A rule for an issuer's tokens: it accepts none of them.
    RefusesTokensOfIssuer,
    /// A rule for tokens of whom nobody can tell: none is accepted but by the other rules.
    RefusesOtherTokens,
}

impl RawObject {
    /// The policy in its safe direction; nothing for other kinds, and where its target is not understood.
    #[must_use]
    pub fn strictest(self, kind: Kind) -> Option<Strictest> {
        match kind {
            Kind::AuthorizationPolicy => authorization(self),
            Kind::PeerAuthentication => peer_authentication(self),
            Kind::RequestAuthentication => request_authentication::strictest(self),
            _ => None,
        }
    }
}

impl fmt::Display for StrictPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let means = match self.sense {
            StrictSense::AllowsNobody => "the policy allows nobody by that rule",
            StrictSense::DeniesEverybody => "the policy denies everybody by that rule",
            StrictSense::AsksAboutEverybody => "its provider is asked about everybody by that rule",
            StrictSense::AuditsEverybody => "everybody is audited by that rule",
            StrictSense::PolicyAllowsNobody => "the policy allows nobody",
            StrictSense::RequiresMutualTls => "mutual TLS is required, on every port",
            StrictSense::RefusesTokensOfIssuer => "no token of its issuer is accepted by that rule",
            StrictSense::RefusesOtherTokens => "tokens that no other rule accepts are refused",
        };
        write!(f, "{} cannot be read, so {means}", self.field)
    }
}

/// Rules that are not understood stay where they are, as [`Rule::unreadable`](crate::security::Rule): what is said of the
/// others names their places as they are written.
fn authorization(mut policy: RawObject) -> Option<Strictest> {
    let kind = Kind::AuthorizationPolicy;
    let rules = policy.take_of_spec("rules");
    let frame = policy.clone().with_rules(vec![anything()]);
    if frame.understand(kind).is_err() {
        // Whatever the action was to be, allowing nothing is no less strict.
        policy.take_of_spec("action");
        policy.take_of_spec("provider");
        let parts = vec![part("spec.action".to_owned(), StrictSense::PolicyAllowsNobody)];
        let object = policy.understand(kind).ok()?;
        return Some(Strictest { object, parts });
    }
    let sense = sense_of_rules(&policy);
    let (rules, is_list) = match rules.map(|rules| rules.value) {
        Some(Value::List(rules)) => (rules, true),
        // No list: as one rule that is not understood.
        Some(_) => (vec![Tree::new(Value::Null)], false),
        None => (Vec::new(), true),
    };
    let (mut kept, mut broken) = (Vec::new(), Vec::new());
    for (i, rule) in rules.into_iter().enumerate() {
        let alone = policy.clone().with_rules(vec![rule.clone()]);
        if alone.understand(kind).is_ok() {
            kept.push(rule);
        } else {
            kept.push(anything());
            broken.push(i);
        }
    }
    let policy = match kept.is_empty() {
        true => policy,
        false => policy.with_rules(kept),
    };
    let mut object = policy.understand(kind).ok()?;
    let Object::AuthorizationPolicy(understood) = &mut object.value else {
        return None;
    };
    let mut parts = Vec::new();
    for i in broken {
        understood.spec.rules.get_mut(i)?.unreadable = true;
        let field = match is_list {
            true => format!("spec.rules[{i}]"),
            false => "spec.rules".to_owned(),
        };
        parts.push(part(field, sense));
    }
    Some(Strictest { object, parts })
}

fn sense_of_rules(policy: &RawObject) -> StrictSense {
    match policy.text_of_spec("action") {
        Some("DENY") => StrictSense::DeniesEverybody,
        Some("CUSTOM") => StrictSense::AsksAboutEverybody,
        Some("AUDIT") => StrictSense::AuditsEverybody,
        _ => StrictSense::AllowsNobody,
    }
}

fn peer_authentication(mut policy: RawObject) -> Option<Strictest> {
    let kind = Kind::PeerAuthentication;
    policy.take_of_spec("portLevelMtls");
    let field = match policy.clone().understand(kind) {
        Ok(_) => "spec.portLevelMtls",
        Err(_) => "spec.mtls",
    };
    policy.take_of_spec("mtls");
    let mode = entry("mode", Value::String("STRICT".to_owned()));
    policy.put_into_spec("mtls", Value::Map(vec![mode]));
    let object = policy.understand(kind).ok()?;
    let parts = vec![part(field.to_owned(), StrictSense::RequiresMutualTls)];
    Some(Strictest { object, parts })
}

fn part(field: String, sense: StrictSense) -> StrictPart {
    StrictPart { field, sense }
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

    /// Takes every field but these, and says their names.
    fn take_others_of_spec(&mut self, known: &[&str]) -> Vec<String> {
        let Some(spec) = self.spec_mut() else {
            return Vec::new();
        };
        let others = spec.extract_if(.., |entry| !known.contains(&entry.key.as_str()));
        others.map(|entry| entry.key).collect()
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
