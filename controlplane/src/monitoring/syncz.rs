//! `/debug/syncz`: how each xDS client stands. Each entry has what `lateen` reads, and beside it what readers of istiod's
//! page know: `istioctl version` shows versions of proxies by it.

use std::collections::BTreeMap;
use std::time::SystemTime;

use mesh_xds::SubscriberStatus;
use mesh_xds::server::SubscriptionStatus;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One client.
#[derive(Debug, Serialize)]
pub(super) struct Entry<'a> {
    #[serde(flatten)]
    ours: &'a SubscriberStatus,
    /// Nothing before the client has said who it is.
    #[serde(flatten)]
    theirs: Option<SyncStatus<'a>>,
}

/// istiod's entry, as far as it means anything here.
#[derive(Debug, Serialize)]
struct SyncStatus<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<&'a str>,
    proxy: String,
    proxy_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    istio_version: Option<&'a str>,
    resources: BTreeMap<&'a str, ResourceStatus<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceStatus<'a> {
    sent: String,
    acked: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sent_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<&'a str>,
    /// When it refused anything last, be it mended since or not; istiod says nothing of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal_time: Option<String>,
}

/// The page.
pub(super) fn page(subscribers: &[SubscriberStatus]) -> Vec<Entry<'_>> {
    let entries = subscribers.iter().map(|ours| Entry {
        ours,
        theirs: SyncStatus::of(ours),
    });
    entries.collect()
}

impl<'a> SyncStatus<'a> {
    fn of(subscriber: &'a SubscriberStatus) -> Option<Self> {
        let node = subscriber.node.as_ref()?;
        let resources = subscriber.subscriptions.iter();
        Some(Self {
            cluster_id: node.cluster(),
            proxy: format!("{}.{}", node.name, node.namespace),
            proxy_type: &node.kind,
            istio_version: node.version(),
            resources: resources
                .map(|of| (of.type_url.as_str(), ResourceStatus::of(of)))
                .collect(),
        })
    }
}

impl<'a> ResourceStatus<'a> {
    fn of(subscription: &'a SubscriptionStatus) -> Self {
        let last_refusal = subscription.last_refusal.as_ref();
        Self {
            sent: subscription.sent.to_string(),
            acked: subscription.acknowledged.to_string(),
            sent_time: subscription.pushed.map(rfc3339),
            last_error: subscription.refused.as_deref(),
            last_refusal_time: last_refusal.and_then(|last| last.at).map(rfc3339),
        }
    }
}

fn rfc3339(at: SystemTime) -> String {
    // Only years beyond 9999 cannot be written.
    OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests;
