//! The suite: what it is told, and what is read out of what it says.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use controlplane_index::waypoint::classes::EXTENDED_FEATURES;

use crate::mesh::{Mesh, WAYPOINT};

/// One run of it.
pub(crate) struct Run<'a> {
    suite: &'a Path,
    test: Option<&'a str>,
    log: PathBuf,
    report: Option<PathBuf>,
}

/// How a test of the suite ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Passed,
    Failed,
    Skipped,
}

/// A test of the suite, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) test: String,
    pub(crate) ending: Ending,
}

/// What a run comes to.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    succeeded: bool,
    outcomes: Vec<Outcome>,
    report: Option<PathBuf>,
}

impl<'a> Run<'a> {
    /// All tests, and a report.
    pub(crate) fn all(suite: &'a Path, out: &Path) -> Self {
        Self {
            suite,
            test: None,
            log: out.join("suite.log"),
            report: Some(out.join("report.yaml")),
        }
    }

    /// One test; no report, which would call the others skipped.
    pub(crate) fn only(suite: &'a Path, out: &Path, test: &'a str) -> Self {
        Self {
            suite,
            test: Some(test),
            log: out.join(format!("{test}.log")),
            report: None,
        }
    }

    /// Runs it beside the API server. Every test of the mesh is told as it ends; all that the suite says is kept.
    pub(crate) fn carry_out(self, mesh: &Mesh) -> Result<Verdict> {
        if let Some(report) = self.report.as_ref().filter(|report| report.exists()) {
            fs::remove_file(report).with_context(|| report.display().to_string())?;
        }
        let mut log = File::create(&self.log).with_context(|| self.log.display().to_string())?;
        let mut suite = self.command(mesh);
        suite.stdin(Stdio::null()).stdout(Stdio::piped());
        suite.stderr(log.try_clone().context("log")?);
        let mut suite = suite.spawn().context("the suite")?;
        let mut outcomes = Vec::new();
        let said = suite.stdout.take().context("the suite's output")?;
        for line in BufReader::new(said).lines() {
            let line = line.context("the suite's output")?;
            writeln!(log, "{line}").context("log")?;
            let Some(outcome) = outcome(&line).filter(|outcome| self.is_ours(outcome)) else {
                continue;
            };
            println!("{outcome}");
            outcomes.push(outcome);
        }
        let status = suite.wait().context("the suite")?;
        Ok(Verdict {
            succeeded: status.success(),
            outcomes,
            report: self.report.filter(|report| report.is_file()),
        })
    }

    /// Of the others, those of gateways, the suite says that they are not asked for.
    fn is_ours(&self, outcome: &Outcome) -> bool {
        match self.test {
            Some(test) => outcome.test == test,
            None => outcome.test.starts_with(OURS),
        }
    }

    fn command(&self, mesh: &Mesh) -> Command {
        let kubectl = mesh.cluster().kubectl();
        let mut command = kubectl.beside(self.suite);
        command.args(["-test.run", "^TestConformance$", "-test.v", "-test.timeout", "1h"]);
        command.arg(format!("--conformance-profiles={}", PROFILES.join(",")));
        command.arg(format!("--supported-features={}", EXTENDED_FEATURES.join(",")));
        command.arg(format!(
            "--namespace-labels=istio.io/dataplane-mode=ambient,istio.io/use-waypoint={WAYPOINT},\
             istio.io/use-waypoint-namespace={NAMESPACE}"
        ));
        // The cluster goes as a whole.
        command.arg("--cleanup-base-resources=false");
        if let Some(test) = self.test {
            command.arg(format!("--run-test={test}"));
        }
        if let Some(report) = &self.report {
            command.arg(format!("--report-output={}", report.display()));
            command.args(["--organization=lateen", "--project=lateen"]);
            command.arg(concat!("--version=v", env!("CARGO_PKG_VERSION")));
            command.arg(concat!("--url=", env!("CARGO_PKG_REPOSITORY")));
            command.arg(concat!("--contact=", env!("CARGO_PKG_REPOSITORY"), "/issues"));
        }
        command
    }
}

impl Verdict {
    /// Whether the suite was content, with every test of the mesh: none failed, none was left out, and there is a report.
    pub(crate) fn is_conformant(&self) -> bool {
        let passed = |outcome: &Outcome| outcome.ending == Ending::Passed;
        self.succeeded
            && self.report.is_some()
            && !self.outcomes.is_empty()
            && self.outcomes.iter().all(passed)
    }

    /// Whether what was asked for was run, and passed.
    pub(crate) fn is_without_failure(&self) -> bool {
        let passed = |outcome: &Outcome| outcome.ending == Ending::Passed;
        self.succeeded && self.outcomes.iter().any(passed)
    }

    fn count(&self, ending: Ending) -> usize {
        let so = |outcome: &&Outcome| outcome.ending == ending;
        self.outcomes.iter().filter(so).count()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, failed) = (self.count(Ending::Passed), self.count(Ending::Failed));
        let skipped = self.count(Ending::Skipped);
        let verdict = if self.is_conformant() {
            "conformant"
        } else {
            "NOT conformant"
        };
        write!(
            f,
            "{verdict}: {passed} passed, {failed} failed, {skipped} left out"
        )?;
        match &self.report {
            Some(report) => write!(f, "; report: {}", report.display()),
            None => write!(f, "; the suite wrote no report"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = match self.ending {
            Ending::Passed => "ok",
            Ending::Failed => "FAILED",
            Ending::Skipped => "LEFT OUT",
        };
        write!(f, "test {} ... {ending}", self.test)
    }
}

/// A line such as `    --- PASS: TestConformance/MeshBasic (0.52s)`; those of its parts are indented further. The time is
/// without that of parts that ran beside one another.
fn outcome(line: &str) -> Option<Outcome> {
    let (word, rest) = line.strip_prefix("    --- ")?.split_once(": TestConformance/")?;
    let (test, _) = rest.split_once(" (")?;
    let ending = match word {
        "PASS" => Ending::Passed,
        "FAIL" => Ending::Failed,
        "SKIP" => Ending::Skipped,
        _ => return None,
    };
    Some(Outcome {
        test: test.to_owned(),
        ending,
    })
}

/// Where the suite's Services are.
pub(crate) const NAMESPACE: &str = "gateway-conformance-mesh";
/// How the names of its tests of meshes begin.
const OURS: &str = "Mesh";
const PROFILES: [&str; 2] = ["MESH-HTTP", "MESH-GRPC"];

#[cfg(test)]
mod tests;
