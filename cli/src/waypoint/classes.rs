//! Whose Gateways are waypoints: those of the well-known classes, and of every class that names our controller.

use std::collections::BTreeMap;

use controlplane_index::waypoint::classes::controller;
use controlplane_k8s_api::gateway::GatewayClass;
use controlplane_k8s_api::{Kind, Object};
use mesh_kube::{KubeClient, KubeError, Selection};

use super::Found;
use crate::objects::GATEWAYS;
use crate::objects::understood::found;

/// The classes of a cluster, or of files.
#[derive(Clone, Debug, Default)]
pub struct Classes {
    /// By their names, whether their Gateways are ours.
    known: BTreeMap<String, bool>,
}

impl Classes {
    /// Those among some objects.
    #[must_use]
    pub fn among<'a>(objects: impl Iterator<Item = &'a Object>) -> Self {
        let classes = objects.filter_map(|object| match object {
            Object::GatewayClass(class) => Some(class),
            _ => None,
        });
        let ours = |class: &GatewayClass| controller(&class.metadata.name, Some(class)).is_some();
        Self {
            known: classes
                .map(|class| (class.metadata.name.to_string(), ours(class)))
                .collect(),
        }
    }

    /// Those of a cluster. Who may not read them knows the well-known names.
    ///
    /// # Errors
    /// Fails with what is wrong with the way.
    pub async fn of(client: &KubeClient) -> anyhow::Result<Self> {
        match found(client, Kind::GatewayClass, None).await {
            Ok(found) => Ok(Self::among(found.objects.iter().map(|(_, object)| &object.value))),
            Err(why) if matches!(why.downcast_ref(), Some(KubeError::Forbidden(_))) => Ok(Self::default()),
            Err(why) => Err(why),
        }
    }

    /// Whether a Gateway of this class is a waypoint: the class itself says it, where it is there.
    #[must_use]
    pub fn is_waypoint(&self, class: &str) -> bool {
        let known = self.known.get(class).copied();
        known.unwrap_or_else(|| controller(class, None).is_some())
    }
}

/// The waypoints of a namespace, or of all.
///
/// # Errors
/// Fails with what is wrong with the way or our rights, and where the cluster knows no Gateways.
pub async fn waypoints(client: &KubeClient, namespace: Option<&str>) -> anyhow::Result<Vec<Found>> {
    let selection = Selection {
        resource: GATEWAYS,
        namespace: namespace.map(str::to_owned),
        field_selector: None,
        label_selector: None,
        metadata_only: false,
    };
    let found = client.list::<Found>(&selection).await;
    let mut found = found.map_err(|error| {
        let is_missing = matches!(error, KubeError::NotFound(_));
        anyhow::Error::new(error).context(if is_missing {
            "Gateways: Gateway API's CRDs are not installed, which lateen precheck says more about"
        } else {
            "Gateways"
        })
    })?;
    let classes = Classes::of(client).await?;
    found.retain(|gateway| classes.is_waypoint(gateway.class()));
    Ok(found)
}

#[cfg(test)]
mod tests;
