//! GatewayClass: who makes the Gateways of a class (Gateway API reference, "GatewayClass").

use mesh_types::Strng;
use serde::Deserialize;

use crate::object::Resource;

/// Who makes the Gateways of a class.
pub type GatewayClass = Resource<GatewayClassSpec>;

/// What a [`GatewayClass`] is to be.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassSpec {
    /// The controller, `<domain>/<path>`.
    pub controller_name: Strng,
    /// Where the class has its settings.
    pub parameters_ref: Option<ParametersRef>,
    /// For people.
    pub description: Option<Strng>,
}

/// Where a class has its settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ParametersRef {
    /// The API group; empty for the core group.
    #[serde(default)]
    pub group: Strng,
    /// The kind.
    pub kind: Strng,
    /// The name.
    pub name: Strng,
    /// The namespace, where the kind has one.
    #[serde(default)]
    pub namespace: Option<Strng>,
}
