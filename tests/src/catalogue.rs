//! The catalogue of objects that are wrong (`controlplane/crds/corpus`): what is wrong with each, and what is answered.
//!
//! A document begins with comments: what is wrong, in words; `# says: ` for each line that the API server refuses it with,
//! or warns of; and
//! `# status: TYPE=STATUS REASON: MESSAGE` for each condition that its status has once the control plane has seen it. Of a
//! message a part will do.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A document.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its file.
    pub file: PathBuf,
    /// Which of the file's it is.
    pub index: usize,
    /// What is wrong with it.
    pub title: Vec<String>,
    /// What the API server says of it.
    pub says: Vec<String>,
    /// What its status says.
    pub status: Vec<String>,
    /// The object.
    pub yaml: String,
}

/// Which of the answers is written down anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The API server's.
    Says,
    /// The status.
    Status,
}

/// The documents of a folder of the corpus, in the order of its files.
///
/// # Errors
/// Fails when the folder cannot be read, or has none.
pub fn read(folder: &str) -> Result<Vec<Entry>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../controlplane/crds/corpus")
        .join(folder);
    let listed = fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    let mut files = listed
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let documents = text.split("\n---\n").filter(|d| !d.trim().is_empty());
        all.extend(
            documents
                .enumerate()
                .map(|(index, text)| Entry::of(&file, index, text)),
        );
    }
    ensure!(!all.is_empty(), "{} is empty", dir.display());
    Ok(all)
}

impl Entry {
    fn of(file: &Path, index: usize, text: &str) -> Self {
        let mut entry = Self {
            file: file.to_owned(),
            index,
            title: Vec::new(),
            says: Vec::new(),
            status: Vec::new(),
            yaml: String::new(),
        };
        let mut lines = text.lines().peekable();
        while let Some(comment) = lines.next_if(|line| line.starts_with('#')) {
            let comment = comment.trim_start_matches('#').trim();
            if let Some(says) = comment.strip_prefix("says: ") {
                entry.says.push(says.to_owned());
            } else if let Some(status) = comment.strip_prefix("status: ") {
                entry.status.push(status.to_owned());
            } else {
                entry.title.push(comment.to_owned());
            }
        }
        entry.yaml = lines.map(|line| format!("{line}\n")).collect();
        entry
    }

    /// A name that no other document of the corpus has.
    #[must_use]
    pub fn name(&self) -> String {
        let part = |path: Option<&std::ffi::OsStr>| path.unwrap_or_default().to_string_lossy().into_owned();
        let folder = part(self.file.parent().and_then(Path::file_name));
        let file = part(self.file.file_stem());
        format!("{folder}-{file}-{}", self.index + 1)
    }

    /// What it is called where it is applied: such a name, or its own where that is what is wrong with it.
    #[must_use]
    pub fn called(&self) -> String {
        let own = self.yaml.split_once("metadata: {name: ").map(|(_, rest)| rest);
        let own = own.and_then(|rest| rest.split([',', '}']).next());
        match own {
            Some(own) if own != "a" => own.to_owned(),
            _ => self.name(),
        }
    }

    /// The object under such a name, in a namespace.
    #[must_use]
    pub fn named(&self, name: &str, namespace: &str) -> String {
        let yaml = self
            .yaml
            .replace("metadata: {name: a,", &format!("metadata: {{name: {name},"));
        yaml.replace("namespace: shop", &format!("namespace: {namespace}"))
            .replace(".shop.svc.", &format!(".{namespace}.svc."))
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        let kind = self.yaml.lines().find_map(|line| line.strip_prefix("kind: "));
        kind.unwrap_or_default()
    }

    /// The kind as the API server is asked for it: `Service`, `Gateway.gateway.networking.k8s.io`.
    #[must_use]
    pub fn resource(&self) -> String {
        let version = self
            .yaml
            .lines()
            .find_map(|line| line.strip_prefix("apiVersion: "));
        match version.and_then(|version| version.split_once('/')) {
            Some((group, _)) => format!("{}.{group}", self.kind()),
            None => self.kind().to_owned(),
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let comments = self.title.iter().cloned();
        let says = self.says.iter().map(|line| format!("says: {line}"));
        let status = self.status.iter().map(|line| format!("status: {line}"));
        for comment in comments.chain(says).chain(status) {
            let _ = writeln!(text, "# {comment}");
        }
        text + &self.yaml
    }
}

/// Writes the documents' files anew.
///
/// # Errors
/// Fails when a file cannot be written.
pub fn write(entries: &[Entry]) -> Result<()> {
    let mut rest = entries;
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|entry| entry.file == first.file).count();
        let (of_file, others) = rest.split_at(count);
        let texts: Vec<_> = of_file.iter().map(Entry::text).collect();
        fs::write(&first.file, texts.join("---\n")).with_context(|| first.file.display().to_string())?;
        rest = others;
    }
    Ok(())
}

