//! Calls of gRPC that are open both ways: words go and come while both ends may still speak.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::Stream;
use http::{Request, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use mesh_extensions::framing::{Reader, frame};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::wire::{Conn, LocalExecutor};
use super::{PATIENCE, Together};

/// An open call.
pub(crate) struct Chat<'a> {
    mesh: &'a Together,
    /// Absent once everything was said.
    words: Option<mpsc::UnboundedSender<Bytes>>,
    heard: (Incoming, Reader),
}

impl<'a> Conn<'a> {
    /// Begins a call over it; the endpoint has answered with its head when this returns, which the first word asks for.
    pub(crate) fn chat(self, host: &str, method: &str, first: &str) -> Chat<'a> {
        let mesh = self.mesh();
        let (words, said) = mpsc::unbounded_channel();
        words.send(frame(first.as_bytes())).expect("nobody has gone");
        let request = Request::post(format!("http://{host}{method}"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(StreamBody::new(Box::pin(frames(said))))
            .expect("a request");
        let response = mesh.block_on(async {
            let io = TokioIo::new(self.into_stream());
            let (mut sender, connection) = http2::handshake(LocalExecutor, io).await.expect("HTTP/2");
            spawn_local(async move { drop(connection.await) });
            sender.send_request(request).await.expect("an answer")
        });
        assert_eq!(response.status(), 200, "{response:?}");
        let heard = (response.into_body(), Reader::new(1 << 20));
        Chat {
            mesh,
            words: Some(words),
            heard,
        }
    }
}

impl Chat<'_> {
    /// Says something.
    pub(crate) fn say(&self, word: &str) {
        let words = self.words.as_ref().expect("everything was said");
        words.send(frame(word.as_bytes())).expect("nobody has gone");
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&mut self) {
        self.words = None;
    }

    /// The next word; nothing when there is none any more, however that came.
    pub(crate) fn hears(&mut self) -> Option<String> {
        let (body, reader) = &mut self.heard;
        self.mesh.block_on(async {
            loop {
                if let Some(word) = reader.message().expect("a message") {
                    return Some(String::from_utf8_lossy(&word).into_owned());
                }
                let next = tokio::time::timeout(PATIENCE, body.frame())
                    .await
                    .expect("it ends in time");
                reader.push(&next?.ok()?.into_data().unwrap_or_default());
            }
        })
    }
}

fn frames(said: mpsc::UnboundedReceiver<Bytes>) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    futures_util::stream::unfold(said, |mut said| async move {
        let word = said.recv().await?;
        Some((Ok(Frame::data(word)), said))
    })
}
