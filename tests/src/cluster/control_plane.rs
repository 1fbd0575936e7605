//! The cluster's control plane: etcd, API server, controllers, scheduler and DNS, in a namespace of the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::audit::{Audit, AuditLog};
use super::keys::Keys;
use super::kubectl::Kubectl;
use super::plan;
use super::tools::Tools;
use crate::ip::{self, Namespace};
use crate::process::Process;

/// The processes of the control plane; dropping it stops them.
#[derive(Debug)]
pub struct ControlPlane {
    namespace: Namespace,
    tools: Tools,
    dir: PathBuf,
    logs: PathBuf,
    keys: Keys,
    audit: Option<AuditLog>,
    etcd: Option<Process>,
    api_server: Option<Process>,
    /// Kubernetes' own controllers and its scheduler.
    controllers: Vec<Process>,
    dns: Option<Process>,
}

impl ControlPlane {
    /// Starts etcd and the API server, and waits until it is ready.
    ///
    /// # Errors
    /// Fails with the end of the log of the part that does not come up.
    pub fn start(tools: &Tools, dir: &Path, audit: Audit) -> Result<Self> {
        let namespace = Namespace::create("cp")?;
        ip::plug(&namespace, plan::WIRE, &plan::underlay(plan::CONTROL_HOST))?;
        let api = plan::api_url();
        let keys = Keys::create(&dir.join("keys"), &api)?;
        keys.issue(
            "apiserver",
            "kube-apiserver",
            None,
            &[
                "kubernetes",
                "kubernetes.default",
                "kubernetes.default.svc",
                "localhost",
            ],
            &plan::api_addresses(),
        )?;
        keys.issue("admin", "admin", Some("system:masters"), &[], &[])?;
        for part in ["kube-controller-manager", "kube-scheduler", "kube-proxy"] {
            keys.issue(part, &format!("system:{part}"), None, &[], &[])?;
            keys.kubeconfig(part)?;
        }
        keys.kubeconfig("admin")?;
        let mut control = Self {
            namespace,
            tools: tools.clone(),
            dir: dir.to_owned(),
            logs: dir.join("logs"),
            keys,
            audit: match audit {
                Audit::Kept => Some(AuditLog::create(dir)?),
                Audit::NotKept => None,
            },
            etcd: None,
            api_server: None,
            controllers: Vec::new(),
            dns: None,
        };
        control.start_etcd()?;
        control.start_api_server()?;
        control.start_controllers()?;
        control.start_dns()?;
        Ok(control)
    }

    /// Starts the API server (again) and waits until it is ready.
    ///
    /// # Errors
    /// Fails with the end of its log.
    pub fn start_api_server(&mut self) -> Result<()> {
        let key = |file: &str| self.keys.path(file).display().to_string();
        let mut command = self.namespace.command(self.tools.path("kube-apiserver"));
        command.args(["--etcd-servers", "http://127.0.0.1:2379", "--bind-address", "::"]);
        command.args([
            "--advertise-address",
            &plan::host_v4(plan::CONTROL_HOST).to_string(),
        ]);
        command.args(["--secure-port", "6443", "--allow-privileged"]);
        command.args(["--tls-cert-file", &key("apiserver.crt")]);
        command.args(["--tls-private-key-file", &key("apiserver.key")]);
        command.args(["--client-ca-file", &key("ca.crt")]);
        command.args(["--kubelet-client-certificate", &key("admin.crt")]);
        command.args(["--kubelet-client-key", &key("admin.key")]);
        command.args(["--kubelet-certificate-authority", &key("ca.crt")]);
        command.args(["--kubelet-preferred-address-types", "InternalIP"]);
        command.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
        command.args(["--service-account-key-file", &key("sa.pub")]);
        command.args(["--service-account-signing-key-file", &key("sa.key")]);
        command.args(["--service-cluster-ip-range", &plan::services()]);
        command.args(["--authorization-mode", "Node,RBAC"]);
        command.args(["--enable-admission-plugins", "NodeRestriction"]);
        let bundles = self.tools.release().trust_bundles();
        command.args(["--runtime-config", &format!("certificates.k8s.io/{bundles}=true")]);
        command.args([
            "--feature-gates",
            "ClusterTrustBundle=true,ClusterTrustBundleProjection=true",
        ]);
        let since = self.audit.as_ref().map(AuditLog::len);
        command.args(self.audit.iter().flat_map(AuditLog::flags));
        let mut process = Process::start("kube-apiserver", command, &self.logs)?;
        let kubectl = self.kubectl();
        process.wait_until("the API server is ready", plan::STARTUP, || {
            kubectl.run(&["get", "--raw", "/readyz"]).ok()
        })?;
        self.api_server = Some(process);
        if let (Some(audit), Some(since)) = (&mut self.audit, since) {
            audit.started(since);
        }
        Ok(())
    }

