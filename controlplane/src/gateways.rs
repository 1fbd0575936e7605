//! Whom the proxies of each Gateway run as, for those who let them in.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_types::Strng;
use parking_lot::RwLock;

use crate::derivation::AccountChange;

/// The service account of each Gateway, by `<namespace>/<name>`, as the control loop last pinned it up.
#[derive(Clone, Debug, Default)]
pub struct GatewayBoard(Arc<RwLock<BTreeMap<String, Strng>>>);

impl GatewayBoard {
    /// Pins up changes.
    pub fn update(&self, changes: Vec<AccountChange>) {
        if changes.is_empty() {
            return;
        }
        let mut accounts = self.0.write();
        for (gateway, account) in changes {
            match account {
                Some(account) => drop(accounts.insert(gateway, account)),
                None => drop(accounts.remove(&gateway)),
            }
        }
    }

    /// The service account that a Gateway's proxies run as, in its namespace; nothing where there is no such Gateway.
    #[must_use]
    pub fn account(&self, gateway: &str) -> Option<Strng> {
        self.0.read().get(gateway).cloned()
    }
}
