//! Requests and answers, bounded in size and in time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use kube::client::Body;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::access::Access;
use crate::error::{KubeError, chain};

/// A client of one API server. Clones share its connections.
#[derive(Clone)]
pub struct KubeClient {
    pub(crate) inner: kube::Client,
    /// Where it is, for whoever hears that it cannot be reached.
    server: Option<Arc<str>>,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) accept: &'static str,
    pub(crate) content: Option<(&'static str, Bytes)>,
}

impl KubeClient {
    /// A client with this access. Nothing is asked yet, so an API server that is away is no error.
    ///
    /// # Errors
    /// Fails when the access cannot be used; the text says what to look at.
    pub async fn connect(access: &Access) -> Result<Self, KubeError> {
        let config = access.config().await?;
        let server = Some(config.cluster_url.to_string().into());
        let inner = kube::Client::try_from(config)?;
        Ok(Self { inner, server })
    }

    /// A client over whatever answers requests in an API server's place, such as the fake.
    #[must_use]
    pub fn over(inner: kube::Client) -> Self {
        Self { inner, server: None }
    }

    /// The namespace that the access names: the pod's own, or the context's.
    #[must_use]
    pub fn default_namespace(&self) -> &str {
        self.inner.default_namespace()
    }

    /// What the API server has at a path, such as `/version` or `/openid/v1/jwks`.
    ///
    /// # Errors
    /// Fails with what is wrong with the way, our rights or the path.
    pub async fn text(&self, path: &str) -> Result<String, KubeError> {
        let mut call = Call::get(path.to_owned());
        call.accept = "*/*";
        let body = self.call(call).await?;
        String::from_utf8(body.into()).map_err(|_| KubeError::BadAnswer(format!("{path}: no UTF-8")))
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, KubeError> {
        let body = self.call(call).await?;
        serde_json::from_slice(&body).map_err(|e| KubeError::BadAnswer(e.to_string()))
    }

    /// The body of a good answer.
    pub(crate) async fn call(&self, call: Call) -> Result<Bytes, KubeError> {
        let answered = async {
            let response = self.send(call).await?;
            read(response, MAX_BODY).await
        };
        let answered = timeout(ANSWER, answered).await;
        answered
            .unwrap_or_else(|_| Err(too_slow(ANSWER)))
            .map_err(|error| self.named(error))
    }

    /// The answer to a request whose body never ends by itself.
    pub(crate) async fn open(&self, call: Call) -> Result<Response<Body>, KubeError> {
        let answered = timeout(ANSWER, self.send(call)).await;
        answered
            .unwrap_or_else(|_| Err(too_slow(ANSWER)))
            .map_err(|error| self.named(error))
    }

    /// Who cannot be reached.
    fn named(&self, error: KubeError) -> KubeError {
        match (error, &self.server) {
            (KubeError::Unreachable(why), Some(server)) => KubeError::Unreachable(format!("{server}: {why}")),
            (error, _) => error,
        }
    }

    async fn send(&self, call: Call) -> Result<Response<Body>, KubeError> {
        let response = self.inner.send(call.into_request()?).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read(response, MAX_ERROR).await.unwrap_or_default();
        Err(KubeError::of_answer(status, &body))
    }
}

impl fmt::Debug for KubeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeClient").finish_non_exhaustive()
    }
}

impl Call {
    pub(crate) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            accept: JSON,
            content: None,
        }
    }

    /// A request that says something, as JSON.
    pub(crate) fn with(
        method: Method,
        path: String,
        content_type: &'static str,
        content: &impl Serialize,
    ) -> Result<Self, KubeError> {
        let body = serde_json::to_vec(content).map_err(|e| KubeError::Refused(format!("no JSON: {e}")))?;
        Ok(Self {
            method,
            path,
            accept: JSON,
            content: Some((content_type, body.into())),
        })
    }

    fn into_request(self) -> Result<Request<Body>, KubeError> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(self.path)
            .header(ACCEPT, self.accept);
        let mut body = Body::empty();
        if let Some((content_type, content)) = self.content {
            request = request.header(CONTENT_TYPE, content_type);
            body = Body::from(content);
        }
        let request = request.body(body);
        request.map_err(|e| KubeError::Refused(format!("no request: {e}")))
    }
}

async fn read(response: Response<Body>, most: usize) -> Result<Bytes, KubeError> {
    match Limited::new(response.into_body(), most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.is::<LengthLimitError>() => {
            Err(KubeError::BadAnswer(format!("longer than {most} bytes")))
        }
        Err(e) => Err(KubeError::Unreachable(chain(&*e))),
    }
}

fn too_slow(limit: Duration) -> KubeError {
    KubeError::Unreachable(format!("no answer within {} s", limit.as_secs()))
}

pub(crate) const JSON: &str = "application/json";
/// What one request may take, but for watches.
const ANSWER: Duration = Duration::from_secs(30);
/// A page of a list: 250 objects of 1.5 MiB, the most that etcd takes, would be more; nobody has those.
const MAX_BODY: usize = 128 << 20;
const MAX_ERROR: usize = 64 << 10;

#[cfg(test)]
mod tests;
