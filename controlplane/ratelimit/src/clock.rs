//! What time it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_quota::Moment;

/// A clock; tests have their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Clock {
    /// The machine's.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// One that says how long ago 1970 was.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The second that it is.
    #[must_use]
    pub fn now(&self) -> Moment {
        Moment((self.0)().as_secs())
    }

    /// How long until the next second.
    #[must_use]
    pub fn to_next_second(&self) -> Duration {
        Duration::from_nanos(1_000_000_000 - u64::from((self.0)().subsec_nanos()))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
