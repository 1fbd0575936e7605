//! A node: a namespace with an agent, and a ztunnel in a namespace of its own.

mod succession;

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use mesh_types::ports;
use serde_json::{Value, json};

use crate::access::AccessLog;
use crate::cni::{Added, Attachment, Chain};
use crate::ip::{self, Namespace};
use crate::process::Process;
use crate::products::Products;
use crate::wait;

use super::{STARTUP, WIRE, node_name, underlay};

/// A node of the lab.
#[derive(Debug)]
pub struct Node {
    index: usize,
    namespace: Namespace,
    ztunnel_namespace: Namespace,
    ztunnel_address: IpAddr,
    agent: Option<Process>,
    ztunnel: Option<Process>,
    run_dir: PathBuf,
}

impl Node {
    pub(super) fn create(index: usize) -> Result<Self> {
        let name = node_name(index);
        let namespace = Namespace::create(&name)?;
        ip::plug(&namespace, WIRE, &underlay(FIRST_HOST + u8::try_from(index)?))?;
        for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            namespace.sysctl(key, "1")?;
        }
        let ztunnel_namespace = Namespace::create(&format!("{name}-ztunnel"))?;
        let run_dir = Path::new(super::LAB_DIR).join(&name);
        fs::create_dir_all(&run_dir)?;
        let mut node = Self {
            index,
            namespace,
            ztunnel_namespace,
            ztunnel_address: IpAddr::from([0, 0, 0, 0]),
            agent: None,
            ztunnel: None,
            run_dir,
        };
        node.ztunnel_address = node.join_ztunnel()?;
        Ok(node)
    }

    /// Its place in the lab, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.namespace.name()
    }

    /// The last byte of its address on the wire.
    #[must_use]
    pub fn host(&self) -> u8 {
        // Made from a u8 in `create`.
        FIRST_HOST + self.index as u8
    }

    /// The namespace of the node itself, in which its agent runs.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The address of its ztunnel.
    #[must_use]
    pub fn ztunnel_address(&self) -> IpAddr {
        self.ztunnel_address
    }

    /// The namespace that its ztunnel runs in.
    #[must_use]
    pub fn ztunnel_namespace(&self) -> &Namespace {
        &self.ztunnel_namespace
    }

    /// The agent's process.
    ///
    /// # Errors
    /// Fails when it was not started.
    pub fn agent(&mut self) -> Result<&mut Process> {
        self.agent.as_mut().context("the agent was not started")
    }

    /// The ztunnel's process.
    ///
    /// # Errors
    /// Fails when it was not started.
    pub fn ztunnel(&mut self) -> Result<&mut Process> {
        self.ztunnel.as_mut().context("the ztunnel was not started")
    }

    /// Takes the ztunnel's process out, so that an old one can end while a new one runs.
    pub fn take_ztunnel(&mut self) -> Option<Process> {
        self.ztunnel.take()
    }

    /// The ztunnel's access log, from its present end.
    ///
    /// # Errors
    /// Fails when the ztunnel was not started.
    pub fn access_log(&mut self) -> Result<AccessLog> {
        Ok(AccessLog::follow(self.ztunnel()?.log_path()))
    }

    /// Waits until the agent and the ztunnel say that they are ready.
    ///
    /// # Errors
    /// Fails when one ended or does not get ready in time.
    pub fn wait_ready(&mut self) -> Result<()> {
        let (ns, socket) = (self.namespace.clone(), self.plugin_socket());
        let agent = self.agent.as_mut().context("the agent was not started")?;
        agent.wait_until("its readiness", STARTUP, || {
            (socket.exists() && ns.output("curl", &["-sf", AGENT_READY]).is_ok()).then_some(())
        })?;
        let ns = self.ztunnel_namespace.clone();
        let url = format!("http://127.0.0.1:{}/healthz/ready", ports::READINESS);
        let ztunnel = self.ztunnel.as_mut().context("the ztunnel was not started")?;
        ztunnel
            .wait_until("its readiness", STARTUP, || {
                ns.output("curl", &["-sf", &url]).ok()
            })
            .map(drop)
    }

    /// What the ztunnel's metrics page says.
    ///
    /// # Errors
    /// Fails when there is no answer.
    pub fn metrics(&self) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/metrics", ports::STATS);
        self.ztunnel_namespace.output("curl", &["-sf", &url])
    }

    /// What the ztunnel's configuration dump says.
    ///
    /// # Errors
    /// Fails when there is no answer, or it is no JSON.
    pub fn config_dump(&self) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}/config_dump", ports::ADMIN);
        Ok(serde_json::from_str(
            &self.ztunnel_namespace.output("curl", &["-sf", &url])?,
        )?)
    }

    /// Waits until the ztunnel's configuration dump satisfies `wanted`.
    ///
    /// # Errors
    /// Fails naming `what` when it does not in time.
    pub fn wait_for_config(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        wait::until(
            &format!("{what} in the ztunnel of {}", self.name()),
            STARTUP,
            || self.config_dump().ok().filter(|dump| wanted(dump)).map(drop),
        )
    }

    pub(super) fn start_agent(
        &mut self,
        products: &Products,
        token: &Path,
        root: &Path,
        logs: &Path,
        env: &BTreeMap<String, String>,
    ) -> Result<()> {
        let mut command = self.namespace.command(products.path("lateen-node"));
        command
            .env("NODE_NAME", self.name())
            .env("XDS_ADDRESS", CONTROL_URL)
            .env("XDS_ROOT_CA", root)
            .env("AUTH_TOKEN", token)
            .env("CNI_AGENT_RUN_DIR", &self.run_dir)
            .env("INPOD_UDS", self.zds_socket())
            .env("RUST_LOG", "info")
            .envs(env);
        self.agent = Some(Process::start(&format!("{}-agent", self.name()), command, logs)?);
        Ok(())
    }

    pub(super) fn start_ztunnel(
        &mut self,
        products: &Products,
        token: &Path,
        root: &Path,
        logs: &Path,
        env: &BTreeMap<String, String>,
    ) -> Result<()> {
        let mut command: Command = self.ztunnel_namespace.command(products.path("ztunnel"));
        command
            .env("PROXY_MODE", "shared")
            .env("NODE_NAME", self.name())
            .env("POD_NAME", format!("ztunnel-{}", self.name()))
            .env("POD_NAMESPACE", "istio-system")
            .env("SERVICE_ACCOUNT", "ztunnel")
            .env("INSTANCE_IP", self.ztunnel_address.to_string())
            .env("CLUSTER_ID", "Kubernetes")
            .env("XDS_ADDRESS", CONTROL_URL)
            .env("CA_ADDRESS", CONTROL_URL)
            .env("XDS_ROOT_CA", root)
            .env("CA_ROOT_CA", root)
            .env("AUTH_TOKEN", token)
            .env("INPOD_UDS", self.zds_socket())
            .env("LOG_FORMAT", "json")
            .env("RUST_LOG", "info")
            .envs(env);
        self.ztunnel = Some(Process::start(
            &format!("{}-ztunnel", self.name()),
            command,
            logs,
        )?);
        Ok(())
    }

    /// The chain that every pod of the node is joined by.
    pub(super) fn chain(&self, products: &Products) -> Chain {
        let mut chain = self.plain_chain();
        chain.path.push(products.dir().to_owned());
        chain
            .plugins
            .push(json!({"type": "lateen-cni", "cni_agent_run_dir": self.run_dir}));
        chain
    }

    /// ztunnel's own namespace is joined once, by the chain without our plugin: it is not part of the mesh it makes.
    fn join_ztunnel(&self) -> Result<IpAddr> {
        let added: Added = self.plain_chain().add(&Attachment {
            container: self.ztunnel_namespace.name().to_owned(),
            netns: self.ztunnel_namespace.clone(),
            pod_namespace: "istio-system".to_owned(),
            pod_name: format!("ztunnel-{}", self.name()),
            pod_uid: format!("00000000-0000-0000-0000-00000000000{}", self.index),
        })?;
        added.addresses.first().copied().context("ztunnel got no address")
    }

    fn plain_chain(&self) -> Chain {
        let ptp = json!({
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": self.run_dir.join("ipam"),
                "ranges": [[{"subnet": pods_v4(self.index)}], [{"subnet": pods_v6(self.index)}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
            },
        });
        Chain {
            node: self.namespace.clone(),
            path: vec![PLUGINS.into()],
            version: "1.0.0",
            plugins: vec![ptp],
        }
    }

    fn plugin_socket(&self) -> PathBuf {
        self.run_dir.join("pluginevent.sock")
    }

    fn zds_socket(&self) -> PathBuf {
        self.run_dir.join("ztunnel.sock")
    }
}

/// The IPv4 range of a node's pods.
pub(super) fn pods_v4(index: usize) -> String {
    format!("10.244.{}.0/24", index + 1)
}

/// The IPv6 range of a node's pods.
pub(super) fn pods_v6(index: usize) -> String {
    format!("fd00:244:{}::/64", index + 1)
}

const FIRST_HOST: u8 = 11;
const CONTROL_URL: &str = "https://istiod.istio-system.svc:15012";
const AGENT_READY: &str = "http://127.0.0.1:8000/readyz";
/// Where Debian puts the reference plugins.
const PLUGINS: &str = "/usr/lib/cni";
