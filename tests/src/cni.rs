//! The container runtime's role: the plugin chain, called as the CNI specification says (CNI 1.0.0, sections 2 to 4:
//! execution protocol, lifecycle, chaining).

use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::ip::Namespace;

/// A chain of plugins as one node has it configured.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The node's namespace, in which the plugins run.
    pub node: Namespace,
    /// Where plugin binaries lie, `CNI_PATH`.
    pub path: Vec<PathBuf>,
    /// `cniVersion` of the list.
    pub version: &'static str,
    /// The plugins' configurations, in order, each with its `type`.
    pub plugins: Vec<Value>,
}

/// One attachment of a container to the network: what stays the same from ADD to DEL.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// `CNI_CONTAINERID`.
    pub container: String,
    /// The pod's namespace.
    pub netns: Namespace,
    /// `K8S_POD_NAMESPACE` in `CNI_ARGS`.
    pub pod_namespace: String,
    /// `K8S_POD_NAME` in `CNI_ARGS`.
    pub pod_name: String,
    /// `K8S_POD_UID` in `CNI_ARGS`.
    pub pod_uid: String,
}

/// What ADD gave.
#[derive(Clone, Debug)]
pub struct Added {
    /// The last plugin's result, which later calls get back as `prevResult`.
    pub result: Value,
    /// The pod's addresses.
    pub addresses: Vec<IpAddr>,
}

impl Chain {
    /// ADD, plugin by plugin, each given its predecessor's result.
    ///
    /// # Errors
    /// Fails with the failing plugin's name and message. As the specification asks of a runtime, the caller then
    /// calls [`Chain::del`].
    pub fn add(&self, to: &Attachment) -> Result<Added> {
        let mut previous = None;
        for plugin in &self.plugins {
            let answer = self.call("ADD", plugin, previous.as_ref(), to)?;
            let result = serde_json::from_str(&answer)
                .with_context(|| format!("result of {}: {answer}", plugin["type"]))?;
            previous = Some(result);
        }
        let result: Value = previous.context("the chain has no plugins")?;
        let ips = result["ips"].as_array().context("a result without ips")?;
        let address = |ip: &Value| ip["address"].as_str()?.split('/').next()?.parse().ok();
        Ok(Added {
            addresses: ips.iter().filter_map(address).collect(),
            result,
        })
    }

    /// CHECK, plugin by plugin, each given the result of ADD.
    ///
    /// # Errors
    /// Fails with the first failing plugin's name and message.
    pub fn check(&self, to: &Attachment, added: &Added) -> Result<()> {
        self.plugins
            .iter()
            .try_for_each(|p| self.call("CHECK", p, Some(&added.result), to).map(drop))
    }

    /// DEL, in reverse order.
    ///
    /// # Errors
    /// Fails with the first failing plugin's name and message, after all were called.
    pub fn del(&self, from: &Attachment, added: Option<&Added>) -> Result<()> {
        let call = |p: &Value| self.call("DEL", p, added.map(|a| &a.result), from);
        let failures: Vec<_> = self.plugins.iter().rev().filter_map(|p| call(p).err()).collect();
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    fn call(
        &self,
        command: &str,
        plugin: &Value,
        previous: Option<&Value>,
        to: &Attachment,
    ) -> Result<String> {
        let name = plugin["type"].as_str().context("a plugin without a type")?;
        let candidates: Vec<_> = self.path.iter().map(|dir| dir.join(name)).collect();
        let binary = candidates.iter().find(|p| p.is_file());
        let binary = binary.with_context(|| format!("no plugin {name} in {:?}", self.path))?;

        let mut process: Command = self.node.command(binary);
        process
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", &to.container)
            .env("CNI_NETNS", to.netns.path())
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", std::env::join_paths(&self.path)?)
            .env("CNI_ARGS", to.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = process.spawn().with_context(|| binary.display().to_string())?;
        let config = self.configuration(plugin, previous).to_string();
        // A plugin that fails early closes its input; its answer says why.
        drop(child.stdin.take().map(|mut i| i.write_all(config.as_bytes())));
        let out = child.wait_with_output().with_context(|| name.to_owned())?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        if !out.status.success() {
            bail!(
                "{name} {command} for {}/{}: {}",
                to.pod_namespace,
                to.pod_name,
                failure(&said, &out.stderr)
            );
        }
        Ok(said)
    }

    fn configuration(&self, plugin: &Value, previous: Option<&Value>) -> Value {
        let mut config: Map<_, _> = plugin.as_object().cloned().unwrap_or_default();
        config.insert("cniVersion".to_owned(), json!(self.version));
        config.insert("name".to_owned(), json!(NETWORK));
        if let Some(previous) = previous {
            config.insert("prevResult".to_owned(), previous.clone());
        }
        Value::Object(config)
    }
}

impl Attachment {
    fn arguments(&self) -> String {
        format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={};K8S_POD_UID={}",
            self.pod_namespace, self.pod_name, self.container, self.pod_uid
        )
    }
}

/// The specification's error object is a line for people; what is no such object is shown as it is.
fn failure(stdout: &str, stderr: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_str(stdout).ok();
    match parsed.as_ref().and_then(|v| {
        v["msg"]
            .as_str()
            .map(|m| (m, v["details"].as_str().unwrap_or("")))
    }) {
        Some((message, "")) => message.to_owned(),
        Some((message, details)) => format!("{message}: {details}"),
        None => format!("{stdout}{}", String::from_utf8_lossy(stderr))
            .trim()
            .to_owned(),
    }
}

pub(crate) const NETWORK: &str = "lateen-lab";
