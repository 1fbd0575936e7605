//! How many requests there may be (`lateen.dev`, RateLimitPolicy; Envoy, "Rate limit", "Local rate limit").
//!
//! # Layout
//! - this file: the filter, and what clients are told.
//! - [`buckets`]: tokens, shared by all workers.
//! - `descriptor`: what a request is counted as.
//! - `global`: limits that a service counts.
//!
//! What is counted here is counted first: who is over such a limit costs nobody else anything. A connection of whose bytes
//! nothing is understood counts as one request.

pub mod buckets;
mod descriptor;
mod global;

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use mesh_extensions::headers::HeaderChange;
use mesh_model::l7::attach::Given;
use mesh_model::l7::rate_limit::{Descriptor as Written, GlobalLimit, RateLimit as Policy};
use mesh_model::l7::request::{Claims, Client, Request};
use mesh_telemetry::attributes::Attributes;
use mesh_types::Strng;
use tokio::time::Instant;

use super::authorization::{Denied, client, requester};
use crate::connection::Accepted;
use crate::exchange::{Exchange, Filter, Next};
use crate::flags::ResponseFlag;
use crate::proxy::http::story::Story;
use crate::reply::LocalReply;
use crate::telemetry::Begun;
use crate::worker::Worker;
use buckets::{Bucket, Buckets, Taken};
use descriptor::{Counted, Descriptor, Local};

/// Counts requests.
pub(crate) struct RateLimit;

/// The limits that apply together.
#[derive(Debug, Default)]
pub struct Limits {
    local: Vec<Local>,
    global: Vec<Global>,
}

/// A limit that a service counts.
#[derive(Debug)]
struct Global {
    policy: Strng,
    limit: GlobalLimit,
    descriptors: Vec<Descriptor>,
}

/// What a request is counted as, before anything waits.
struct Hits {
    /// By the limit's place.
    local: Vec<(usize, Bucket)>,
    /// For each of the limits.
    global: Vec<Vec<Vec<(String, String)>>>,
}

/// Who is over which limit, and what a client is told of it.
#[derive(Debug)]
struct Over {
    policy: Strng,
    details: &'static str,
    flag: ResponseFlag,
    status: StatusCode,
    told: Option<Told>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// What counts for a request: the limit with the fewest requests left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    limit: u64,
    remaining: u64,
    /// Until it is as at the beginning.
    reset: Duration,
    /// Until one more may pass.
    retry: Duration,
}

/// What passes is told this, and the destination that.
#[derive(Debug, Default)]
struct Within {
    told: Option<Told>,
    request_headers: Vec<(HeaderName, HeaderValue)>,
    response_headers: Vec<(HeaderName, HeaderValue)>,
}

impl Limits {
    /// Of the policies that count at a place.
    pub(crate) fn compile<'p>(policies: impl IntoIterator<Item = &'p Given<Policy>>) -> Self {
        let mut limits = Self::default();
        for given in policies {
            let name: Strng = given.object.to_string().into();
            match &given.value {
                Policy::Local(local) => {
                    let local = local.iter().enumerate();
                    limits
                        .local
                        .extend(local.map(|(n, limit)| Local::compile(&name, n, limit)));
                }
                Policy::Global(global) => {
                    let descriptors = global.descriptors.iter();
                    let compile = |written: &Written| {
                        Descriptor::compile(&name, &written.entries, written.when.as_ref())
                    };
                    limits.global.push(Global {
                        descriptors: descriptors.map(compile).collect(),
                        limit: global.clone(),
                        policy: name,
                    });
                }
            }
        }
        limits
    }

    fn is_empty(&self) -> bool {
        self.local.is_empty() && self.global.is_empty()
    }

    /// Whether any of them has expressions.
    fn asks(&self) -> bool {
        let of_global = self.global.iter().flat_map(|global| &global.descriptors);
        self.local.iter().any(Local::asks) || of_global.into_iter().any(Descriptor::asks)
    }

    fn hits(&self, counted: &Counted<'_>, buckets: &Buckets) -> Hits {
        let local = self.local.iter().enumerate();
        let of = |global: &Global| {
            let descriptors = global.descriptors.iter();
            descriptors.filter_map(|d| d.pairs(counted)).collect()
        };
        Hits {
            local: local
                .filter_map(|(place, limit)| Some((place, limit.bucket(counted, buckets)?)))
                .collect(),
            global: self.global.iter().map(of).collect(),
        }
    }
}

/// What a request, or a connection, is counted as.
fn hits(
    limits: &Limits,
    worker: &Worker,
    story: &Story,
    client: &Client<'_>,
    begun: &Begun<'_>,
    claims: &Claims,
) -> Hits {
    let count = |attributes: &dyn Attributes| {
        let counted = Counted {
            client,
            request: begun.request.map(|request| (request, claims)),
            attributes,
        };
        limits.hits(&counted, &worker.buckets)
    };
    match limits.asks() {
        true => worker.telemetry.with_begun(story, begun, |record| count(record)),
        false => count(&Nothing),
    }
}

/// Nobody asks.
struct Nothing;

