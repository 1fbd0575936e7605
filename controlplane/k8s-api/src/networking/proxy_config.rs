//! ProxyConfig: settings of proxies (Istio reference, "ProxyConfig").

use std::collections::BTreeMap;

use mesh_types::Strng;
use serde::Deserialize;

use crate::object::Resource;
use crate::security::WorkloadSelector;

/// Settings of proxies.
pub type ProxyConfig = Resource<ProxyConfigSpec>;

/// What a [`ProxyConfig`] says. Only `concurrency` has a meaning here; the rest is told as without effect.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyConfigSpec {
    /// The proxies it is for; absent means those of the namespace, or of the mesh.
    pub selector: Option<WorkloadSelector>,
    /// Their threads; 0 for one on each CPU that they may use.
    pub concurrency: Option<u32>,
    /// Variables of their environment.
    pub environment_variables: BTreeMap<Strng, Strng>,
    /// Their image.
    pub image: Option<ProxyImage>,
}

/// The image of proxies.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyImage {
    /// Which variant.
    pub image_type: Strng,
}
