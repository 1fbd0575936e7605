//! What a request is counted as.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use mesh_model::l7::TextMatch;
use mesh_model::l7::rate_limit::{self, DescriptorSource, LocalLimit};
use mesh_model::l7::request::{Claims, Client, Request};
use mesh_telemetry::attributes::Attributes;
use mesh_telemetry::cel::{Expression, Value};
use mesh_types::{Identity, Strng};

use super::buckets::{Bucket, Buckets, Rate};

/// A request, or a connection.
pub(super) struct Counted<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) request: Option<(&'a Request<'a>, &'a Claims)>,
    /// What expressions ask for.
    pub(super) attributes: &'a dyn Attributes,
}

/// What a request is counted as, compiled.
#[derive(Debug)]
pub(super) struct Descriptor {
    when: Option<Compiled>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Strng,
    source: Source,
    value: Option<TextMatch>,
}

#[derive(Debug)]
enum Source {
    Known(DescriptorSource),
    Expression(Compiled),
}

/// An expression; nothing where it is none, which the control plane refuses.
#[derive(Debug)]
struct Compiled(Option<Expression>);

/// A limit that is counted here.
#[derive(Debug)]
pub(super) struct Local {
    /// The policy and the limit's place in it.
    pub(super) name: Strng,
    pub(super) rate: Rate,
    descriptor: Descriptor,
    /// A limit that changed begins anew.
    identity: LimitIdentity,
}

#[derive(Debug, Hash)]
struct LimitIdentity(Strng, u32, Duration, u32);

impl Local {
    pub(super) fn compile(policy: &Strng, place: usize, limit: &LocalLimit) -> Self {
        let name: Strng = format!("{policy}[{place}]").into();
        Self {
            rate: Rate::new(limit.requests, limit.interval, limit.burst),
            descriptor: Descriptor::compile(&name, &limit.descriptor, limit.when.as_ref()),
            identity: LimitIdentity(name.clone(), limit.requests, limit.interval, limit.burst),
            name,
        }
    }

    /// The bucket that a request takes from; `None` where the limit is not about it.
    pub(super) fn bucket(&self, counted: &Counted<'_>, buckets: &Buckets) -> Option<Bucket> {
        let values: Vec<Cow<'_, str>> = self.descriptor.values(counted)?;
        Some(buckets.bucket(&self.identity, &Values(&values)))
    }

    pub(super) fn asks(&self) -> bool {
        self.descriptor.asks()
    }
}

/// Values by their lengths and bytes, so that no two lists of them are alike.
struct Values<'v>(&'v [Cow<'v, str>]);

impl Hash for Values<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for value in self.0 {
            value.len().hash(state);
            state.write(value.as_bytes());
        }
    }
}

impl Descriptor {
    /// `name` is whose it is, for whoever reads the log.
    pub(super) fn compile(
        name: &Strng,
        entries: &[rate_limit::DescriptorEntry],
        when: Option<&Strng>,
    ) -> Self {
        let entry = |entry: &rate_limit::DescriptorEntry| Entry {
            key: entry.key.clone(),
            source: match &entry.source {
                DescriptorSource::Expression(text) => {
                    Source::Expression(Compiled::new(name, Expression::key(text)))
                }
                known => Source::Known(known.clone()),
            },
            value: entry.value.clone(),
        };
        Self {
            when: when.map(|text| Compiled::new(name, Expression::condition(text))),
            entries: entries.iter().map(entry).collect(),
        }
    }

    /// Whether it has expressions.
    pub(super) fn asks(&self) -> bool {
        let expressions = |entry: &Entry| matches!(entry.source, Source::Expression(_));
        self.when.is_some() || self.entries.iter().any(expressions)
    }

    /// The value of each entry; `None` where one is absent, or another one than is wanted, or it is not about the request.
    pub(super) fn values<'a>(&'a self, counted: &Counted<'a>) -> Option<Vec<Cow<'a, str>>> {
        if self
            .when
            .as_ref()
            .is_some_and(|when| !when.holds(counted.attributes))
        {
            return None;
        }
        let value = |entry: &'a Entry| {
            let value = match &entry.source {
                Source::Known(source) => counted.value(source),
                Source::Expression(expression) => expression.text(counted.attributes),
            }?;
            let wanted = entry.value.as_ref();
            wanted
                .is_none_or(|wanted| wanted.matches(&value))
                .then_some(value)
        };
        self.entries.iter().map(value).collect()
    }

    /// Names and values; `None` where a request is not counted as such.
    pub(super) fn pairs(&self, counted: &Counted<'_>) -> Option<Vec<(String, String)>> {
        let values = self.values(counted)?.into_iter();
        let keys = self.entries.iter().map(|entry| entry.key.to_string());
        Some(keys.zip(values.map(Cow::into_owned)).collect())
    }
}

/// Of what is absent nothing is true and there is no text. Where an expression fails otherwise a request counts, so that
/// nobody gets around a limit by making it fail.
impl Compiled {
    fn new<E: std::fmt::Display>(name: &Strng, compiled: Result<Expression, E>) -> Self {
        if let Err(error) = &compiled {
            tracing::warn!(limit = %name, %error, "an expression cannot be used: requests count as if it had failed");
        }
        Self(compiled.ok())
    }

    fn holds(&self, attributes: &dyn Attributes) -> bool {
        let Some(expression) = &self.0 else { return true };
        match expression.evaluate(attributes) {
            Ok(Value::Bool(holds)) => holds,
            Ok(_) => true,
            Err(error) => !error.is_absence(),
        }
    }

    fn text<'a>(&'a self, attributes: &'a dyn Attributes) -> Option<Cow<'a, str>> {
        let failed = Some(Cow::Borrowed(FAILED));
        let Some(expression) = &self.0 else { return failed };
        match expression.evaluate(attributes) {
            Ok(Value::String(text)) => Some(text),
            Ok(_) => failed,
            Err(error) if error.is_absence() => None,
            Err(_) => failed,
        }
    }
}

impl<'a> Counted<'a> {
    fn value(&self, source: &DescriptorSource) -> Option<Cow<'a, str>> {
        let request = self.request.map(|(request, _)| request);
        match source {
            DescriptorSource::Header(name) => request?.header(name),
            DescriptorSource::Path => Some(request?.path.into()),
            DescriptorSource::Method => Some(request?.method.as_str().into()),
            DescriptorSource::Authority => Some(request?.authority.to_ascii_lowercase().into()),
            DescriptorSource::SourcePrincipal => self.client.identity.map(Identity::principal).map(Cow::from),
            DescriptorSource::SourceNamespace => self.client.namespace().map(|ns| ns.to_string().into()),
            DescriptorSource::Claim(path) => {
                let values: Vec<_> = self.request?.1.values(path).collect();
                (!values.is_empty()).then(|| values.join(",").into())
            }
            DescriptorSource::RemoteAddress => Some(self.client.remote_address.to_string().into()),
            DescriptorSource::Constant(text) => Some(text.to_string().into()),
            // It is compiled.
            DescriptorSource::Expression(_) => None,
        }
    }
}

/// What requests are counted as of which an expression gives no text, all together.
const FAILED: &str = "(error)";

#[cfg(test)]
mod tests;
