//! The mesh on the cluster, and a waypoint.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use images::Image;
use lab::cluster::{Cluster, Lateen};
use lab::products::Products;
use serde_json::Value;

/// A cluster with the mesh in it.
pub(crate) struct Mesh {
    cluster: Cluster,
}

impl Mesh {
    /// Installs the mesh as its users do: `lateen install` with nothing set.
    pub(crate) fn install(
        cluster: Cluster,
        products: &Products,
        images: &[(String, Image)],
        helm: &Path,
    ) -> Result<Self> {
        for (name, image) in images {
            cluster.load(name, image)?;
        }
        let installed = Lateen::beside(&cluster, products, helm).install("{}");
        let mesh = Self { cluster };
        match installed {
            Ok(_) => Ok(mesh),
            Err(error) => Err(error.context(mesh.tell())),
        }
    }

    /// The cluster.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Makes a waypoint in a namespace for all namespaces that name it, and waits until the control plane says that it serves.
    pub(crate) fn put_waypoint(&self, namespace: &str) -> Result<()> {
        let gateway = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
             metadata: {{name: {WAYPOINT}, namespace: {namespace}}}\nspec:\n  gatewayClassName: istio-waypoint\n  listeners:\n  \
             - {{name: mesh, port: 15008, protocol: HBONE, allowedRoutes: {{namespaces: {{from: All}}}}}}\n"
        );
        let kubectl = self.cluster.kubectl();
        kubectl.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"
        ))?;
        kubectl.apply(&gateway)?;
        let gateway = ["gateway", WAYPOINT, "-n", namespace];
        let ready = kubectl.wait("the waypoint is programmed", &gateway, LIMIT, |gateway| {
            let conditions = gateway["status"]["conditions"].as_array()?;
            conditions.iter().any(is_programmed).then_some(())
        });
        ready.with_context(|| self.tell())
    }

    /// Keeps what the parts of the mesh said, for whoever looks for causes.
    pub(crate) fn save_logs(&self, out: &Path) {
        let kubectl = self.cluster.kubectl();
        for (name, namespace, selector) in PARTS {
            let logs = ["logs", "-n", namespace, "-l", selector, "--prefix", "--tail=-1"];
            let said = kubectl.run(&logs).unwrap_or_else(|error| format!("{error:#}"));
            // What is lost is a help, not a result.
            drop(fs::write(out.join(format!("{name}.log")), said));
        }
    }

    /// How the pods stand.
    fn tell(&self) -> String {
        let kubectl = self.cluster.kubectl();
        let asked = [
            &["get", "pods", "-A", "-o", "wide"][..],
            &["get", "events", "-A", "--sort-by=.lastTimestamp"],
        ];
        let told = asked.map(|asked| kubectl.run(asked).unwrap_or_else(|error| format!("{error:#}")));
        let logs = PARTS.iter().map(|(_, namespace, selector)| {
            let logs = ["logs", "-n", namespace, "-l", selector, "--prefix", "--tail=15"];
            kubectl.run(&logs).unwrap_or_else(|error| format!("{error:#}"))
        });
        format!("{}\n{}", told.join("\n"), logs.collect::<Vec<_>>().join("\n"))
    }
}

fn is_programmed(condition: &Value) -> bool {
    condition["type"] == "Programmed" && condition["status"] == "True"
}

/// The waypoint's name.
pub(crate) const WAYPOINT: &str = "waypoint";
const LIMIT: Duration = Duration::from_secs(120);
const PARTS: [(&str, &str, &str); 4] = [
    ("controlplane", "istio-system", "app=istiod"),
    ("cni", "istio-system", "k8s-app=istio-cni-node"),
    ("ztunnel", "istio-system", "app=ztunnel"),
    (
        "waypoint",
        crate::suite::NAMESPACE,
        "gateway.networking.k8s.io/gateway-name",
    ),
];
