//! One request over a connection that is there already.

use anyhow::{anyhow, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// The body of the answer.
///
/// # Errors
/// Fails when the answer is none, or is not 200.
pub(super) async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    method: Method,
    host: &str,
    path: &str,
) -> anyhow::Result<Vec<u8>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, host)
        .body(Empty::<Bytes>::new())?;
    let asked = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_PAGE).collect().await;
        let body = body.map_err(|why| anyhow!("its answer: {why}"))?.to_bytes();
        match status {
            StatusCode::OK => Ok(body.to_vec()),
            status => bail!("{status}: {}", String::from_utf8_lossy(&body).trim()),
        }
    };
    tokio::pin!(connection);
    tokio::pin!(asked);
    tokio::select! {
        answer = &mut asked => answer,
        ended = &mut connection => match ended {
            Err(why) => Err(why.into()),
            // It closes once it has answered.
            Ok(()) => asked.await,
        },
    }
}

/// Bytes: a mesh of 100,000 workloads has dumps of about this size.
const MAX_PAGE: usize = 256 * 1024 * 1024;
