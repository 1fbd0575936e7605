//! What a cluster is to have for a Gateway: what it is rendered as, and what settings by reference make of that.
//!
//! Settings are ConfigMaps with a key for each object, a piece of YAML that is laid over it ([`super::overlay`]): those of
//! the class first, from the ConfigMap of the root namespace that is labelled with it, then the Gateway's own, which
//! `infrastructure.parametersRef` names. What tells whose the objects are stands above both.

use std::collections::{BTreeMap, BTreeSet};

use controlplane_k8s_api::core::ConfigMap;
use controlplane_k8s_api::gateway::{Gateway, GatewayClass};
use mesh_types::{NamespacedName, Strng};
use serde_json::{Value, json};

use super::{
    CLASS_LABEL, MANAGED, NAME_LABEL, NotRendered, Settings, Shape, base, is_unmanaged, overlay, shape,
    well_named,
};

/// Gateways of our classes, as they are known now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Waypoints {
    /// The names of all classes that there are.
    pub classes: BTreeSet<Strng>,
    /// One for each Gateway, in the order of names.
    pub plans: Vec<WaypointPlan>,
}

/// All that a Gateway's objects are made from, beside what is the same for every waypoint.
#[derive(Clone, Debug, PartialEq)]
pub struct WaypointPlan {
    /// The Gateway.
    pub gateway: Gateway,
    class: Option<GatewayClass>,
    overlays: Result<Vec<Overlay>, NotRendered>,
}

/// Settings by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Where they are from.
    pub from: Strng,
    /// YAML by the object that it is laid over.
    pub pieces: BTreeMap<Strng, Strng>,
}

/// An object that a cluster is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Of which kind.
    pub part: Part,
    /// Its name; its namespace is the Gateway's.
    pub name: Strng,
    /// The whole of what is wanted of it.
    pub object: Value,
}

/// The kinds of objects that a Gateway becomes, in the order in which they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Whom its certificate names.
    ServiceAccount,
    /// Its pods.
    Deployment,
    /// How node proxies find them.
    Service,
    /// How many of them there are; only where settings ask for it.
    HorizontalPodAutoscaler,
    /// How many of them stay; only where settings ask for it.
    PodDisruptionBudget,
}

/// The settings of each class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Defaults(BTreeMap<Strng, Overlay>);

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ServiceAccount,
        Self::Deployment,
        Self::Service,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
    ];

    /// What settings call it.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::ServiceAccount => "serviceAccount",
            Self::Deployment => "deployment",
            Self::Service => "service",
            Self::HorizontalPodAutoscaler => "horizontalPodAutoscaler",
            Self::PodDisruptionBudget => "podDisruptionBudget",
        }
    }
}

impl Defaults {
    /// Those of the root namespace's ConfigMaps; of several for one class the first by name counts.
    pub(crate) fn of<'c>(config_maps: impl Iterator<Item = &'c ConfigMap>) -> Self {
        let mut labelled: Vec<(&Strng, &ConfigMap)> = config_maps
            .filter_map(|map| Some((map.metadata.labels.get(DEFAULTS_FOR)?, map)))
            .collect();
        labelled.sort_by(|(_, a), (_, b)| a.metadata.name.cmp(&b.metadata.name));
        let mut of_classes = BTreeMap::new();
        for (class, map) in labelled {
            of_classes.entry(class.clone()).or_insert_with(|| overlay_of(map));
        }
        Self(of_classes)
    }
}