    /// Takes the API server away: nobody is told, as in an outage.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// Starts Kubernetes' own controllers and its scheduler, anew where they run. Where there are several of each, those that
    /// led end when they lose the API server, and are started again; one that does not end looks for it at ever longer
    /// pauses, and takes a minute to see that it is back.
    ///
    /// # Errors
    /// Fails when one of them cannot be started.
    pub fn start_controllers(&mut self) -> Result<()> {
        self.controllers.clear();
        let mut scheduler = self.with_kubeconfig("kube-scheduler");
        scheduler.arg("--leader-elect=false");
        for (name, command) in [
            ("kube-controller-manager", self.controller_manager()),
            ("kube-scheduler", scheduler),
        ] {
            self.controllers.push(Process::start(name, command, &self.logs)?);
        }
        Ok(())
    }

    /// Leaves of Kubernetes' own controllers these at work, by name and divided by commas, and neither scheduler nor DNS: for
    /// pods and nodes that are objects and nothing more.
    ///
    /// # Errors
    /// Fails when the controllers cannot be started.
    pub fn only_controllers(&mut self, names: &str) -> Result<()> {
        self.controllers.clear();
        self.dns = None;
        let mut command = self.controller_manager();
        command.arg(format!("--controllers={names}"));
        let process = Process::start("kube-controller-manager", command, &self.logs)?;
        self.controllers.push(process);
        Ok(())
    }

    /// `kubectl` as administrator.
    #[must_use]
    pub fn kubectl(&self) -> Kubectl {
        let config = self.keys.path("admin.kubeconfig");
        Kubectl::new(self.namespace.clone(), self.tools.path("kubectl"), config)
    }

    /// The namespace it runs in; it reaches pods and Services.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// What the API server was asked for, where that is kept.
    #[must_use]
    pub fn audit(&self) -> Option<&AuditLog> {
        self.audit.as_ref()
    }

    /// The keys, for nodes.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    fn start_etcd(&mut self) -> Result<()> {
        let mut command = self.namespace.command(self.tools.path("etcd"));
        command.arg("--data-dir").arg(self.dir.join("etcd"));
        for flag in ["--listen-client-urls", "--advertise-client-urls"] {
            command.args([flag, "http://127.0.0.1:2379"]);
        }
        command.args([
            "--listen-peer-urls",
            "http://127.0.0.1:2380",
            "--unsafe-no-fsync",
            "--log-level",
            "warn",
        ]);
        self.etcd = Some(Process::start("etcd", command, &self.logs)?);
        Ok(())
    }

    fn start_dns(&mut self) -> Result<()> {
        let corefile = self.dir.join("Corefile");
        let admin = self.keys.path("admin.kubeconfig");
        fs::write(&corefile, corefile_text(&admin)).context("Corefile")?;
        let mut dns = self.namespace.command(self.tools.path("coredns"));
        dns.arg("-conf").arg(&corefile);
        self.dns = Some(Process::start("coredns", dns, &self.logs)?);
        self.kubectl().apply(&dns_service()).map(drop)
    }

    fn controller_manager(&self) -> Command {
        let key = |file: &str| self.keys.path(file).display().to_string();
        let mut controllers = self.with_kubeconfig("kube-controller-manager");
        controllers.args([
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--node-monitor-period",
            "2s",
        ]);
        controllers.args(["--node-monitor-grace-period", "16s"]);
        controllers.args([
            "--service-account-private-key-file",
            &key("sa.key"),
            "--root-ca-file",
            &key("ca.crt"),
        ]);
        controllers.args([
            "--cluster-signing-cert-file",
            &key("ca.crt"),
            "--cluster-signing-key-file",
            &key("ca.key"),
        ]);
        controllers
    }

    fn with_kubeconfig(&self, part: &str) -> Command {
        let mut command = self.namespace.command(self.tools.path(part));
        command
            .arg("--kubeconfig")
            .arg(self.keys.path(&format!("{part}.kubeconfig")));
        command
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        // Those that talk to the API server first, or they fill their logs.
        self.controllers.clear();
        self.dns = None;
        self.api_server = None;
        self.etcd = None;
    }
}

fn corefile_text(admin: &Path) -> String {
    format!(
        ".:53 {{\n  errors\n  kubernetes cluster.local in-addr.arpa ip6.arpa {{\n    kubeconfig {} lab\n    pods insecure\n  }}\n  \
         cache 5\n  loadbalance\n}}\n",
        admin.display()
    )
}

/// DNS runs beside the API server; pods reach it as ever, through a Service, which has no selector here.
fn dns_service() -> String {
    let (service, server) = (plan::dns(), plan::host_v4(plan::CONTROL_HOST));
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: kube-dns, namespace: kube-system}}\nspec:\n  clusterIP: {service}\n  ports:\n  \
         - {{name: dns, port: 53, protocol: UDP}}\n  - {{name: dns-tcp, port: 53, protocol: TCP}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: kube-dns-1\n  namespace: kube-system\n  \
         labels: {{kubernetes.io/service-name: kube-dns}}\naddressType: IPv4\nendpoints: [{{addresses: [\"{server}\"]}}]\nports:\n\
         - {{name: dns, port: 53, protocol: UDP}}\n- {{name: dns-tcp, port: 53, protocol: TCP}}\n"
    )
}
