//! The root's certificate in a ClusterTrustBundle, where the API server has those. An API server without them is as good as
//! any: it is looked at again, as it may be upgraded meanwhile.

use std::time::Duration;

use mesh_kube::write::Part;
use mesh_kube::{Fault, KubeClient, KubeError, ObjectName, Resource};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::HOW;

/// The bundle, as far as it was written.
#[derive(Debug, Default)]
pub(super) struct ClusterBundle {
    /// When it is looked at again.
    next: Option<Instant>,
    /// What was told last, of what lasts.
    told: Option<KubeError>,
}

impl ClusterBundle {
    /// Writes it, if it is time for that; says when it is next. What others changed is put back then: applying what is
    /// there already changes nothing.
    pub(super) async fn keep(&mut self, client: &KubeClient, root: &str) -> Instant {
        if let Some(next) = self.next.filter(|next| *next > Instant::now()) {
            return next;
        }
        let after = match apply(client, root).await {
            Ok(()) => {
                self.told = None;
                LOOK_AGAIN
            }
            Err(error) => {
                self.tell(error);
                RETRY
            }
        };
        let next = Instant::now() + after;
        self.next = Some(next);
        next
    }

    fn tell(&mut self, error: KubeError) {
        if self.told.as_ref() == Some(&error) {
            return;
        }
        match error.fault() {
            Fault::Rights => tracing::warn!(
                "ClusterTrustBundle {BUNDLE}: {error}; give the control plane `create` and `patch` of clustertrustbundles and \
                 `attest` of signer {SIGNER}, or switch it off (chart: features.clusterTrustBundle=false)"
            ),
            _ => tracing::warn!("ClusterTrustBundle {BUNDLE} cannot be written, and is tried again: {error}"),
        }
        self.told = Some(error);
    }
}

async fn apply(client: &KubeClient, root: &str) -> Result<(), KubeError> {
    let served = client.served_versions(GROUP, PLURAL).await?;
    let known = VERSIONS
        .into_iter()
        .find(|known| served.iter().any(|s| s == known));
    let Some(version) = known else {
        return Ok(());
    };
    let resource = Resource::cluster_wide(GROUP, version, PLURAL, "ClusterTrustBundle");
    let object = json!({
        "apiVersion": resource.api_version(),
        "kind": "ClusterTrustBundle",
        "metadata": {"name": BUNDLE},
        "spec": {"signerName": SIGNER, "trustBundle": root},
    });
    let name = ObjectName::cluster(BUNDLE);
    let applied = client.apply::<Value>(&resource, &name, Part::Main, HOW, &object);
    applied.await.map(drop)
}

/// Those whose bundles say what ours does, the best first. Kubernetes 1.32 has none but `v1alpha1`.
const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha1"];
pub(super) const GROUP: &str = "certificates.k8s.io";
pub(super) const PLURAL: &str = "clustertrustbundles";
/// Upstream's names: what mounts them need not know whose they are.
const BUNDLE: &str = "istio.io:istiod-ca:root-cert";
const SIGNER: &str = "istio.io/istiod-ca";
const LOOK_AGAIN: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(30);