impl WaypointPlan {
    /// What a Gateway's objects are made from, given its class's settings and the ConfigMaps of its namespace.
    pub(crate) fn new<'c>(
        gateway: &Gateway,
        class: Option<&GatewayClass>,
        defaults: &Defaults,
        config_map: impl FnOnce(&Strng) -> Option<&'c ConfigMap>,
    ) -> Self {
        let of_class = defaults.0.get(&gateway.spec.gateway_class_name).cloned();
        let overlays = own(gateway, config_map).map(|own| of_class.into_iter().chain(own).collect());
        Self {
            gateway: gateway.clone(),
            class: class.cloned(),
            overlays,
        }
    }

    /// The Gateway's name.
    #[must_use]
    pub fn name(&self) -> NamespacedName {
        let meta = &self.gateway.metadata;
        NamespacedName::new(meta.namespace.clone(), meta.name.clone())
    }

    /// The objects; the same for equal input.
    ///
    /// # Errors
    /// Says why nothing is to be made of it.
    pub fn objects(&self, settings: &Settings) -> Result<Vec<Rendered>, NotRendered> {
        let shape = shape(&self.gateway, self.class.as_ref(), settings)?;
        let overlays = self.overlays.as_ref().map_err(Clone::clone)?;
        let manifests = base(&self.gateway, &shape, settings)?;
        let mut objects = Vec::with_capacity(3);
        for part in Part::ALL {
            let (name, object) = match part {
                Part::ServiceAccount => (&shape.account, json!(manifests.service_account)),
                Part::Deployment => (&shape.name, json!(manifests.deployment)),
                Part::Service => (&shape.name, json!(manifests.service)),
                Part::HorizontalPodAutoscaler => (&shape.name, autoscaler(&shape)),
                Part::PodDisruptionBudget => (&shape.name, budget(&shape)),
            };
            let pieces = overlays
                .iter()
                .filter_map(|o| Some((o, o.pieces.get(part.key())?)));
            let pieces: Vec<(&Overlay, &Strng)> = pieces.collect();
            let always = part <= Part::Service;
            if !always && pieces.is_empty() {
                continue;
            }
            let mut laid = object.clone();
            for (overlay, piece) in pieces {
                lay(&mut laid, piece).map_err(|reason| NotRendered::Parameters {
                    from: overlay.from.clone(),
                    reason: format!("data.{}: {reason}", part.key()),
                })?;
            }
            keep_identity(&mut laid, &object);
            is_sound(&laid, &object, part).map_err(|reason| NotRendered::Parameters {
                from: overlays
                    .last()
                    .map_or_else(Strng::default, |last| last.from.clone()),
                reason: format!("data.{}: {reason}", part.key()),
            })?;
            objects.push(Rendered {
                part,
                name: name.clone(),
                object: laid,
            });
        }
        Ok(objects)
    }

    /// Whether objects can be made of it.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self) -> Result<(), NotRendered> {
        let plain =
            self.overlays.as_ref().is_ok_and(Vec::is_empty) && self.gateway.metadata.annotations.is_empty();
        if is_unmanaged(&self.gateway) {
            return Ok(());
        }
        if plain {
            return well_named(&self.gateway);
        }
        self.objects(&Settings::default()).map(drop)
    }
}

/// The Gateway's own settings.
fn own<'c>(
    gateway: &Gateway,
    config_map: impl FnOnce(&Strng) -> Option<&'c ConfigMap>,
) -> Result<Option<Overlay>, NotRendered> {
    let infrastructure = gateway.spec.infrastructure.as_ref();
    let Some(reference) = infrastructure.and_then(|i| i.parameters_ref.as_ref()) else {
        return Ok(None);
    };
    let wrong = |reason: String| NotRendered::Parameters {
        from: "spec.infrastructure.parametersRef".into(),
        reason,
    };
    let (group, kind, name) = (&reference.group, &reference.kind, &reference.name);
    if !(group.is_empty() && kind == "ConfigMap") {
        let group = group.as_str();
        return Err(wrong(format!(
            "{kind} {name} of group {group:?}: only ConfigMaps hold settings"
        )));
    }
    let found = config_map(name);
    let found = found.ok_or_else(|| {
        wrong(format!(
            "there is no ConfigMap {}/{name}",
            gateway.metadata.namespace
        ))
    })?;
    let known = |key: &&Strng| Part::ALL.iter().any(|part| part.key() == key.as_str());
    if let Some(strange) = found.data.keys().find(|key| !known(key)) {
        let keys = Part::ALL.map(Part::key).join(", ");
        return Err(wrong(format!(
            "ConfigMap {}/{name}: data.{strange} is none of {keys}",
            gateway.metadata.namespace
        )));
    }
    Ok(Some(overlay_of(found)))
}

