//! Which crates are linked into a program: `cargo tree`, which knows features, platforms and which crates only build.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// One version of a crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    /// As registries know it.
    pub name: String,
    /// Such as `1.2.3`.
    pub version: String,
}

/// The crates of a workspace, by who is linked into whom.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    uses: BTreeMap<Crate, BTreeSet<Crate>>,
    licenses: BTreeMap<Crate, String>,
    members: BTreeSet<Crate>,
}

impl Tree {
    /// Of the workspace as it is built for this machine, all members together: features are those of that build. Without what
    /// is run by the compiler alone (build scripts, procedural macros) or by tests.
    ///
    /// # Errors
    /// Fails when cargo cannot resolve the workspace from its lock file.
    pub fn of_workspace(manifest: &Path) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["tree", "--locked", "--workspace", "--manifest-path"]);
        command.arg(manifest);
        command.args(["--edges", "normal,no-proc-macro"]);
        command.args(["--prefix", "depth", "--color", "never", "--format", FORMAT]);
        let out = command.output().context("cargo tree")?;
        if !out.status.success() {
            bail!("cargo tree: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        Self::parse(&String::from_utf8_lossy(&out.stdout)).context("cargo tree")
    }

    /// Lines of [`FORMAT`]: a crate stands under the last one of a smaller depth, and a crate that is there a second time does
    /// not show again what stands under it.
    fn parse(text: &str) -> Result<Self> {
        let mut tree = Self::default();
        let mut above: Vec<Crate> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (depth, found, license) = parse_line(line).with_context(|| format!("{line:?}"))?;
            if depth > above.len() {
                bail!("{line:?} stands under nothing");
            }
            above.truncate(depth);
            match above.last() {
                Some(user) => {
                    tree.uses.entry(user.clone()).or_default().insert(found.clone());
                }
                None => {
                    tree.members.insert(found.clone());
                }
            }
            if !license.is_empty() {
                tree.licenses.insert(found.clone(), license.to_owned());
            }
            above.push(found);
        }
        Ok(tree)
    }

    /// These members of the workspace and all that is linked into them.
    ///
    /// # Errors
    /// Fails naming a package that is no member.
    pub fn linked_into(&self, packages: &[&str]) -> Result<BTreeSet<&Crate>> {
        let mut open = Vec::new();
        for name in packages {
            let member = self.members.iter().find(|member| member.name == *name);
            open.push(member.with_context(|| format!("the workspace has no package {name}"))?);
        }
        let mut linked = BTreeSet::new();
        while let Some(next) = open.pop() {
            if linked.insert(next) {
                open.extend(self.uses.get(next).into_iter().flatten());
            }
        }
        Ok(linked)
    }

    /// What a crate's manifest says of its licence.
    #[must_use]
    pub fn license(&self, of: &Crate) -> Option<&str> {
        self.licenses.get(of).map(String::as_str)
    }
}

/// `2name v1.2.3 (where from)⇥licence⇥`, and `(*)` where it is there a second time.
fn parse_line(line: &str) -> Result<(usize, Crate, &str)> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let (depth, rest) = line.split_at(digits);
    let mut fields = rest.split('\t');
    let mut words = fields.next().unwrap_or_default().split(' ');
    let name = words.next().filter(|name| !name.is_empty());
    let version = words.next().and_then(|version| version.strip_prefix('v'));
    let found = Crate {
        name: name.context("no name")?.to_owned(),
        version: version.context("no version")?.to_owned(),
    };
    let license = fields.next().context("no licence's field")?;
    Ok((depth.parse().context("no depth")?, found, license))
}

const FORMAT: &str = "{p}\t{l}\t";

#[cfg(test)]
mod tests;
