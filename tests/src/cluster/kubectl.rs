//! `kubectl` as administrator.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::ip::Namespace;
use crate::wait;

/// How the tests speak to the API server.
#[derive(Clone, Debug)]
pub struct Kubectl {
    namespace: Namespace,
    program: PathBuf,
    config: PathBuf,
}

impl Kubectl {
    pub(super) fn new(namespace: Namespace, program: PathBuf, config: PathBuf) -> Self {
        Self {
            namespace,
            program,
            config,
        }
    }

    /// What it prints.
    ///
    /// # Errors
    /// Fails when it does, with what it wrote to standard error.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        said(self.command(arguments).stdin(Stdio::null()), arguments)
    }

    /// Applies YAML, by server-side apply.
    ///
    /// # Errors
    /// Fails with what the API server said.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        self.with_input(&["apply", "--server-side", "--force-conflicts", "-f", "-"], yaml)
    }

    /// Posts an object to a path, such as the `binding` of a pod.
    ///
    /// # Errors
    /// Fails with what the API server said.
    pub fn create_raw(&self, path: &str, object: &str) -> Result<String> {
        self.with_input(&["create", "--raw", path, "-f", "-"], object)
    }

    /// Puts an object to a path, such as the `finalize` of a namespace.
    ///
    /// # Errors
    /// Fails with what the API server said.
    pub fn replace_raw(&self, path: &str, object: &str) -> Result<String> {
        self.with_input(&["replace", "--raw", path, "-f", "-"], object)
    }

    /// Deletes the objects of YAML and waits until they are gone.
    ///
    /// # Errors
    /// Fails with what the API server said.
    pub fn delete(&self, yaml: &str) -> Result<String> {
        self.with_input(&["delete", "--ignore-not-found", "-f", "-"], yaml)
    }

    /// An object or a list, such as `["pods", "-n", "shop"]`.
    ///
    /// # Errors
    /// Fails with what the API server said.
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.run(&[&["get", "-o", "json"], arguments].concat())?;
        serde_json::from_str(&text).context("kubectl get -o json")
    }

    /// Waits until `probe` says yes to an object or a list.
    ///
    /// # Errors
    /// Fails after `limit`, with the last answer.
    pub fn wait<T>(
        &self,
        what: &str,
        arguments: &[&str],
        limit: Duration,
        mut probe: impl FnMut(&Value) -> Option<T>,
    ) -> Result<T> {
        let mut last = String::new();
        let result = wait::until(what, limit, || match self.get(arguments) {
            Ok(value) => {
                last = value.to_string();
                probe(&value)
            }
            Err(error) => {
                last = error.to_string();
                None
            }
        });
        result.with_context(|| format!("{} was last: {last}", arguments.join(" ")))
    }

    /// What a command inside a pod's container prints.
    ///
    /// # Errors
    /// Fails when it does.
    pub fn exec(&self, namespace: &str, pod: &str, command: &[&str]) -> Result<String> {
        self.run(&[&["exec", "-n", namespace, pod, "--"], command].concat())
    }

    /// The command itself, for what runs longer.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.namespace.command(&self.program);
        command.arg("--kubeconfig").arg(&self.config).args(arguments);
        command
    }

    /// Another program that speaks to the API server as administrator, from where pods and Services are reached too.
    #[must_use]
    pub fn beside(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.namespace.command(program);
        command.env("KUBECONFIG", &self.config);
        command
    }

    /// The program itself.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The administrator's configuration.
    #[must_use]
    pub fn config(&self) -> &PathBuf {
        &self.config
    }

    fn with_input(&self, arguments: &[&str], input: &str) -> Result<String> {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl's input")?;
        stdin.write_all(input.as_bytes()).context("kubectl's input")?;
        drop(stdin);
        let out = child.wait_with_output().context("kubectl")?;
        if !out.status.success() {
            bail!(
                "kubectl {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&out.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }
}

fn said(command: &mut Command, arguments: &[&str]) -> Result<String> {
    let out = command.output().context("kubectl")?;
    if !out.status.success() {
        bail!(
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
