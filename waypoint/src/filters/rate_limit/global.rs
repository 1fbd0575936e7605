//! Limits that a service counts (`envoy.service.ratelimit.v3`).

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use mesh_extensions::rate_limit::{self, DescriptorStatus, Hit, SHOULD_RATE_LIMIT};
use mesh_model::l7::rate_limit::GlobalLimit;
use mesh_types::Strng;

use super::{Over, Told, Within};
use crate::filters::call::unary;
use crate::filters::changes::may_change;
use crate::flags::ResponseFlag;
use crate::worker::Worker;

/// Asks whether there are too many of what a request is counted as.
pub(super) async fn count(
    policy: &Strng,
    limit: &GlobalLimit,
    descriptors: Vec<Vec<(String, String)>>,
    worker: &Worker,
    within: &mut Within,
) -> Result<(), Box<Over>> {
    if descriptors.is_empty() {
        return Ok(());
    }
    let hit = Hit {
        domain: limit.domain.to_string(),
        descriptors,
        hits: 0,
    };
    let answer = match ask(limit, &hit, worker).await {
        Ok(answer) => answer,
        Err(error) if !limit.fail_closed => {
            tracing::warn!(%policy, %error, "nobody could be asked how many requests there are; it passes, as its policy wants it");
            return Ok(());
        }
        Err(error) => {
            tracing::warn!(%policy, %error, "nobody could be asked how many requests there are");
            return Err(Box::new(Over {
                policy: policy.clone(),
                details: "rate_limiter_error",
                flag: ResponseFlag::RateLimitServiceError,
                status: StatusCode::INTERNAL_SERVER_ERROR,
                told: None,
                headers: Vec::new(),
                body: Bytes::new(),
            }));
        }
    };
    let told = told(&answer.statuses);
    let mut response_headers = answer.response_headers;
    response_headers.retain(|(name, _)| may_change(name));
    if answer.over_limit {
        return Err(Box::new(Over {
            policy: policy.clone(),
            details: "request_rate_limited",
            flag: ResponseFlag::RateLimited,
            status: StatusCode::TOO_MANY_REQUESTS,
            told,
            headers: response_headers,
            body: answer.body,
        }));
    }
    told.into_iter().for_each(|told| within.tell(told));
    within.response_headers.append(&mut response_headers);
    let request_headers = answer.request_headers.into_iter();
    within
        .request_headers
        .extend(request_headers.filter(|(name, _)| may_change(name)));
    Ok(())
}

async fn ask(limit: &GlobalLimit, hit: &Hit, worker: &Worker) -> Result<rate_limit::Counted, String> {
    let message = hit.encode();
    let answer = unary(worker, &limit.service, SHOULD_RATE_LIMIT, &message, limit.timeout).await;
    let answer = answer.map_err(|error| error.to_string())?;
    rate_limit::Counted::decode(&answer).map_err(|error| error.to_string())
}

/// The limit with the fewest requests left.
fn told(statuses: &[DescriptorStatus]) -> Option<Told> {
    let limited = statuses
        .iter()
        .filter_map(|status| Some((status, status.limit.as_ref()?)));
    let (status, limit) = limited.min_by_key(|(status, _)| (!status.over_limit, status.remaining))?;
    let reset = status
        .reset
        .or_else(|| limit.unit.duration())
        .unwrap_or(Duration::ZERO);
    Some(Told {
        limit: limit.requests.into(),
        remaining: status.remaining.into(),
        reset,
        retry: reset,
    })
}
