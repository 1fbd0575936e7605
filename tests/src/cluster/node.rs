//! A node: namespaces of its own, and in them containerd, kubelet and kube-proxy.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::control_plane::ControlPlane;
use super::plan;
use super::tools::Tools;
use crate::ip::{self, Namespace};
use crate::process::Process;
use crate::wait;

/// A node of the cluster. Its folder outlives its processes, as a disk does.
#[derive(Debug)]
pub struct Node {
    index: usize,
    namespace: Namespace,
    tools: Tools,
    dir: PathBuf,
    logs: PathBuf,
    images: PathBuf,
    init: Option<Process>,
}

impl Node {
    /// Makes a node's network and its folder; nothing runs yet.
    ///
    /// # Errors
    /// Fails with the first thing that cannot be made.
    pub(super) fn create(
        index: usize,
        control: &ControlPlane,
        tools: &Tools,
        dir: &Path,
        cgroup: &str,
    ) -> Result<Self> {
        let name = plan::node_name(index);
        let namespace = Namespace::create(&name)?;
        ip::plug(&namespace, plan::WIRE, &plan::underlay(plan::node_host(index)))?;
        for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            namespace.sysctl(key, "1")?;
        }
        let node = Self {
            index,
            namespace,
            tools: tools.clone(),
            dir: dir.join(&name),
            logs: dir.join("logs"),
            images: dir.join("images"),
            init: None,
        };
        node.furnish(control, cgroup)?;
        Ok(node)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        plan::node_name(self.index)
    }

    /// Its place, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its network.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Boots it (again): mounts, container runtime, kubelet, kube-proxy.
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let mut command = self.namespace.command("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--uts", "--"]);
        command.arg(self.dir.join("init"));
        self.init = Some(Process::start(&self.name(), command, &self.logs)?);
        Ok(())
    }

    /// Pulls the plug: every process of the node is gone at once, its disk stays.
    pub fn kill(&mut self) {
        self.init = None;
    }

    /// A command inside the node: its network, its mounts, its processes, its name.
    ///
    /// # Errors
    /// Fails when the node does not run.
    pub fn command(&self, program: &str) -> Result<Command> {
        let unshare = self.init.as_ref().context("the node does not run")?.pid();
        let children = format!("/proc/{unshare}/task/{unshare}/children");
        let init = wait::until("the node's first process", plan::STARTUP, || {
            let listed = fs::read_to_string(&children).ok()?;
            listed.split_whitespace().next().map(str::to_owned)
        })?;
        let mut command = Command::new("nsenter");
        command.args(["-t", &init, "--net", "--mount", "--pid", "--uts", "--", program]);
        Ok(command)
    }

    /// What a command inside the node prints.
    ///
    /// # Errors
    /// Fails when it does.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let out = self
            .command(program)?
            .args(arguments)
            .output()
            .with_context(|| program.to_owned())?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            bail!(
                "{}: {program} {}: {}",
                self.name(),
                arguments.join(" "),
                said.trim()
            );
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Gives the container runtime an image that lies in the cluster's folder of images.
    pub(super) fn import(&self, archive: &Path) -> Result<()> {
        let archive = archive.display().to_string();
        self.output("ctr", &["-n", "k8s.io", "images", "import", &archive])
            .map(drop)
    }

    /// A path of the host as it lies on this machine, such as `/etc/cni/net.d`.
    ///
    /// # Errors
    /// Fails for a path that is not the node's own.
    pub fn host_path(&self, path: &str) -> Result<PathBuf> {
        let own = OWN_PATHS
            .iter()
            .find(|(_, at)| path == *at || path.starts_with(&format!("{at}/")));
        let (folder, at) = own.with_context(|| format!("{path} is not a node's own"))?;
        Ok(self
            .dir
            .join(folder)
            .join(path[at.len()..].trim_start_matches('/')))
    }

    fn furnish(&self, control: &ControlPlane, cgroup: &str) -> Result<()> {
        for (folder, _) in OWN_PATHS {
            fs::create_dir_all(self.dir.join(folder))?;
        }
        let plugins = fs::read_dir(CNI_PLUGINS)
            .with_context(|| format!("{CNI_PLUGINS} (package containernetworking-plugins)"))?;
        for plugin in plugins {
            let plugin = plugin?.path();
            let name = plugin.file_name().context("a plugin's name")?;
            fs::copy(&plugin, self.dir.join("cni-bin").join(name))?;
        }
        let name = self.name();
        let identity = format!("system:node:{name}");
        let addresses = [plan::node_v4(self.index).into(), plan::node_v6(self.index).into()];
        control
            .keys()
            .issue(&name, &identity, Some("system:nodes"), &[&name], &addresses)?;
        control.keys().kubeconfig(&name)?;
        self.write("cni-conf/10-lab.conflist", &self.network())?;
        self.write("containerd.toml", CONTAINERD)?;
        self.write("kubelet.yaml", &self.kubelet(control, cgroup))?;
        self.write("init", &self.init_script(control, cgroup))?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.dir.join("init"), mode).context("init")
    }

    fn network(&self) -> String {
        let range = |subnet: String| json!([{"subnet": subnet}]);
        let ranges = [range(plan::pods_v4(self.index)), range(plan::pods_v6(self.index))];
        let routes = json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]);
        json!({
            "cniVersion": "0.4.0",
            "name": "lab",
            "plugins": [
                {"type": "ptp", "mtu": 1500, "ipMasq": false,
                 "ipam": {"type": "host-local", "ranges": ranges, "routes": routes, "dataDir": "/var/lib/cni/networks"}},
                {"type": "portmap", "capabilities": {"portMappings": true}},
            ],
        })
        .to_string()
    }

    fn kubelet(&self, control: &ControlPlane, cgroup: &str) -> String {
        let key = |file: &str| control.keys().path(file);
        let name = self.name();
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": false},
                "webhook": {"enabled": true},
                "x509": {"clientCAFile": key("ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{cgroup}/{name}"),
            "cgroupsPerQOS": true,
            "enforceNodeAllocatable": [],
            "failSwapOn": false,
            "failCgroupV1": false,
            "clusterDomain": "cluster.local",
            "clusterDNS": [plan::dns()],
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "tlsCertFile": key(&format!("{name}.crt")),
            "tlsPrivateKeyFile": key(&format!("{name}.key")),
            "evictionHard": {"memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100,
            "resolvConf": "/dev/null",
            "nodeStatusUpdateFrequency": "4s",
        })
        .to_string()
    }

    /// The first process of the node.
    fn init_script(&self, control: &ControlPlane, cgroup: &str) -> String {
        let (at, logs, images) = (self.dir.display(), self.logs.display(), self.images.display());
        let name = self.name();
        let tool = |program: &str| self.tools.path(program).display().to_string();
        let key = |file: &str| control.keys().path(file).display().to_string();
        let mounts: String = OWN_PATHS
            .iter()
            .map(|(folder, path)| format!("mkdir -p {path} && mount --bind {at}/{folder} {path}\n"))
            .collect();
        let (kubelet, proxy) = (tool("kubelet"), tool("kube-proxy"));
        let (kubelet_config, proxy_config) =
            (key(&format!("{name}.kubeconfig")), key("kube-proxy.kubeconfig"));
        let (v4, v6, pods) = (
            plan::node_v4(self.index),
            plan::node_v6(self.index),
            plan::all_pods(),
        );
        format!(
            "#!/bin/bash\nset -e\nmount --make-rprivate /\nmount -t proc proc /proc\n{mounts}mount --make-rshared /\nhostname {name}\n\
             {CGROUP_FOLDERS} {cgroup}/{name}\n\
             trap 'kill $(jobs -p); wait; exit 0' TERM INT\n\
             containerd --config {at}/containerd.toml >>{logs}/{name}-containerd.log 2>&1 &\n\
             until ctr version >/dev/null 2>&1; do sleep 0.1; done\n\
             for image in {images}/*.tar; do ctr -n k8s.io images import $image >/dev/null 2>&1; done\n\
             {kubelet} --config {at}/kubelet.yaml --kubeconfig {kubelet_config} --hostname-override {name} --node-ip {v4},{v6} \
             >>{logs}/{name}-kubelet.log 2>&1 &\n\
             {proxy} --proxy-mode nftables --kubeconfig {proxy_config} --hostname-override {name} --cluster-cidr {pods} \
             --conntrack-max-per-core 0 >>{logs}/{name}-proxy.log 2>&1 &\nwait\n"
        )
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.dir.join(file);
        fs::write(&path, text).with_context(|| path.display().to_string())
    }
}