fn overlay_of(map: &ConfigMap) -> Overlay {
    Overlay {
        from: format!("ConfigMap {}/{}", map.metadata.namespace, map.metadata.name).into(),
        pieces: map.data.clone(),
    }
}

fn lay(object: &mut Value, piece: &str) -> Result<(), String> {
    let piece: Value = serde_saphyr::from_str(piece).map_err(|e| {
        let text = e.to_string();
        format!("no YAML: {}", text.lines().next().unwrap_or_default())
    })?;
    match piece {
        // An empty piece.
        Value::Null => Ok(()),
        Value::Object(_) => overlay::merge(object, piece),
        _ => Err("is no mapping".to_owned()),
    }
}

/// Whose an object is, and which pods are a Deployment's, is not up to settings.
fn keep_identity(object: &mut Value, rendered: &Value) {
    for field in ["apiVersion", "kind"] {
        object[field] = rendered[field].clone();
    }
    for field in ["name", "namespace", "ownerReferences"] {
        match rendered["metadata"].get(field) {
            Some(value) => object["metadata"][field] = value.clone(),
            None => {
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.remove(field);
                }
            }
        }
    }
    for label in [NAME_LABEL, CLASS_LABEL, MANAGED] {
        object["metadata"]["labels"][label] = rendered["metadata"]["labels"][label].clone();
    }
    if rendered["kind"] == "Deployment" {
        object["spec"]["selector"] = rendered["spec"]["selector"].clone();
        let labels = &rendered["spec"]["template"]["metadata"]["labels"];
        object["spec"]["template"]["metadata"]["labels"][NAME_LABEL] = labels[NAME_LABEL].clone();
    }
}

/// Whether settings left of an object what no object of its kind is without (an API server would refuse it, where its author
/// does not look), and its pods who they are.
fn is_sound(object: &Value, rendered: &Value, part: Part) -> Result<(), String> {
    let (field, pointer) = match part {
        Part::Deployment => ("spec.template.spec.containers", "/spec/template/spec/containers"),
        Part::Service => ("spec.ports", "/spec/ports"),
        Part::ServiceAccount | Part::HorizontalPodAutoscaler | Part::PodDisruptionBudget => return Ok(()),
    };
    let left = object.pointer(pointer).and_then(Value::as_array);
    if left.is_none_or(Vec::is_empty) {
        return Err(format!("{field}: nothing is left of it"));
    }
    // Whom they run as is who they are: nobody would take them for the waypoint's.
    if part == Part::Deployment && object.pointer(ACCOUNT) != rendered.pointer(ACCOUNT) {
        return Err(
            "spec.template.spec.serviceAccountName: the annotation gateway.istio.io/service-account sets it"
                .to_owned(),
        );
    }
    Ok(())
}

/// As upstream's template has it: how many, settings say.
fn autoscaler(shape: &Shape<'_>) -> Value {
    json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": shape.meta(&shape.name, shape.annotations.clone()),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": shape.name.as_str()},
            "maxReplicas": 1,
        },
    })
}

fn budget(shape: &Shape<'_>) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": shape.meta(&shape.name, shape.annotations.clone()),
        "spec": {"selector": {"matchLabels": shape.selector()}},
    })
}

const DEFAULTS_FOR: &str = "gateway.istio.io/defaults-for-class";
const ACCOUNT: &str = "/spec/template/spec/serviceAccountName";

#[cfg(test)]
mod tests;
