//! What was measured: rows of figures, and what is asked of them.

use std::collections::BTreeMap;
use std::fmt;

use lab::table::Table;
use serde_json::{Value, json};

/// What carried the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    /// Nothing between generator and application.
    Direct,
    /// Our waypoint.
    Ours,
    /// Envoy.
    Envoy,
}

/// All rows, in the order in which they were first measured.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    rows: Vec<Row>,
}

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    title: String,
    kind: Kind,
    values: BTreeMap<Variant, Vec<f64>>,
}

/// What a figure is of; it decides what of it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Requests a second at the proxy's limit. It says something only while the generator alone reaches twice of it.
    Rate,
    /// CPU time of the proxy.
    Cpu,
    /// A latency below the limit, of which the slowest hundredth is.
    Tail,
    /// Resident memory.
    Memory,
    /// Ours is to be at most this, whatever the other one's is.
    Within(f64),
    /// Told, and nothing asked of it; less is better.
    Told,
}

/// What is missing of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    /// The generator was not proven fast enough.
    Invalid,
    /// Nothing is asked, or there is nothing to compare with.
    Open,
}

impl Sheet {
    pub(crate) fn add(&mut self, title: impl Into<String>, kind: Kind, variant: Variant, value: f64) {
        let title = title.into();
        let at = self.rows.iter().position(|row| row.title == title);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row {
                title,
                kind,
                values: BTreeMap::new(),
            });
            self.rows.len() - 1
        });
        self.rows[at].values.entry(variant).or_default().push(value);
    }

    /// The table for people.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new(&["figure", "direct", "Lateen", "Envoy", "Lateen/Envoy", "asked", ""]);
        for row in &self.rows {
            let shown = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), precise);
            let asked = row.kind.asked();
            table.row([
                row.title.clone(),
                shown(row.median(Variant::Direct)),
                shown(row.median(Variant::Ours)),
                shown(row.median(Variant::Envoy)),
                shown(row.ratio()),
                asked.map_or_else(String::new, |(bound, more)| {
                    format!("{}{bound}", if more { "≥" } else { "≤" })
                }),
                row.verdict().to_string(),
            ]);
        }
        table.render()
    }

    /// All values.
    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let values: BTreeMap<_, _> = row
                .values
                .iter()
                .map(|(variant, values)| {
                    let median = row.median(*variant);
                    (variant.to_string(), json!({"median": median, "rounds": values}))
                })
                .collect();
            json!({
                "figure": row.title,
                "values": values,
                "ours_by_envoys": row.ratio(),
                "verdict": row.verdict().to_string(),
            })
        });
        Value::Array(rows.collect())
    }
}

impl Row {
    /// The middle value; of an even number the lower middle.
    fn median(&self, variant: Variant) -> Option<f64> {
        let mut values = self.values.get(&variant)?.clone();
        values.sort_by(f64::total_cmp);
        values.get(values.len().checked_sub(1)? / 2).copied()
    }

    fn ratio(&self) -> Option<f64> {
        let (ours, envoy) = (self.median(Variant::Ours)?, self.median(Variant::Envoy)?);
        (envoy > 0.0).then(|| ours / envoy)
    }

    fn verdict(&self) -> Verdict {
        if self.kind == Kind::Rate && !self.generator_is_proven() {
            return Verdict::Invalid;
        }
        if let Kind::Within(bound) = self.kind {
            return match self.median(Variant::Ours) {
                Some(value) if value <= bound => Verdict::Met,
                _ => Verdict::Missed,
            };
        }
        match (self.kind.asked(), self.ratio()) {
            (Some((bound, true)), Some(ratio)) if ratio >= bound => Verdict::Met,
            (Some((bound, false)), Some(ratio)) if ratio <= bound => Verdict::Met,
            (Some(_), Some(_)) => Verdict::Missed,
            _ => Verdict::Open,
        }
    }

    /// Whether the generator alone reached twice of every proxy's rate.
    fn generator_is_proven(&self) -> bool {
        let Some(direct) = self.median(Variant::Direct) else {
            return false;
        };
        let proxies = [Variant::Ours, Variant::Envoy].map(|v| self.median(v));
        proxies.into_iter().flatten().all(|rate| direct >= 2.0 * rate)
    }
}

impl Kind {
    /// The bound, of ours divided by Envoy's unless it is of ours alone, and whether it must be more.
    fn asked(self) -> Option<(f64, bool)> {
        match self {
            Self::Rate => Some((1.3, true)),
            Self::Cpu => Some((0.77, false)),
            Self::Tail => Some((1.0, false)),
            Self::Memory => Some((0.2, false)),
            Self::Within(bound) => Some((bound, false)),
            Self::Told => None,
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Ours => "Lateen",
            Self::Envoy => "Envoy",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::Invalid => "invalid: the generator alone is not twice as fast",
            Self::Open => "",
        })
    }
}

fn precise(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
