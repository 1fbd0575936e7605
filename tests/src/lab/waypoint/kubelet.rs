//! The kubelet's role: a container's environment, volumes and arguments, out of a pod's template.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::super::{Lab, Pod, node_name};

/// What is needed to run the only container of a pod.
#[derive(Clone, Debug)]
pub(super) struct Container {
    program: PathBuf,
    arguments: Vec<String>,
    env: BTreeMap<String, String>,
    /// Where a directory is seen, and the directory.
    mounts: BTreeMap<String, PathBuf>,
}

impl Container {
    /// Makes the volumes of a pod, and reads what its container is to get.
    pub(super) fn prepare(lab: &Lab, pod: &Pod, template: &Value) -> Result<Self> {
        let container = &template["spec"]["containers"][0];
        let dir = lab.dir().join("pods").join(&pod.spec().name);
        let mut volumes = BTreeMap::new();
        for volume in list(&template["spec"]["volumes"]) {
            let at = dir.join(text(&volume["name"])?);
            fs::create_dir_all(&at).with_context(|| at.display().to_string())?;
            fill(lab, pod, volume, &at)?;
            volumes.insert(text(&volume["name"])?, at);
        }
        let mut mounts = BTreeMap::new();
        for mount in list(&container["volumeMounts"]) {
            let volume = volumes.get(&text(&mount["name"])?).context("no such volume")?;
            mounts.insert(text(&mount["mountPath"])?, volume.clone());
        }
        Ok(Self {
            program: lab.products().path("lateen-waypoint"),
            arguments: list(&container["args"]).map(text).collect::<Result<_>>()?,
            env: list(&container["env"])
                .map(|variable| Ok((text(&variable["name"])?, value(pod, container, variable)?)))
                .collect::<Result<_>>()?,
            mounts,
        })
    }

    /// The command that runs it: in the pod's network, with its own view of the file system and nothing else in its
    /// environment. The image's user is not taken on: a user namespace may have nobody but root.
    pub(super) fn command(&self, pod: &Pod) -> Command {
        let mut command = pod.command("unshare");
        command.args(["--mount", "--", "sh", "-euc", MOUNT_AND_RUN, "sh"]);
        for (at, dir) in &self.mounts {
            command.arg(at).arg(dir);
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        command.env_clear().envs(&self.env).current_dir("/");
        command
    }
}

fn fill(lab: &Lab, pod: &Pod, volume: &Value, at: &std::path::Path) -> Result<()> {
    if let Some(map) = volume["configMap"]["name"].as_str() {
        if map != ROOT_CONFIG_MAP {
            bail!("there is no ConfigMap {map}");
        }
        fs::copy(lab.root_certificate(), at.join("root-cert.pem")).context("root certificate")?;
        return Ok(());
    }
    for source in list(&volume["projected"]["sources"]) {
        let token = &source["serviceAccountToken"];
        let ttl = format!("{}s", token["expirationSeconds"]);
        fs::write(at.join(text(&token["path"])?), lab.pod_token(pod, &ttl)?).context("token")?;
    }
    Ok(())
}

/// Kubernetes API reference, `EnvVar`.
fn value(pod: &Pod, container: &Value, variable: &Value) -> Result<String> {
    if let Some(value) = variable["value"].as_str() {
        return Ok(value.to_owned());
    }
    let from = &variable["valueFrom"];
    if let Some(resource) = from["resourceFieldRef"]["resource"].as_str() {
        let (kind, what) = resource.split_once('.').context("a resource")?;
        return text(&container["resources"][kind][what]);
    }
    let spec = pod.spec();
    Ok(match text(&from["fieldRef"]["fieldPath"])?.as_str() {
        "metadata.name" => spec.name.clone(),
        "metadata.namespace" => spec.namespace.clone(),
        "spec.serviceAccountName" => spec.service_account.clone(),
        "spec.nodeName" => node_name(spec.node),
        "status.podIP" => pod.v4().to_string(),
        other => bail!("{}: no field {other}", variable["name"]),
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> Result<String> {
    let text = value.as_str().with_context(|| format!("{value} is no text"))?;
    Ok(text.to_owned())
}

/// Pairs of directories up to `--`: where, and what; then the program with its arguments.
const MOUNT_AND_RUN: &str =
    r#"while [ "$1" != -- ]; do mkdir -p "$1"; mount --bind "$2" "$1"; shift 2; done; shift; exec "$@""#;
/// What the control plane keeps in every namespace of a cluster.
const ROOT_CONFIG_MAP: &str = "istio-ca-root-cert";
