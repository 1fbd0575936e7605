//! Waypoints: what the control plane says that a Gateway becomes, started as a cluster would start it.
//!
//! ```text
//!   Gateway --lateen-controlplane waypoint--> ServiceAccount, Deployment, Service
//!                                                  |            |         |  the API server's role: an address
//!                                    a pod for each node        |         +--> the configuration directory
//!                                          |                    |  the kubelet's role ([`kubelet`]):
//!                                          |                    +--> environment, volumes, arguments
//!                                          +--> namespace, by the plugin chain
//! ```

mod kubelet;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_types::ports;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Lab, Pod, STARTUP, node_name};
use crate::config::PodSpec;
use crate::process::Process;
use crate::wait;

/// A waypoint of the lab: its Service, and its pods.
#[derive(Debug)]
pub struct Waypoint {
    namespace: String,
    name: String,
    manifests: Manifests,
    started: usize,
    /// Its pods.
    pub replicas: Vec<Replica>,
}

/// One pod of a waypoint.
#[derive(Debug)]
pub struct Replica {
    /// The pod.
    pub pod: Pod,
    file: String,
    container: kubelet::Container,
    process: Option<Process>,
}

/// What a Gateway becomes, as JSON.
#[derive(Clone, Debug)]
struct Manifests {
    account: Value,
    deployment: Value,
    service: Value,
}

impl Lab {
    /// Starts the waypoint of the only Gateway in a file of the configuration directory, with a pod on each of `nodes`,
    /// and waits until all are ready.
    ///
    /// # Errors
    /// Fails when the control plane makes nothing of the Gateway, or with the first pod that does not come up.
    pub fn start_waypoint(&mut self, file: &str, vip: &str, nodes: &[usize]) -> Result<Waypoint> {
        let mut waypoint = self.make_waypoint(file, vip)?;
        for node in nodes {
            waypoint.add(self, *node)?;
        }
        waypoint.replicas.iter_mut().try_for_each(Replica::wait_ready)?;
        Ok(waypoint)
    }

    /// Makes the Service and the account of a waypoint, and no pod.
    ///
    /// # Errors
    /// Fails when the control plane makes nothing of the Gateway.
    pub fn make_waypoint(&self, file: &str, vip: &str) -> Result<Waypoint> {
        let gateway = self.config().path().join(file).display().to_string();
        let program = self.products().path("lateen-controlplane").display().to_string();
        let arguments = ["waypoint", "--filename", &gateway, "--output", "json"];
        let text = self.control_namespace().output(&program, &arguments)?;
        let list: Value = serde_json::from_str(&text).context("what a Gateway becomes")?;
        let of_kind = |kind: &str| {
            let items = list["items"].as_array().into_iter().flatten();
            let mut of_kind = items.filter(|o| o["kind"] == kind);
            of_kind.next().cloned().with_context(|| format!("no {kind}"))
        };
        let mut manifests = Manifests {
            account: of_kind("ServiceAccount")?,
            deployment: of_kind("Deployment")?,
            service: of_kind("Service")?,
        };
        // An API server gives it one.
        manifests.service["spec"]["clusterIP"] = json!(vip);
        let of_meta = |key: &str| {
            let value = manifests.service["metadata"][key].as_str();
            value.map(str::to_owned).context("a Service without a name")
        };
        let waypoint = Waypoint {
            namespace: of_meta("namespace")?,
            name: of_meta("name")?,
            manifests,
            started: 0,
            replicas: Vec::new(),
        };
        for (kind, object) in [
            ("serviceaccount", &waypoint.manifests.account),
            ("service", &waypoint.manifests.service),
        ] {
            let file = format!("{kind}-{}-{}.yaml", waypoint.namespace, waypoint.name);
            self.config().write(&file, &format!("{object:#}\n"))?;
        }
        Ok(waypoint)
    }
}

impl Waypoint {
    /// Its name, and that of its Service.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identity, as certificates name it.
    #[must_use]
    pub fn identity(&self) -> String {
        let account = self.manifests.account["metadata"]["name"].as_str();
        format!(
            "spiffe://cluster.local/ns/{}/sa/{}",
            self.namespace,
            account.unwrap_or_default()
        )
    }

