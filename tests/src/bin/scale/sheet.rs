//! The figures, as a table and as JSON.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::table::Table;
use serde_json::{Value, json};

/// What was measured.
#[derive(Debug)]
pub(crate) struct Sheet {
    of: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    title: String,
    value: f64,
    /// What it may be at most.
    bound: Option<f64>,
}

impl Sheet {
    pub(crate) fn new(of: String) -> Self {
        Self { of, rows: Vec::new() }
    }

    /// A figure for orientation.
    pub(crate) fn told(&mut self, title: impl Into<String>, value: f64) {
        self.rows.push(Row {
            title: title.into(),
            value,
            bound: None,
        });
    }

    /// A figure that is asked to be no more than this.
    pub(crate) fn within(&mut self, title: String, value: f64, bound: f64) {
        self.rows.push(Row {
            title,
            value,
            bound: Some(bound),
        });
    }

    pub(crate) fn render(&self) -> String {
        let mut table = Table::new(&["figure", "Lateen", "asked", ""]);
        for row in &self.rows {
            table.row([
                row.title.clone(),
                precise(row.value),
                row.bound
                    .map_or_else(String::new, |bound| format!("≤ {}", precise(bound))),
                row.verdict().to_owned(),
            ]);
        }
        format!("{}:\n\n{}", self.of, table.render())
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let rows = self
            .rows
            .iter()
            .map(|row| json!({"figure": row.title, "value": row.value, "asked_at_most": row.bound}));
        let read = |p: &str| fs::read_to_string(p).unwrap_or_default();
        let text = json!({
            "of": self.of,
            "kernel": read("/proc/sys/kernel/osrelease").trim(),
            "processors": read("/proc/cpuinfo").lines().filter(|l| l.starts_with("processor")).count(),
            // More than the processors says that others were at work.
            "load_average": read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>(),
            "figures": rows.collect::<Vec<Value>>(),
        });
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        fs::write(path, format!("{text:#}\n")).with_context(|| path.display().to_string())?;
        println!("All values: {}", path.display());
        Ok(())
    }
}

impl Row {
    fn verdict(&self) -> &'static str {
        match self.bound {
            None => "",
            Some(bound) if self.value <= bound => "kept",
            Some(_) => "MISSED",
        }
    }
}

/// The value that this share of sorted values does not pass.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let at = rank.clamp(1, sorted.len().max(1)) - 1;
    sorted.get(at).copied().unwrap_or_default()
}

fn precise(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
