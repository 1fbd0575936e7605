//! What only one of several replicas does in the cluster, each under a Lease of its own.

use std::convert::Infallible;

use anyhow::{Context, Result};
use controlplane_k8s_api::gateway::LabelSelector;
use mesh_kube::lease::{Holder, PodRun};
use mesh_kube::{KubeClient, ObjectName};
use mesh_runtime::drain::DrainWatcher;
use mesh_runtime::supervise::Tasks;
use mesh_types::Identity;
use mesh_xds::{ResourceCache, XdsServer};
use tokio::sync::{mpsc, watch};

use super::Keys;
use crate::args::ServeArgs;
use crate::cluster::duties::{self, Duty};
use crate::cluster::untaint::{self, Untaint};
use crate::cluster::{addresses, bundle, gateway_controller, status_writer};
use crate::control::{Outputs, Question};
use crate::delivery::gather::{self, OverTls, Replicas};
use crate::pods::PodBoard;
use crate::serve::admission::XdsAdmission;
use crate::settled::peers::BehindService;
use crate::settled::{Own, Settling};

/// Starts them.
pub(super) struct Duties<'a> {
    pub(super) args: &'a ServeArgs,
    pub(super) client: &'a KubeClient,
    pub(super) tasks: &'a Tasks,
    pub(super) drained: &'a DrainWatcher,
    /// Which pods run: one that does not holds no Lease.
    pub(super) pods: &'a PodBoard,
    /// Which namespaces belong to the mesh, once that is known.
    pub(super) selectors: watch::Receiver<Option<Vec<LabelSelector>>>,
}

impl Duties<'_> {
    pub(super) fn start_all(
        &self,
        keys: &Keys,
        outputs: &Outputs,
        ask: &mpsc::Sender<Question>,
    ) -> Result<()> {
        let client = || self.client.clone();
        let changed = || outputs.changed.subscribe();
        let settings = bundle::Settings {
            root_namespace: self.args.root_namespace.clone(),
            roots: keys.issuer.trusted(),
            selectors: self.selectors.clone(),
            with_bundle: self.args.cluster_trust_bundle,
        };
        self.start(Duty::RootCertificate, |ours| {
            bundle::keep(client(), settings, ours)
        })?;
        let over_tls = over_tls(self.args, keys)?;
        let (revision, namespace) = (self.args.revision.clone(), self.args.root_namespace.clone());
        let (is_defaults, following) = duties::default_does(Duty::Statuses, &revision, &namespace, client());
        if let Some(following) = following {
            self.tasks
                .critical("who tells of what names no revision", following);
        }
        let whose = status_writer::Whose {
            revision,
            root_namespace: namespace,
            selectors: self.selectors.clone(),
            shared_is_defaults: is_defaults,
        };
        self.start(Duty::Statuses, |ours| {
            let write = status_writer::keep(client(), whose, ask.clone(), changed(), ours.clone());
            let (board, told) = (outputs.deliveries.clone(), outputs.changed.clone());
            let gather = gather::keep(client(), replicas(self.args), board, over_tls, told, ours);
            async move {
                tokio::try_join!(write, gather)?;
                Ok(())
            }
        })?;
        if let Some(settings) = self.args.waypoints() {
            self.start(Duty::Gateways, |ours| {
                gateway_controller::keep(client(), settings, ask.clone(), changed(), ours)
            })?;
        }
        self.start(Duty::Addresses, |ours| {
            addresses::keep(client(), ask.clone(), changed(), ours)
        })?;
        if self.args.untaint_nodes {
            let untaint = Untaint::of(self.args);
            self.start(Duty::Untaint, |ours| untaint::keep(client(), untaint, ours))?;
        }
        Ok(())
    }

    /// Starts one, and asks for being the one who does it.
    fn start<K: Future<Output = Result<(), Infallible>> + Send + 'static>(
        &self,
        duty: Duty,
        keep: impl FnOnce(watch::Receiver<bool>) -> K,
    ) -> Result<()> {
        let me = holder(self.args)?;
        let name = duty.lease(&self.args.revision);
        let lease = ObjectName::new(self.args.root_namespace.as_str(), name.as_str());
        let (pods, drained) = (self.pods.clone(), self.drained.clone());
        let (ours, keeping) = duties::ask_for(lease, self.client.clone(), me, pods, drained);
        self.tasks.critical(format!("lease {name}"), keeping);
        self.tasks.critical(name, keep(ours));
        Ok(())
    }
}

/// Where the other replicas are.
fn replicas(args: &ServeArgs) -> Replicas {
    Replicas {
        namespace: args.root_namespace.clone(),
        service: args.name.clone(),
        port: args.listen.port(),
    }
}

/// How they are asked.
fn over_tls(args: &ServeArgs, keys: &Keys) -> Result<OverTls> {
    Ok(OverTls {
        issuer: keys.issuer.clone(),
        replica: replica(args)?,
        server_name: format!("{}.{}.svc", args.name, args.root_namespace),
        further_roots: args.serving_certificate.join("ca.crt"),
    })
}

/// Who answers agents whose pods leave.
pub(super) fn settling(
    args: &ServeArgs,
    client: &KubeClient,
    keys: &Keys,
    cache: &ResourceCache,
    xds: &XdsServer<XdsAdmission>,
) -> Result<Settling<XdsAdmission, BehindService<OverTls>>> {
    Ok(Settling {
        own: Own {
            instance: instance()?.into(),
            cluster_id: args.cluster_id.clone(),
            cache: cache.clone(),
            xds: xds.clone(),
        },
        peers: BehindService::new(client.clone(), replicas(args), over_tls(args, keys)?),
        agents: args.registration_accounts.iter().cloned().collect(),
        replica: replica(args)?,
    })
}

/// Who asks for Leases. A container that starts again in its pod goes on with what it held; without a pod, another run is another
/// one.
fn holder(args: &ServeArgs) -> Result<Holder> {
    Ok(match (args.pod_name.clone(), args.pod_uid.clone()) {
        (Some(name), Some(uid)) => Holder::Pod(PodRun { name, uid }),
        _ => Holder::Process(instance()?),
    })
}

/// Another run is another one.
pub(super) fn instance() -> Result<String> {
    Ok(format!("{}_{}", host()?, std::process::id()))
}

/// The name of this machine: in a cluster, that of the pod.
pub(super) fn host() -> Result<String> {
    let host = nix::unistd::gethostname().context("host name")?;
    Ok(host.to_string_lossy().into_owned())
}

/// Who replicas are to each other.
pub(super) fn replica(args: &ServeArgs) -> Result<Identity> {
    let (namespace, name) = (args.root_namespace.as_str(), args.name.as_str());
    Identity::new(args.trust_domain.clone(), namespace, name).context("the control plane's own identity")
}
