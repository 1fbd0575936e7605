//! What users want otherwise (Istio, Telemetry, `metrics.overrides`), compiled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mesh_model::l7::telemetry::MetricOverride;
use mesh_types::Strng;

use super::{METRICS, Metric};
use crate::Needs;
use crate::attributes::Attributes;
use crate::cel::{Expression, InvalidExpression};

/// How metrics are counted for some requests.
#[derive(Debug)]
pub struct MetricPlan {
    /// Never two plans with the same.
    pub(super) id: u32,
    per_metric: [PerMetric; METRICS],
    /// The expressions of all labels.
    expressions: Vec<Expression>,
}

#[derive(Clone, Debug, Default)]
struct PerMetric {
    disabled: bool,
    tags: Vec<(Strng, Tag)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Removed,
    /// The place of its expression.
    Expression(usize),
}

/// A label whose expression is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("label {label}: {error}")]
pub struct InvalidLabel {
    /// The label.
    pub label: Strng,
    /// What is wrong.
    pub error: InvalidExpression,
}

impl MetricPlan {
    /// Nothing is otherwise.
    #[must_use]
    pub fn standard() -> Arc<Self> {
        Arc::new(Self {
            id: next_id(),
            per_metric: Default::default(),
            expressions: Vec::new(),
        })
    }

    /// Compiles overrides, of which a later one of the same thing counts. What is wrong with a label is said, and the
    /// label stays as it was: a mistake costs no numbers.
    #[must_use]
    pub fn compile<'o>(
        overrides: impl IntoIterator<Item = &'o MetricOverride>,
    ) -> (Arc<Self>, Vec<InvalidLabel>) {
        let mut plan = Self {
            id: next_id(),
            per_metric: Default::default(),
            expressions: Vec::new(),
        };
        let mut wrong = Vec::new();
        for change in overrides {
            let metric = match change.metric.as_deref() {
                None => None,
                Some(name) => match Metric::of_name(name) {
                    Some(metric) => Some(metric),
                    // A metric that is not counted here anyway.
                    None => continue,
                },
            };
            let mut tags = Vec::with_capacity(change.tags.len());
            for (name, expression) in &change.tags {
                match expression.as_deref().map(Expression::compile).transpose() {
                    Ok(expression) => {
                        let tag = expression.map_or(Tag::Removed, |e| Tag::Expression(plan.place(e)));
                        tags.push((name.clone(), tag));
                    }
                    Err(error) => wrong.push(InvalidLabel {
                        label: name.clone(),
                        error,
                    }),
                }
            }
            for each in Metric::ALL
                .into_iter()
                .filter(|m| metric.is_none_or(|metric| metric == *m))
            {
                let per_metric = &mut plan.per_metric[each as usize];
                per_metric.disabled = change.disabled.unwrap_or(per_metric.disabled);
                for (name, tag) in &tags {
                    per_metric.tags.retain(|(known, _)| known != name);
                    per_metric.tags.push((name.clone(), *tag));
                }
            }
        }
        (Arc::new(plan), wrong)
    }

    fn place(&mut self, expression: Expression) -> usize {
        if let Some(place) = self.expressions.iter().position(|known| *known == expression) {
            return place;
        }
        self.expressions.push(expression);
        self.expressions.len() - 1
    }

    /// What its expressions ask for.
    #[must_use]
    pub fn needs(&self) -> Needs {
        self.expressions
            .iter()
            .map(Needs::of)
            .fold(Needs::default(), Needs::and)
    }

    pub(super) fn counts(&self, metric: Metric) -> bool {
        !self.per_metric[metric as usize].disabled
    }

    /// Whether labels depend on what is known at the end only.
    #[must_use]
    pub fn has_expressions(&self) -> bool {
        !self.expressions.is_empty()
    }

    /// The values of all expressions; what has none is unknown, as Istio has it.
    pub(super) fn evaluate(&self, attributes: &dyn Attributes) -> Box<[Strng]> {
        let values = self.expressions.iter().map(|expression| {
            let value = expression.evaluate(attributes).map(|value| value.to_string());
            match value {
                Ok(value) if value.len() <= MAX_VALUE => Strng::from(value),
                Ok(mut value) => {
                    let cut = (0..=MAX_VALUE).rev().find(|at| value.is_char_boundary(*at));
                    value.truncate(cut.unwrap_or(0));
                    value.into()
                }
                Err(_) => Strng::from("unknown"),
            }
        });
        values.collect()
    }

    /// The labels of a metric, made of the usual ones and the values of the expressions.
    pub(super) fn labels(
        &self,
        metric: Metric,
        usual: &[(Strng, Strng)],
        values: &[Strng],
    ) -> Vec<(Strng, Strng)> {
        let changes = &self.per_metric[metric as usize].tags;
        let mut labels = Vec::with_capacity(usual.len() + changes.len());
        for (name, value) in usual {
            match changes.iter().find(|(changed, _)| changed == name) {
                None => labels.push((name.clone(), value.clone())),
                Some((_, Tag::Removed)) => {}
                Some((_, Tag::Expression(place))) => labels.push((name.clone(), values[*place].clone())),
            }
        }
        for (name, tag) in changes {
            if let Tag::Expression(place) = tag
                && !usual.iter().any(|(known, _)| known == name)
            {
                labels.push((name.clone(), values[*place].clone()));
            }
        }
        labels
    }
}

fn next_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Values of labels are for people who group by them.
const MAX_VALUE: usize = 256;
