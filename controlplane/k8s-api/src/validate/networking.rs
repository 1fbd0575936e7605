//! Istio's networking kinds: the rules of its CRDs and of its admission webhook.

mod destination_rule;
mod entries;
mod http_rule;
mod load_balancer;
mod proxy_config;
mod virtual_service;

pub(super) use destination_rule::{connection_pool, destination_rule, outlier_detection};
pub(super) use entries::{service_entry, workload_entry, workload_group};
pub(super) use http_rule::retry;
pub(super) use load_balancer::locality;
pub(super) use proxy_config::proxy_config;
pub(super) use virtual_service::virtual_service;
