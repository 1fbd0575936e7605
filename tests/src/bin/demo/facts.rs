//! What is known of a flow, as a row of a table.

use std::time::Duration;

use lab::table::Table;

use crate::flow::{Expect, Wire};
use crate::screen::{mark, ms};

/// What is known of one flow.
pub(crate) struct Facts {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) with: &'static str,
    pub(crate) nodes: (usize, usize),
    pub(crate) wire: Option<Wire>,
    pub(crate) identities: (Option<String>, Option<String>),
    pub(crate) verdict: Verdict,
    /// The policies that the server's ztunnel holds for the server, as it says itself.
    pub(crate) policies: Vec<String>,
    pub(crate) took: Option<Duration>,
    /// What could not be confirmed, or is not as it should be.
    pub(crate) doubts: Vec<String>,
}

/// What came of it.
pub(crate) enum Verdict {
    Allowed,
    Denied { by: Option<String>, error: String },
    Failed,
}

impl Facts {
    /// Whether everything is confirmed and as it should be.
    pub(crate) fn good(&self) -> bool {
        self.doubts.is_empty()
    }

    pub(crate) fn doubts(&self) -> &[String] {
        &self.doubts
    }

    pub(crate) fn title(&self) -> String {
        format!("{} → {}", self.from, self.to)
    }

    /// What is known but was not expected becomes a doubt.
    pub(crate) fn compare(&mut self, expect: Expect) {
        if self.wire.is_some_and(|w| w != expect.wire) {
            self.doubts.push(format!("{} was expected", expect.wire.title()));
        }
        match (&self.verdict, expect.allowed) {
            (Verdict::Allowed, false) => self.doubts.push("it should have been denied".to_owned()),
            (Verdict::Denied { .. }, true) => self.doubts.push("it should have been allowed".to_owned()),
            _ => {}
        }
    }

    fn remarks(&self) -> impl Iterator<Item = String> {
        let verdict = match &self.verdict {
            Verdict::Denied { by: Some(policy), .. } => Some(format!("denied by policy {policy}")),
            Verdict::Denied { error, .. } => Some(format!(
                "denied: {error} (of those that select it: {})",
                self.policies.join(", ")
            )),
            Verdict::Allowed | Verdict::Failed => None,
        };
        verdict
            .into_iter()
            .chain(self.doubts.iter().map(|d| format!("✗ {d}")))
    }

    fn cells(&self) -> [String; 7] {
        let identity = |id: &Option<String>| id.as_deref().map_or_else(|| "–".to_owned(), short_identity);
        let identities = match &self.identities {
            (None, None) => "none".to_owned(),
            (a, b) => format!("{} → {}", identity(a), identity(b)),
        };
        let verdict = match &self.verdict {
            Verdict::Allowed => "allowed",
            Verdict::Denied { .. } => "denied",
            Verdict::Failed => "unclear",
        };
        [
            format!("{} {}", mark(self.good()), self.title()),
            self.with.to_owned(),
            format!("{} → {}", self.nodes.0 + 1, self.nodes.1 + 1),
            self.wire.map_or("?", Wire::title).to_owned(),
            identities,
            verdict.to_owned(),
            self.took.map_or_else(|| "?".to_owned(), took),
        ]
    }
}

/// Flows as a table; below each what its outcome rests on, and what is doubtful.
pub(crate) fn table(all: &[Facts]) -> String {
    with_remarks(all)
}

/// The same without a heading.
pub(crate) fn rows(all: &[Facts]) -> String {
    let table = with_remarks(all);
    table.lines().skip(HEAD).collect::<Vec<_>>().join("\n")
}

fn with_remarks(all: &[Facts]) -> String {
    let columns = [
        "  caller → called",
        "program",
        "nodes",
        "wire",
        "proven identities",
        "outcome",
        "time",
    ];
    let mut table = Table::new(&columns);
    for facts in all {
        table.row(facts.cells());
    }
    let rendered = table.render();
    let mut lines = rendered.lines().map(str::to_owned);
    let mut out: Vec<String> = lines.by_ref().take(HEAD).collect();
    for (line, facts) in lines.zip(all) {
        out.push(line);
        out.extend(facts.remarks().map(|remark| format!("    ↳ {remark}")));
    }
    out.join("\n")
}

/// `spiffe://cluster.local/ns/shop/sa/web` as `shop/web`; the table's legend says so.
fn short_identity(id: &str) -> String {
    let name = id
        .strip_prefix("spiffe://cluster.local/ns/")
        .and_then(|rest| rest.split_once("/sa/"));
    name.map_or_else(
        || id.to_owned(),
        |(namespace, account)| format!("{namespace}/{account}"),
    )
}

/// ztunnel logs whole milliseconds.
fn took(time: Duration) -> String {
    if time.is_zero() {
        "< 1 ms".to_owned()
    } else {
        ms(time)
    }
}

/// A table's heading and the rule below it.
const HEAD: usize = 2;