/// What kubectl printed of a refusal, without what is the same for all: one line for each fault.
#[must_use]
pub fn refusal(printed: &str) -> Vec<String> {
    let text = [" denied request: ", " is invalid: "]
        .iter()
        .find_map(|before| Some(printed.split_once(before)?.1))
        .unwrap_or(printed);
    let lines = text.lines().map(|line| line.trim().trim_start_matches("* "));
    let is_said = |line: &&str| !line.is_empty() && !line.contains(NOT_SAID);
    lines.filter(is_said).map(str::to_owned).collect()
}

/// What kubectl printed of an admission policy's warnings, one line for each.
#[must_use]
pub fn warnings(printed: &str) -> Vec<String> {
    let lines = printed
        .lines()
        .filter_map(|line| line.split_once("Warning: Validation failed for ValidatingAdmissionPolicy '"));
    let messages =
        lines.filter_map(|(_, rest)| Some(rest.split_once("' with binding '")?.1.split_once("': ")?.1));
    messages.map(str::to_owned).collect()
}

/// The conditions of a status, wherever it has them, as the catalogue writes them. How many proxies have what an object became
/// changes by itself, and is left out.
#[must_use]
pub fn conditions(status: &Value) -> Vec<String> {
    let mut all = Vec::new();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let inner = ["parents", "ancestors", "listeners"].map(|place| list(&status[place]));
    for owner in inner.iter().flatten().chain([status]) {
        for condition in list(&owner["conditions"]) {
            let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
            if text("type") != "lateen.dev/Delivered" {
                let [kind, holds, reason, message] = ["type", "status", "reason", "message"].map(text);
                let message = message.replace('\n', " ");
                let line = format!("{kind}={holds} {reason}: {message}");
                all.push(line.trim_end_matches([' ', ':']).to_owned());
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

/// Whether a condition is the one that the catalogue has: the same type, status and reason, and its message.
#[must_use]
pub fn is_said(wanted: &str, conditions: &[String]) -> bool {
    let (head, message) = wanted.split_once(": ").unwrap_or((wanted, ""));
    conditions.iter().any(|condition| {
        let (its_head, its_message) = condition.split_once(": ").unwrap_or((condition, ""));
        its_head == head && its_message.contains(message)
    })
}

/// The page for people: what is wrong, and what is answered.
#[must_use]
pub fn page(refused: &[Entry], warned: &[Entry], told: &[Entry]) -> String {
    let mut page = PAGE.to_owned();
    let mut table = |title: &str, entries: &[Entry], answers: fn(&Entry) -> &Vec<String>| {
        let _ = write!(
            page,
            "\n## {title}\n\n| kind | what is wrong | answer |\n|---|---|---|\n"
        );
        for entry in entries.iter().filter(|entry| !answers(entry).is_empty()) {
            let answers: Vec<_> = answers(entry)
                .iter()
                .map(|line| format!("`{}`", cell(line)))
                .collect();
            let title = entry.title.join(" ");
            let _ = writeln!(
                page,
                "| {} | {} | {} |",
                entry.kind(),
                cell(&title),
                answers.join("<br>")
            );
        }
    };
    table("Refused by the API server", refused, |entry| &entry.says);
    table("Taken with a warning", warned, |entry| &entry.says);
    table("Taken, and what the status says", told, |entry| &entry.status);
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// That there may be more is said of many.
const NOT_SAID: &str = "some validation rules were not checked";
const PAGE: &str = "# Objects that are wrong, and what is answered

Made from the catalogue `controlplane/crds/corpus`, which the tests hold the control plane's own validation, a real API server with
our CRDs and admission policies, and a whole mesh against; `LATEEN_UPDATE=1` writes it anew. An object of the first table is never
stored. One of the second does nothing, or not what it seems to, of which `kubectl` prints a warning. One of the third is stored as it
was written; what counts of it is what its status says, and `lateen analyze` and `lateen-controlplane`'s page `/status` say the same.
";

#[cfg(test)]
mod tests;
