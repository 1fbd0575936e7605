//! The table on the screen and the figures in a file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use lab::table::Table;
use serde_json::{Value, json};

use crate::figures::{Figure, Figures, Variant};

/// What the figures were measured under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    pub(crate) rounds: usize,
    /// Seconds of each load.
    pub(crate) seconds: f64,
    pub(crate) tls_group: &'static str,
}

/// Prints the medians, and beside them what is better and by how much.
pub(crate) fn print(figures: &Figures, variants: &[Variant]) {
    let mut columns: Vec<String> = vec!["figure".to_owned()];
    columns.extend(variants.iter().map(Variant::to_string));
    columns.push("Lateen/direct".to_owned());
    let peer = variants.iter().find(|v| matches!(v, Variant::Peer(_)));
    if peer.is_some() {
        columns.push("Lateen/peer".to_owned());
        columns.push(String::new());
    }
    let mut table = Table::new(&columns.iter().map(String::as_str).collect::<Vec<_>>());
    let measured = |f: &Figure| variants.iter().any(|v| !figures.values(v, *f).is_empty());
    for figure in Figure::ALL.into_iter().filter(measured) {
        let ours = figures.median(&Variant::Ours, figure);
        let shown = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), precise);
        let ratio = |other: Option<f64>| ours.zip(other).map(|(a, b)| a / b);
        let mut row = vec![figure.title().to_owned()];
        row.extend(variants.iter().map(|v| shown(figures.median(v, figure))));
        row.push(shown(ratio(figures.median(&Variant::Direct, figure))));
        if let Some(peer) = peer {
            let ratio = ratio(figures.median(peer, figure));
            row.push(shown(ratio));
            row.push(ratio.map_or("", |r| verdict(r, figure)).to_owned());
        }
        table.row(row);
    }
    println!("\n{}", table.render());
}

/// Writes every value, with the shape of the machine.
pub(crate) fn write(
    figures: &Figures,
    variants: &[Variant],
    conditions: &Conditions,
    path: &Path,
) -> Result<()> {
    let mut all: BTreeMap<String, BTreeMap<&str, Value>> = BTreeMap::new();
    for variant in variants {
        let values = Figure::ALL
            .into_iter()
            .filter(|f| !figures.values(variant, *f).is_empty())
            .map(|f| {
                let median = figures.median(variant, f);
                (
                    f.title(),
                    json!({"median": median, "rounds": figures.values(variant, f)}),
                )
            });
        all.insert(variant.to_string(), values.collect());
    }
    let text = json!({
        "machine": machine(),
        "rounds": conditions.rounds,
        "seconds_a_load": conditions.seconds,
        "tls_group": conditions.tls_group,
        "variants": all,
    });
    write_json(&text, path)
}

/// Writes figures, and says where.
pub(crate) fn write_json(figures: &Value, path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    }
    fs::write(path, format!("{figures:#}\n")).with_context(|| path.display().to_string())?;
    println!("All values of all rounds: {}", path.display());
    Ok(())
}

/// What it was measured on.
pub(crate) fn machine() -> Value {
    let read = |p: &str| fs::read_to_string(p).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let value = |key: &str| {
        let line = cpuinfo.lines().find(|l| l.starts_with(key));
        line.and_then(|l| l.split(':').nth(1))
            .map(|v| v.trim().to_owned())
    };
    json!({
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "processors": cpuinfo.lines().filter(|l| l.starts_with("processor")).count(),
        "model": value("model name"),
        "memory": read("/proc/meminfo").lines().next().map(str::to_owned),
        // At the end of the run, over 1, 5 and 15 minutes: more than the processors says that others were at work.
        "load_average": read("/proc/loadavg").split_whitespace().take(3).collect::<Vec<_>>(),
    })
}

fn verdict(ratio: f64, figure: Figure) -> &'static str {
    let gain = if figure.more_is_better() {
        ratio
    } else {
        1.0 / ratio
    };
    match gain {
        g if g >= 1.05 => "better",
        g if g > 0.95 => "level",
        _ => "worse",
    }
}

fn precise(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
