//! What a request is counted as.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use mesh_model::l7::rate_limit::{DescriptorEntry, DescriptorSource, LocalLimit};
use mesh_model::l7::request::{Claims, Client, Request};
use mesh_types::{Identity, Strng};

use super::buckets::{Bucket, Buckets, Rate};

/// A request, or a connection.
pub(super) struct Counted<'a> {
    pub(super) client: &'a Client<'a>,
    pub(super) request: Option<(&'a Request<'a>, &'a Claims)>,
}

/// A limit that is counted here.
#[derive(Debug)]
pub(super) struct Local {
    /// The policy and the limit's place in it.
    pub(super) name: Strng,
    pub(super) rate: Rate,
    entries: Vec<DescriptorEntry>,
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
            entries: limit.descriptor.clone(),
            identity: LimitIdentity(name.clone(), limit.requests, limit.interval, limit.burst),
            name,
        }
    }

    /// The bucket that a request takes from; `None` where the limit is not about it.
    pub(super) fn bucket(&self, counted: &Counted<'_>, buckets: &Buckets) -> Option<Bucket> {
        let values: Vec<Cow<'_, str>> = counted.values(&self.entries)?;
        Some(buckets.bucket(&self.identity, &Values(&values)))
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

impl<'a> Counted<'a> {
    /// The value of each entry; `None` where one is absent, or another one than is wanted.
    pub(super) fn values(&self, entries: &[DescriptorEntry]) -> Option<Vec<Cow<'a, str>>> {
        let value = |entry: &DescriptorEntry| {
            let value = self.value(&entry.source)?;
            let wanted = entry.value.as_ref();
            wanted
                .is_none_or(|wanted| wanted.matches(&value))
                .then_some(value)
        };
        entries.iter().map(value).collect()
    }

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
        }
    }
}

#[cfg(test)]
mod tests;
