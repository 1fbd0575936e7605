//! Labels that are selected: Kubernetes' label selectors, and upstream's list of pairs of them.

use std::str::FromStr;

use serde::Deserialize;

use super::object::Labels;

/// Which pods belong to the mesh: those that any of the pairs selects (upstream's `enablementSelectors`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enablement(Vec<Pair>);

/// Both must select; one that is absent does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pair {
    #[serde(default)]
    pod_selector: Selector,
    #[serde(default)]
    namespace_selector: Selector,
}

/// A label selector (`LabelSelector` of `meta/v1`): everything in it must hold; an empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selector {
    #[serde(default)]
    match_labels: Labels,
    #[serde(default)]
    match_expressions: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    key: String,
    operator: Operator,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Enablement {
    /// Whether a pod with these labels, in a namespace with those, belongs to the mesh.
    #[must_use]
    pub fn selects(&self, pod: &Labels, namespace: &Labels) -> bool {
        let Self(pairs) = self;
        pairs
            .iter()
            .any(|pair| pair.pod_selector.selects(pod) && pair.namespace_selector.selects(namespace))
    }
}

impl Default for Enablement {
    /// `istio.io/dataplane-mode: ambient` on the pod, or on its namespace where the pod does not say `none`.
    fn default() -> Self {
        let ambient = Selector {
            match_labels: Labels::from([(DATAPLANE_MODE.to_owned(), "ambient".to_owned())]),
            match_expressions: Vec::new(),
        };
        let not_none = Selector {
            match_labels: Labels::new(),
            match_expressions: vec![Requirement {
                key: DATAPLANE_MODE.to_owned(),
                operator: Operator::NotIn,
                values: vec!["none".to_owned()],
            }],
        };
        Self(vec![
            Pair {
                pod_selector: ambient.clone(),
                namespace_selector: Selector::default(),
            },
            Pair {
                pod_selector: not_none,
                namespace_selector: ambient,
            },
        ])
    }
}

impl FromStr for Enablement {
    type Err = String;

    /// YAML or JSON, as upstream's chart writes it; nothing means the default.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let pairs: Vec<Pair> = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let requirements = pairs
            .iter()
            .flat_map(|pair| [&pair.pod_selector, &pair.namespace_selector])
            .flat_map(|selector| &selector.match_expressions);
        for Requirement {
            key,
            operator,
            values,
        } in requirements
        {
            let needs = matches!(operator, Operator::In | Operator::NotIn);
            if needs == values.is_empty() {
                let what = if needs { "at least one value" } else { "no values" };
                return Err(format!("a selector of {key:?} with {operator:?} needs {what}"));
            }
        }
        Ok(Self(pairs))
    }
}

impl Selector {
    fn selects(&self, labels: &Labels) -> bool {
        let equal = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.match_labels.iter().all(equal) && self.match_expressions.iter().all(|r| r.holds(labels))
    }
}

impl Requirement {
    fn holds(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            // What is not there is not among the values either.
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
