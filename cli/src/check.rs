//! What a look at a cluster found, matter by matter: what is so, and what to do about it. Pure.

use serde_json::json;

use crate::output::{Table, View};

/// What was found, in the order in which it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks(Vec<Check>);

/// One matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub matter: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What is so, one line; names the object, and the field where there is one.
    pub found: String,
    /// What to do; empty where there is nothing to do.
    pub remedy: String,
}

/// How a matter stands, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It does not work like this.
    Error,
    /// A part of it may not.
    Warning,
    /// Well.
    Good,
}

impl Checks {
    /// Notes that something is well.
    pub fn good(&mut self, matter: &'static str, found: impl Into<String>) {
        self.note(matter, Verdict::Good, found, "");
    }

    /// Notes what may go wrong.
    pub fn warning(&mut self, matter: &'static str, found: impl Into<String>, remedy: impl Into<String>) {
        self.note(matter, Verdict::Warning, found, remedy);
    }

    /// Notes what does not work.
    pub fn error(&mut self, matter: &'static str, found: impl Into<String>, remedy: impl Into<String>) {
        self.note(matter, Verdict::Error, found, remedy);
    }

    /// Adds what was found elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Everything.
    #[must_use]
    pub fn all(&self) -> &[Check] {
        &self.0
    }

    /// Whether something does not work.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|check| check.verdict == Verdict::Error)
    }

    /// Only what is not well.
    #[must_use]
    pub fn bad(&self) -> Self {
        let bad = self.0.iter().filter(|check| check.verdict != Verdict::Good);
        Self(bad.cloned().collect())
    }

    /// For people and programs; `all_well` is what is said last where nothing stands in the way.
    #[must_use]
    pub fn view(&self, all_well: &str) -> View {
        let mut table = Table::new(["RESULT", "CHECK", "FOUND"]).or("nothing was looked at");
        for check in &self.0 {
            let found = match check.remedy.as_str() {
                "" => check.found.clone(),
                remedy => format!("{}; {remedy}", check.found),
            };
            table.row([check.verdict.as_str().to_owned(), check.matter.to_owned(), found]);
        }
        let count = |verdict| self.0.iter().filter(|check| check.verdict == verdict).count();
        let (errors, warnings) = (count(Verdict::Error), count(Verdict::Warning));
        table.foot(match (errors, warnings) {
            (0, 0) => all_well.to_owned(),
            (0, warnings) => format!("{all_well}, with {}", counted(warnings, "warning")),
            (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
        });
        let checks = self.0.iter().map(|check| {
            json!({
                "result": check.verdict.as_str(),
                "check": check.matter,
                "found": check.found,
                "remedy": check.remedy,
            })
        });
        View {
            table,
            data: json!({ "errors": errors, "warnings": warnings, "checks": checks.collect::<Vec<_>>() }),
        }
    }

    fn note(
        &mut self,
        matter: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(Check {
            matter,
            verdict,
            found: found.into(),
            remedy: remedy.into(),
        });
    }
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Good => "ok",
        }
    }
}

/// `1 error`, `2 errors`.
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

/// The first few of some names, and how many more there are.
#[must_use]
pub fn some<T: AsRef<str>>(names: &[T]) -> String {
    let shown = names.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>();
    let more = names.len().saturating_sub(SHOWN);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

const SHOWN: usize = 5;

#[cfg(test)]
mod tests;
