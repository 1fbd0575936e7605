//! Fetches key sets, on the control thread and in the background: what is there is refreshed, what cannot be refreshed
//! stays, and no request ever asks anybody but this process.
//!
//! # Layout
//! - this file: which sets are followed, and when each is fetched.
//! - [`network`]: who is asked, and how.

pub mod network;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortHandle, abortable};
use mesh_model::l7::PolicyKind;
use mesh_model::l7::authentication::KeySet as Source;
use mesh_runtime::supervise::Tasks;
use mesh_state::l7::{L7Reader, L7Snapshot};
use mesh_types::Strng;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::store::{KeySet, KeySets};
use network::{FetchError, Network, fetch};

/// Follows the key sets that policies name; never ends while anything can change.
pub async fn follow(sets: KeySets, l7: L7Reader, tasks: Tasks, network: Rc<impl Network + 'static>) {
    let mut generation = l7.generation();
    let mut followed: HashMap<Strng, (Duration, AbortHandle)> = HashMap::new();
    loop {
        generation.mark_unchanged();
        let wanted = wanted(&l7.snapshot());
        followed.retain(|uri, (limit, task)| {
            let stays = wanted.get(uri) == Some(limit);
            if !stays {
                task.abort();
            }
            stays
        });
        sets.retain(|uri| wanted.contains_key(uri));
        for (uri, limit) in wanted {
            if followed.contains_key(&uri) {
                continue;
            }
            let refresh = refresh(sets.at(&uri), uri.clone(), limit, network.clone());
            let (refresh, task) = abortable(refresh);
            // Aborted, it was not wanted any more.
            tasks.spawn_local("key set", async move {
                let _ = refresh.await;
            });
            followed.insert(uri, (limit, task));
        }
        if generation.changed().await.is_err() {
            // Nothing changes any more.
            std::future::pending::<()>().await;
        }
    }
}

/// The sets that policies name, and how long fetching each may take.
fn wanted(snapshot: &L7Snapshot) -> HashMap<Strng, Duration> {
    let mut wanted: HashMap<Strng, Duration> = HashMap::new();
    let rules = snapshot.policies().filter_map(|policy| match &policy.kind {
        PolicyKind::Authentication(policy) => Some(&policy.rules),
        _ => None,
    });
    for rule in rules.flatten() {
        let Source::Remote { uri, timeout } = &rule.keys else {
            continue;
        };
        if wanted.len() >= MOST_SETS && !wanted.contains_key(uri) {
            tracing::error!(%uri, "more than {MOST_SETS} key sets: this one is not fetched, and no token of its issuer accepted");
            continue;
        }
        let limit = (*timeout).clamp(SHORTEST, LONGEST);
        let longest = wanted.entry(uri.clone()).or_insert(limit);
        *longest = limit.max(*longest);
    }
    wanted
}

/// Fetches a set now, after a while, and when somebody meets a key that is not in it.
async fn refresh(set: Arc<KeySet>, uri: Strng, limit: Duration, network: Rc<impl Network>) {
    let mut failures = 0;
    loop {
        let not_before = Instant::now() + AGAIN;
        let fetched = match timeout(limit, fetch(&*network, &uri)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(FetchError::TimedOut),
        };
        let pause = match &fetched {
            Ok(_) => {
                failures = 0;
                spread(REFRESH, fastrand::f64())
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(%uri, %error, failures, "a key set cannot be fetched; what is known of it stays");
                spread(RETRY * 2_u32.saturating_pow(failures.min(8) - 1), fastrand::f64()).min(LONGEST_RETRY)
            }
        };
        set.attempted(fetched.map_err(|error| error.to_string().into()), not_before);
        let unknown_key = async {
            set.wanted.notified().await;
            sleep_until(not_before).await;
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = unknown_key => {}
        }
    }
}

/// More or less by a fifth, so that not all proxies ask at once.
fn spread(pause: Duration, random: f64) -> Duration {
    pause.mul_f64(0.8 + 0.4 * random)
}

/// As long as Envoy keeps a set.
const REFRESH: Duration = Duration::from_secs(5 * 60);
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Between attempts for the sake of unknown keys.
const AGAIN: Duration = Duration::from_secs(10);
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
const MOST_SETS: usize = 1000;

#[cfg(test)]
mod tests;
