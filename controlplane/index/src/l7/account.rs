//! Whom the proxies of a Gateway run as: nobody else may follow what it serves.

use controlplane_k8s_api::gateway::Gateway;
use mesh_types::Strng;

/// The service account of a Gateway's proxies, in its namespace: what its annotation says, else the Gateway's name, with
/// the class behind it for Istio's ordinary gateways (istiod's controller names them so).
pub(crate) fn of_gateway(gateway: &Gateway) -> Strng {
    let metadata = &gateway.metadata;
    if let Some(account) = metadata
        .annotations
        .get(SERVICE_ACCOUNT)
        .filter(|a| !a.is_empty())
    {
        return account.clone();
    }
    let class = gateway.spec.gateway_class_name.as_str();
    match class {
        ISTIO => format!("{}-{class}", metadata.name).into(),
        _ => metadata.name.clone(),
    }
}

const SERVICE_ACCOUNT: &str = "gateway.istio.io/service-account";
/// The class of ordinary gateways whose names get a suffix.
const ISTIO: &str = "istio";
