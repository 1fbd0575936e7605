//! What only the start needs.

use std::sync::Arc;
use std::time::Duration;

use mesh_net::process::release_file_pages;
use mesh_xds::ResourceCache;
use tokio::sync::watch;

/// Lets go of what only the start needed of the program: lists of everything, and the first handshakes of all who waited for
/// it. About a third of the program is used from then on.
pub(super) async fn forget(cache: ResourceCache, changed: Arc<watch::Sender<u64>>) {
    if changed.subscribe().wait_for(|_| cache.is_ready()).await.is_err() {
        return;
    }
    tokio::time::sleep(STARTED).await;
    match release_file_pages() {
        Ok(bytes) => tracing::debug!(bytes, "the pages of the start are let go"),
        Err(error) => tracing::debug!(%error, "the pages of the start stay in memory"),
    }
}

/// Proxies that lost their control plane come back within 15 s.
const STARTED: Duration = Duration::from_secs(20);
