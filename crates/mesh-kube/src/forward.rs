//! A connection to a port of a pod, through the API server: how the command line reaches pages that only the pod itself
//! may see.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::KubeClient;
use crate::error::KubeError;
use crate::resource::ObjectName;

impl KubeClient {
    /// Connects to a port of a pod, as `localhost` is there. Needs the right to `create` on `pods/portforward`, and a
    /// tokio runtime: the crate `kube` carries the bytes in a task of its own, which ends with the connection.
    ///
    /// # Errors
    /// Fails with what is wrong with the way, our rights or the pod. That nobody listens on the port shows only when the
    /// connection ends at once.
    pub async fn forward(
        &self,
        pod: &ObjectName,
        port: u16,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>, KubeError> {
        let pods: Api<Pod> = Api::namespaced(self.inner.clone(), &pod.namespace);
        let mut forwarder = pods.portforward(&pod.name, &[port]).await?;
        forwarder
            .take_stream(port)
            .ok_or_else(|| KubeError::BadAnswer(format!("port {port} was not forwarded")))
    }
}
