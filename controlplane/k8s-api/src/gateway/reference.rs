//! How Gateway API's objects name one another (Gateway API reference, "ParentReference", "BackendRef", GEP-713).

use mesh_types::Strng;
use serde::Deserialize;

use crate::kinds::Group;

/// What a route attaches to: a Gateway, or a Service or ServiceEntry of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// The API group; empty for the core group, Gateway API's own where absent.
    #[serde(default = "gateway_group")]
    pub group: Strng,
    /// The kind.
    #[serde(default = "gateway_kind")]
    pub kind: Strng,
    /// The namespace; the route's own where absent.
    #[serde(default)]
    pub namespace: Option<Strng>,
    /// The name.
    pub name: Strng,
    /// A listener of a Gateway, or a port of a Service by its name.
    #[serde(default)]
    pub section_name: Option<Strng>,
    /// A port; absent means every one.
    #[serde(default)]
    pub port: Option<u16>,
}

/// An object that requests go to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub struct BackendObjectRef {
    /// The API group; empty for the core group.
    #[serde(default)]
    pub group: Strng,
    /// The kind; a Service where absent.
    #[serde(default = "service_kind")]
    pub kind: Strng,
    /// The name.
    pub name: Strng,
    /// The namespace; another than the route's needs a ReferenceGrant.
    #[serde(default)]
    pub namespace: Option<Strng>,
    /// The port; required for Services.
    #[serde(default)]
    pub port: Option<u16>,
}

/// An object that requests go to, and its share of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "BackendRefFields")]
pub struct BackendRef {
    /// The object.
    pub object: BackendObjectRef,
    /// The share, relative to those beside it; 0 takes nothing.
    pub weight: u32,
}

/// An object of the referrer's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct LocalObjectRef {
    /// The API group; empty for the core group.
    #[serde(default)]
    pub group: Strng,
    /// The kind.
    pub kind: Strng,
    /// The name.
    pub name: Strng,
}

/// What a policy is for: an object of its own namespace, or a section of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTarget {
    /// The API group; empty for the core group.
    #[serde(default)]
    pub group: Strng,
    /// The kind.
    pub kind: Strng,
    /// The name.
    pub name: Strng,
    /// A listener of a Gateway, a port of a Service, a rule of a route; absent means all.
    #[serde(default)]
    pub section_name: Option<Strng>,
}

#[derive(Deserialize)]
#[serde(rename = "BackendRef")]
struct BackendRefFields {
    #[serde(default)]
    group: Strng,
    #[serde(default = "service_kind")]
    kind: Strng,
    name: Strng,
    #[serde(default)]
    namespace: Option<Strng>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default = "one")]
    weight: u32,
}

impl ParentRef {
    /// Whether it is a part of the mesh, and no Gateway: a Service or a ServiceEntry.
    #[must_use]
    pub fn is_mesh(&self) -> bool {
        matches!(
            (self.group.as_str(), self.kind.as_str()),
            ("", "Service") | ("networking.istio.io", "ServiceEntry")
        )
    }
}

/// A target is always in the policy's own namespace.
impl From<PolicyTarget> for ParentRef {
    fn from(target: PolicyTarget) -> Self {
        Self {
            group: target.group,
            kind: target.kind,
            namespace: None,
            name: target.name,
            section_name: target.section_name,
            port: None,
        }
    }
}

impl BackendObjectRef {
    /// Whether it is a Service, which needs a port.
    #[must_use]
    pub fn is_service(&self) -> bool {
        self.group.is_empty() && self.kind == "Service"
    }
}

impl From<BackendRefFields> for BackendRef {
    fn from(fields: BackendRefFields) -> Self {
        let BackendRefFields {
            group,
            kind,
            name,
            namespace,
            port,
            weight,
        } = fields;
        Self {
            object: BackendObjectRef {
                group,
                kind,
                name,
                namespace,
                port,
            },
            weight,
        }
    }
}

fn gateway_group() -> Strng {
    Group::Gateway.name().into()
}

fn gateway_kind() -> Strng {
    "Gateway".into()
}

fn service_kind() -> Strng {
    "Service".into()
}

pub(super) fn one() -> u32 {
    1
}
