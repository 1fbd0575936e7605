//! Which authorities signed before the present one, and until when something that they signed may be in use. Pure.
//!
//! A proxy trusts the roots that came with its own certificate, and is met by certificates of others: of the authority that
//! signs now, and of those that signed within the longest life that a certificate was given. All of them have to be trusted,
//! by proxies that start meanwhile too; so this is kept where it outlives the processes that sign, and they keep it together.
//! Who signs in a moment when another one knows better already does not speak for the mesh: what was found is only
//! overwritten by who begins to sign.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::issuer::DEFAULT_TTL;
use crate::root::{CLOCK_SKEW, blocks, end_of};

/// Who signs, and who did. Certificates are PEM, each on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Succession {
    /// What stands for the authority that began to sign last; empty before the first one.
    pub signing: Vec<String>,
    /// The longest life that a certificate was given.
    pub longest: Duration,
    /// What stood for earlier ones, and until when it is trusted.
    pub retired: BTreeMap<String, SystemTime>,
}

impl Default for Succession {
    fn default() -> Self {
        Self {
            signing: Vec::new(),
            longest: DEFAULT_TTL,
            retired: BTreeMap::new(),
        }
    }
}

impl Succession {
    /// What is to be known once an authority under `signing` begins to sign, also for the first time. Whatever signed until
    /// then, here (`left`) or elsewhere, stays trusted until the last certificate of it has ended, given the longest life
    /// that this process gave one.
    #[must_use]
    pub fn begin(&self, signing: &[String], left: &[String], longest: Duration, now: SystemTime) -> Self {
        let mut next = self.remember(longest, now);
        let last_leaf = now + next.longest + CLOCK_SKEW;
        for root in self.signing.iter().chain(left) {
            let Some(end) = end_of(root) else { continue };
            let until = next.retired.entry(root.clone()).or_insert(last_leaf);
            *until = last_leaf.max(*until).min(end);
        }
        // One that comes back is not retired any more.
        next.retired.retain(|root, _| !signing.contains(root));
        next.signing = signing.to_vec();
        next.forget(now);
        next
    }

    /// The same, without what has ended by now, and with the longest life that this process gave a certificate.
    #[must_use]
    pub fn remember(&self, longest: Duration, now: SystemTime) -> Self {
        let mut next = self.clone();
        next.longest = next.longest.max(longest);
        next.forget(now);
        next
    }

    /// What is trusted at a moment, whoever signs.
    pub fn trusted(&self, now: SystemTime) -> impl Iterator<Item = &str> {
        let retired = self.retired.iter().filter(move |(_, until)| now < **until);
        let signing = self.signing.iter();
        signing.chain(retired.map(|(root, _)| root)).map(String::as_str)
    }

    /// Whatever stands in a text of certificates, each on its own, as they stand here.
    ///
    /// # Errors
    /// Fails when a part of it is no certificate.
    pub fn certificates(pem: &str) -> Result<Vec<String>, String> {
        blocks(pem)
    }

    fn forget(&mut self, now: SystemTime) {
        self.retired.retain(|_, until| now < *until);
    }
}

#[cfg(test)]
mod tests;