impl Attributes for Nothing {
    fn attribute(&self, _: mesh_telemetry::attributes::Attribute) -> Option<mesh_telemetry::cel::Value<'_>> {
        None
    }

    fn header(&self, _: mesh_telemetry::attributes::HeaderSet, _: &str) -> Option<std::borrow::Cow<'_, str>> {
        None
    }

    fn header_names(&self, _: mesh_telemetry::attributes::HeaderSet) -> Vec<std::borrow::Cow<'_, str>> {
        Vec::new()
    }
}

impl Filter for RateLimit {
    async fn request(&self, exchange: &mut Exchange) -> Next {
        let applied = exchange.applied.clone();
        if applied.limits.is_empty() {
            return ControlFlow::Continue(());
        }
        let hits = {
            let headers = &exchange.head.headers;
            let client = requester(&exchange.accepted, headers, &applied.effective);
            let view: Request<'_> = exchange.view();
            let begun = Begun {
                request: Some(&view),
                route: exchange.rule().map(|rule| rule.name.as_str()),
            };
            let (worker, story) = (&exchange.worker, &exchange.story);
            hits(&applied.limits, worker, story, &client, &begun, &exchange.claims)
        };
        match decide(&applied.limits, hits, &exchange.worker).await {
            Ok(within) => {
                for (name, value) in within.request_headers {
                    exchange.head.headers.insert(name, value);
                }
                let told = within.told.iter().flat_map(Told::headers);
                let told = told.chain(within.response_headers);
                let told = told.map(|(name, value)| HeaderChange::overwrite(name, value));
                exchange.beside.extend(told);
                ControlFlow::Continue(())
            }
            Err(over) => {
                exchange.story.policy = Some(over.policy.clone());
                ControlFlow::Break(over.reply())
            }
        }
    }
}

/// Whether a connection that begins is one too many.
pub(crate) async fn connection_denied(
    worker: &Worker,
    accepted: &Accepted,
    story: &mut Story,
) -> Option<Denied> {
    let snapshot = worker.snapshot();
    let compiled = worker
        .tables
        .compiled(&snapshot, &accepted.frontend, &worker.gateway);
    let limits = &compiled.applied.limits;
    if limits.is_empty() {
        return None;
    }
    let client = client(accepted, None);
    let hits = hits(
        limits,
        worker,
        story,
        &client,
        &Begun::default(),
        &Claims::default(),
    );
    let over = decide(limits, hits, worker).await.err()?;
    story.flags.add(over.flag);
    Some(Denied {
        policy: over.policy,
        details: over.details,
    })
}

async fn decide(limits: &Limits, hits: Hits, worker: &Worker) -> Result<Within, Box<Over>> {
    let mut within = Within::default();
    let now = Instant::now();
    take(&limits.local, &hits.local, &worker.buckets, now, &mut within)?;
    for (global, descriptors) in limits.global.iter().zip(hits.global) {
        let Global { policy, limit, .. } = global;
        Box::pin(global::count(policy, limit, descriptors, worker, &mut within)).await?;
    }
    Ok(within)
}

/// Takes a token from every bucket that counts, or from none.
fn take(
    limits: &[Local],
    hits: &[(usize, Bucket)],
    buckets: &Buckets,
    now: Instant,
    within: &mut Within,
) -> Result<(), Box<Over>> {
    let mut taken: Vec<(Bucket, &Local)> = Vec::new();
    for (place, bucket) in hits.iter().copied() {
        let limit = &limits[place];
        let Taken {
            allowed,
            remaining,
            full,
            next,
        } = buckets.take(bucket, limit.rate, now);
        let told = Told {
            limit: limit.rate.burst(),
            remaining,
            reset: full,
            retry: next,
        };
        if !allowed {
            for (bucket, limit) in taken {
                buckets.give_back(bucket, limit.rate);
            }
            return Err(Box::new(Over {
                policy: limit.name.clone(),
                details: "local_rate_limited",
                flag: ResponseFlag::RateLimited,
                status: StatusCode::TOO_MANY_REQUESTS,
                told: Some(told),
                headers: Vec::new(),
                body: Bytes::from_static(b"local_rate_limited"),
            }));
        }
        within.tell(told);
        taken.push((bucket, limit));
    }
    Ok(())
}

impl Within {
    fn tell(&mut self, told: Told) {
        if self.told.is_none_or(|other| told.remaining < other.remaining) {
            self.told = Some(told);
        }
    }
}

impl Told {
    /// `draft-ietf-httpapi-ratelimit-headers-07`, section 3.
    fn headers(&self) -> [(HeaderName, HeaderValue); 3] {
        [
            (RATELIMIT_LIMIT, self.limit.into()),
            (RATELIMIT_REMAINING, self.remaining.into()),
            (RATELIMIT_RESET, whole_seconds(self.reset).into()),
        ]
    }
}

impl Over {
    fn reply(self) -> LocalReply {
        let mut reply = LocalReply::new(self.status, self.details, self.body).flagged(self.flag);
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            let limited = HeaderValue::from_static("true");
            reply.headers.insert(ENVOY_RATELIMITED, limited);
        }
        if let Some(told) = self.told {
            reply.headers.extend(told.headers());
            let retry = whole_seconds(told.retry).max(1);
            reply.headers.insert(header::RETRY_AFTER, retry.into());
        }
        for (name, value) in self.headers {
            reply.headers.insert(name, value);
        }
        reply
    }
}

/// Whoever comes back then is not too early.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

const RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATELIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const ENVOY_RATELIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");
