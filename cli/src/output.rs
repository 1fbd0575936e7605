//! Tables for people; JSON and YAML for programs.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::Value;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns, for people.
    #[default]
    Table,
    /// Data.
    Json,
    /// Data.
    Yaml,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct View {
    /// For people.
    pub table: Table,
    /// For programs.
    pub data: Value,
}

/// Rows under a head.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// What is said where there is no row.
    empty: String,
    /// Lines below the rows.
    foot: Vec<String>,
}

impl View {
    /// What was done, a line for each step; for programs, the data only.
    #[must_use]
    pub fn lines(lines: impl IntoIterator<Item = String>, data: Value) -> Self {
        let mut lines = lines.into_iter();
        let mut table = Table::new([]).or(lines.next().unwrap_or_default());
        lines.for_each(|line| table.foot(line));
        Self { table, data }
    }

    /// Prints it on standard output.
    ///
    /// # Errors
    /// Fails when nobody reads.
    pub fn print(&self, format: Format) -> anyhow::Result<()> {
        let text = self.text(format)?;
        io::stdout().write_all(text.as_bytes()).context("standard output")
    }

    pub(crate) fn text(&self, format: Format) -> anyhow::Result<String> {
        match format {
            Format::Table => Ok(self.table.text()),
            Format::Json => Ok(format!("{:#}\n", self.data)),
            Format::Yaml => serde_saphyr::to_string(&self.data).context("YAML"),
        }
    }
}

impl Table {
    /// A table of these columns, without a row.
    #[must_use]
    pub fn new<const N: usize>(head: [&'static str; N]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
            empty: "nothing".to_owned(),
            foot: Vec::new(),
        }
    }

    /// What is said where there is no row.
    #[must_use]
    pub fn or(mut self, empty: impl Into<String>) -> Self {
        self.empty = empty.into();
        self
    }

    /// Adds a row, a cell for each column.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.head.len(), "a cell for each column");
        self.rows.push(cells.to_vec());
    }

    /// Adds a line below the rows.
    pub fn foot(&mut self, line: impl Into<String>) {
        self.foot.push(line.into());
    }

    /// The table as kubectl prints tables: columns as wide as their widest cell, three spaces between them.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.rows.is_empty() {
            text.push_str(&self.empty);
            text.push('\n');
        } else {
            let head = self.head.iter().map(|&cell| cell.to_owned()).collect();
            let lines: Vec<Vec<String>> = [head].into_iter().chain(self.rows.iter().cloned()).collect();
            let widths: Vec<usize> = (0..self.head.len())
                .map(|at| {
                    lines
                        .iter()
                        .map(|line| line[at].chars().count())
                        .max()
                        .unwrap_or(0)
                })
                .collect();
            for line in &lines {
                text.push_str(&aligned(line, &widths));
                text.push('\n');
            }
        }
        for line in &self.foot {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let cells = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"));
    cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
}

/// A cell of several things.
#[must_use]
pub fn list<T: AsRef<str>>(items: &[T]) -> String {
    match items {
        [] => "-".to_owned(),
        items => items.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(","),
    }
}

#[cfg(test)]
mod tests;
