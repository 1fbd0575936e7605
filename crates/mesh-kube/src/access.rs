//! Where the API server is, and who we are to it.

use std::path::{Path, PathBuf};

use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::error::KubeError;

/// How to reach an API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// From a pod: its service account's files, which are read again as they change.
    InCluster,
    /// From anywhere else.
    Kubeconfig {
        /// The file; without one, `KUBECONFIG` or `~/.kube/config`.
        path: Option<PathBuf>,
        /// One of its contexts; without one, its current context.
        context: Option<String>,
    },
}

impl Access {
    /// In a pod as the pod, elsewhere as the kubeconfig says.
    #[must_use]
    pub fn detect() -> Self {
        let in_pod = std::env::var_os(SERVICE_HOST).is_some() && Path::new(TOKEN).exists();
        if in_pod {
            return Self::InCluster;
        }
        Self::Kubeconfig {
            path: None,
            context: None,
        }
    }

    /// What `kube` needs to know.
    pub(crate) async fn config(&self) -> Result<kube::Config, KubeError> {
        let mut config = match self {
            Self::InCluster => {
                kube::Config::incluster().map_err(|e| not_configured("in-cluster access", &e))?
            }
            Self::Kubeconfig { path, context } => from_kubeconfig(path.as_deref(), context.clone()).await?,
        };
        // Whoever asks knows better when to ask again, and how long to wait.
        config.default_retry = false;
        config.read_timeout = None;
        Ok(config)
    }
}

async fn from_kubeconfig(path: Option<&Path>, context: Option<String>) -> Result<kube::Config, KubeError> {
    let (named, read) = match path {
        Some(path) => (path.display().to_string(), Kubeconfig::read_from(path)),
        None => ("kubeconfig".to_owned(), Kubeconfig::read()),
    };
    let kubeconfig = read.map_err(|e| not_configured(&named, &e))?;
    if let Some(why) = contextless(&kubeconfig, context.as_deref()) {
        return Err(KubeError::NotConfigured(format!("{named}: {why}")));
    }
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await;
    config.map_err(|e| not_configured(&named, &e))
}

/// Why none of its contexts is meant.
fn contextless(kubeconfig: &Kubeconfig, named: Option<&str>) -> Option<String> {
    let has: Vec<&str> = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.as_str())
        .collect();
    let there = if has.is_empty() {
        "it has no context at all".to_owned()
    } else {
        format!("it has {}", has.join(", "))
    };
    let current = kubeconfig
        .current_context
        .as_deref()
        .filter(|name| !name.is_empty());
    match named.or(current) {
        None => Some(format!(
            "no context is named, and none is the current one; {there}"
        )),
        Some(name) if !has.contains(&name) => Some(format!("there is no context {name}; {there}")),
        Some(_) => None,
    }
}

fn not_configured(what: &str, error: &dyn std::error::Error) -> KubeError {
    KubeError::NotConfigured(format!("{what}: {}", crate::error::chain(error)))
}

const SERVICE_HOST: &str = "KUBERNETES_SERVICE_HOST";
/// Where every pod with a service account finds its token.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

#[cfg(test)]
mod tests;
