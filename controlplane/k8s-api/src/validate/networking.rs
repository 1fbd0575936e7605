//! Istio's networking kinds: the rules of its CRDs and of its admission webhook.

mod entries;

pub(super) use entries::{service_entry, workload_entry, workload_group};
