//! Whom the proxies of each Gateway run as, for those who let them in.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_types::Strng;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::derivation::AccountChange;

/// The service account of each Gateway, by `<namespace>/<name>`, as the control loop last pinned it up.
#[derive(Clone, Debug, Default)]
pub struct GatewayBoard(Arc<Board>);

#[derive(Debug, Default)]
struct Board {
    accounts: RwLock<BTreeMap<String, Strng>>,
    changes: watch::Sender<u64>,
}

impl GatewayBoard {
    /// Pins up changes.
    pub fn update(&self, changes: Vec<AccountChange>) {
        if changes.is_empty() {
            return;
        }
        let mut accounts = self.0.accounts.write();
        for (gateway, account) in changes {
            match account {
                Some(account) => drop(accounts.insert(gateway, account)),
                None => drop(accounts.remove(&gateway)),
            }
        }
        drop(accounts);
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Changes with every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The service account that a Gateway's proxies run as, in its namespace; nothing where there is no such Gateway.
    #[must_use]
    pub fn account(&self, gateway: &str) -> Option<Strng> {
        self.0.accounts.read().get(gateway).cloned()
    }
}