    /// Starts one more pod, on a node; it is not waited for.
    ///
    /// # Errors
    /// Fails when the plugin chain does, or the program cannot be started.
    pub fn add(&mut self, lab: &mut Lab, node: usize) -> Result<&mut Replica> {
        self.started += 1;
        let name = format!("{}-{HASH}-{}", self.name, self.started);
        let template = &self.manifests.deployment["spec"]["template"];
        let account = template["spec"]["serviceAccountName"].as_str();
        let spec = PodSpec::new(&self.namespace, &name, node).service_account(account.unwrap_or_default());
        lab.config()
            .write(&spec.file(), &format!("{:#}\n", self.pod_object(&spec)))?;
        let pod = lab.attach_pod(&spec)?;
        let container = kubelet::Container::prepare(lab, &pod, template)?;
        let mut replica = Replica {
            file: spec.file(),
            pod,
            container,
            process: None,
        };
        replica.start()?;
        self.replicas.push(replica);
        self.replicas.last_mut().context("a replica")
    }

    /// Takes a pod away, as one that was deleted: its object, its program after it has drained, its network.
    ///
    /// # Errors
    /// Fails when there is no such replica, it does not end, or the plugin chain fails.
    pub fn remove(&mut self, lab: &Lab, index: usize) -> Result<()> {
        let mut replica = self.replicas.remove(index);
        lab.config().remove(&replica.file)?;
        if let Some(mut process) = replica.process.take() {
            process.terminate(GRACE)?;
        }
        replica.pod.delete()
    }

    /// As the Deployment's controllers make it: a name out of a template, and who made it.
    fn pod_object(&self, spec: &PodSpec) -> Value {
        let template = &self.manifests.deployment["spec"]["template"];
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": template["metadata"],
            "spec": template["spec"],
        });
        let set = format!("{}-{HASH}", self.name);
        let meta = &mut object["metadata"];
        meta["name"] = json!(spec.name);
        meta["namespace"] = json!(spec.namespace);
        meta["generateName"] = json!(format!("{set}-"));
        meta["labels"]["pod-template-hash"] = json!(HASH);
        meta["ownerReferences"] = json!([{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": "replica-set", "controller": true,
        }]);
        object["spec"]["nodeName"] = json!(node_name(spec.node));
        object
    }
}

impl Replica {
    /// Starts its program (again).
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let command = self.container.command(&self.pod);
        self.process = Some(self.pod.spawn_command("waypoint", command)?);
        Ok(())
    }

    /// Its program.
    ///
    /// # Errors
    /// Fails when it was not started.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("the waypoint was not started")
    }

    /// Takes its program out, so that it can end while another runs.
    pub fn take_process(&mut self) -> Option<Process> {
        self.process.take()
    }

    /// Waits until its probe is answered.
    ///
    /// # Errors
    /// Fails when it ended or does not get ready in time.
    pub fn wait_ready(&mut self) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/healthz/ready", ports::READINESS);
        let inside = self.pod.namespace().clone();
        let process = self.process.as_mut().context("the waypoint was not started")?;
        let ready = || inside.output("curl", &["-sf", &url]).ok();
        process.wait_until("its readiness", STARTUP, ready).map(drop)
    }

    /// Kills its program: nobody is told.
    ///
    /// # Errors
    /// Fails when it was not started.
    pub fn kill(&mut self) -> Result<()> {
        self.process()?.kill();
        Ok(())
    }

    /// Asks its program to end.
    ///
    /// # Errors
    /// Fails when it was not started.
    pub fn drain(&mut self) -> Result<()> {
        self.process()?.signal(Signal::SIGTERM)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.pod.v4()
    }

    /// What one of its pages says: on the admin port, or on that of statistics.
    ///
    /// # Errors
    /// Fails when there is no answer.
    pub fn page(&self, port: u16, path: &str) -> Result<String> {
        let url = format!("http://127.0.0.1:{port}{path}");
        self.pod.namespace().output("curl", &["-sf", &url])
    }

    /// What its configuration dump says.
    ///
    /// # Errors
    /// Fails when there is no answer, or it is no JSON.
    pub fn config_dump(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.page(ports::ADMIN, "/config_dump")?)?)
    }

    /// Waits until its configuration dump satisfies `wanted`.
    ///
    /// # Errors
    /// Fails naming `what` when it does not in time.
    pub fn wait_for_config(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let what = format!("{what} in waypoint {}", self.pod.full_name());
        let known = || self.config_dump().ok().filter(|dump| wanted(dump)).map(drop);
        wait::until(&what, STARTUP, known)
    }
}

/// What ReplicaSets have in their names.
const HASH: &str = "5f6b7c8d9";
/// What Kubernetes grants by default.
const GRACE: Duration = Duration::from_secs(30);
