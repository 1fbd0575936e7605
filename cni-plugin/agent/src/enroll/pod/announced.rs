//! What others read of a pod, beside what was reported of it.

use mesh_register::Redirection;

use super::{Operation, Pod, Proxy};
use crate::roster::Instance;

impl Pod {
    /// ztunnel would not take it, though it may have had it: another one has come.
    pub(in crate::enroll) fn proxy_refused(&mut self) {
        if let Proxy::Taken(role) = &self.proxy {
            self.proxy = Proxy::Listed(role.clone());
            self.reported = None;
        }
    }

    /// What the API server says that is announced of it; true when it is not what was reported, so that it is to be reported
    /// again.
    pub(in crate::enroll) fn announced(&mut self, instance: &Instance) -> bool {
        if self.record.uid().is_some_and(|uid| uid != instance.uid) {
            return false;
        }
        let says = |redirection: Redirection| instance.redirection.as_deref() == annotation(redirection);
        if let Some((Operation::Report(redirection), _)) = &self.busy {
            self.contradicted = !says(*redirection);
            return false;
        }
        // Nothing is kept up of who is about to go.
        self.reported
            .take_if(|reported| self.leaving.is_none() && !says(*reported))
            .is_some()
    }

    /// What was reported does not count.
    pub(in crate::enroll) fn report_again(&mut self) {
        self.reported = None;
    }
}

/// What the annotation is that says so.
#[must_use]
pub fn annotation(redirection: Redirection) -> Option<&'static str> {
    match redirection {
        Redirection::Enabled => Some("enabled"),
        Redirection::Pending => Some("pending"),
        Redirection::Plain => None,
    }
}
