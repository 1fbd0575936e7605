//! Waiting for something to become true, with a bound and a reason.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::Instant;

/// Asks `probe` every few milliseconds until it answers, at most `limit`; then fails naming `what`.
///
/// # Errors
/// Fails when the limit passed.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return Ok(answer);
        }
        if start.elapsed() > limit {
            bail!("waited {} s in vain for: {what}", limit.as_secs());
        }
        sleep(STEP);
    }
}

const STEP: Duration = Duration::from_millis(10);
