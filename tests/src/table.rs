//! Tables for people: columns as wide as their widest cell.

use std::fmt::Write as _;

/// Rows under a heading.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        Self {
            rows: vec![columns.iter().map(|c| (*c).to_owned()).collect()],
        }
    }

    /// Adds a row; missing cells are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table as text, a rule under the heading.
    #[must_use]
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| {
            self.rows
                .iter()
                .filter_map(|r| r.get(c))
                .map(|s| s.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut out = String::new();
        for (i, row) in self.rows.iter().enumerate() {
            let cell =
                |(c, w): (usize, &usize)| format!("{:<w$}", row.get(c).map_or("", String::as_str), w = *w);
            let line: Vec<_> = widths.iter().enumerate().map(cell).collect();
            writeln!(out, "{}", line.join("  ").trim_end()).expect("writing to a string cannot fail");
            if i == 0 {
                let rule: Vec<_> = widths.iter().map(|w| "─".repeat(*w)).collect();
                writeln!(out, "{}", rule.join("  ")).expect("writing to a string cannot fail");
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["a", "long name"]);
        table.row(["wide cell".to_owned(), "x".to_owned()]);
        assert_eq!(
            table.render(),
            "a          long name\n─────────  ─────────\nwide cell  x\n"
        );
    }
}