/// Folders of the node's disk, and where its processes see them.
const OWN_PATHS: &[(&str, &str)] = &[
    ("kubelet", "/var/lib/kubelet"),
    ("containerd", "/var/lib/containerd"),
    ("run-containerd", "/run/containerd"),
    ("cni-conf", "/etc/cni/net.d"),
    ("cni-bin", "/opt/cni/bin"),
    ("cni-state", "/var/lib/cni"),
    ("run-netns", "/run/netns"),
    ("istio-cni", "/var/run/istio-cni"),
    ("ztunnel", "/var/run/ztunnel"),
    ("log-pods", "/var/log/pods"),
    ("log-containers", "/var/log/containers"),
];
const CNI_PLUGINS: &str = "/usr/lib/cni";
/// In hierarchies of version 1 the kubelet wants its root to exist; of version 2 it makes it itself.
const CGROUP_FOLDERS: &str = "folders() { local c f; for c in /sys/fs/cgroup/*/; do [ -e $c/cgroup.procs ] || continue; mkdir -p $c/$1; \
    for f in cpuset.cpus cpuset.mems; do [ -e $c/$f ] || continue; cat $c/$f >$c/${1%/*}/$f; cat $c/$f >$c/$1/$f; done; done; }; folders";
const CONTAINERD: &str = r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/lab/pause:1"
  enable_unprivileged_ports = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
"#;
