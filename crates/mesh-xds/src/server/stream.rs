//! One stream: its response body, polled by the connection, drives everything. While the client does not read, it is
//! not polled, and changes merge in the cache.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use http::HeaderMap;
use http_body_util::StreamBody;
use hyper::body::Frame;
use mesh_grpc::lifetime::{Lifetime, StreamEnd};
use mesh_proto::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep};
use tonic::body::Body;
use tonic::codec::Streaming;
use tonic::{Code, Status};
use tracing::{debug, info};

use super::push::Chunks;
use super::service::{AdmitNode, Shared};
use super::session::{Ended, ServerSession};
use crate::resource::TypeUrl;

pub(super) struct SubscriberStream<A: AdmitNode> {
    id: u64,
    shared: Arc<Shared<A>>,
    caller: A::Caller,
    session: ServerSession,
    admitted: bool,
    /// Changes when admission may be another one.
    admission: Option<watch::Receiver<u64>>,
    requests: Streaming<DeltaDiscoveryRequest>,
    changes: watch::Receiver<u64>,
    sending: Option<Chunks>,
    /// When each type was last pushed.
    pushed: BTreeMap<Arc<str>, SystemTime>,
    /// How many pushes of each type were refused, and when the last one was.
    refused: BTreeMap<TypeUrl, (u64, SystemTime)>,
    end: StreamEnd,
    /// When that is.
    ends: Pin<Box<Sleep>>,
}

impl<A: AdmitNode> SubscriberStream<A> {
    pub(super) fn new(
        id: u64,
        shared: Arc<Shared<A>>,
        caller: A::Caller,
        requests: Streaming<DeltaDiscoveryRequest>,
        lifetime: Lifetime,
    ) -> Self {
        let changes = shared.cache.changes();
        let admission = shared.admission.changes();
        let session = ServerSession::new(shared.cache.clone());
        shared.subscribers.lock().insert(id, session.status());
        Self {
            id,
            shared,
            caller,
            session,
            admitted: false,
            admission,
            requests,
            changes,
            sending: None,
            pushed: BTreeMap::new(),
            refused: BTreeMap::new(),
            end: lifetime.end,
            ends: Box::pin(sleep(lifetime.after)),
        }
    }

    pub(super) fn into_body(self) -> Body {
        let frames = stream::unfold(Some(self), |this| async move {
            let mut this = this?;
            match this.next_chunk().await {
                Ok(chunk) => Some((Frame::data(chunk), Some(this))),
                Err(status) => {
                    this.log_end(&status);
                    Some((trailers(&status), None))
                }
            }
        });
        Body::new(StreamBody::new(frames.map(Ok::<_, Status>)))
    }

    /// The next piece of a response, or how the stream ends.
    async fn next_chunk(&mut self) -> Result<Bytes, Status> {
        loop {
            if let Some(chunk) = self.sending.as_mut().and_then(Iterator::next) {
                return Ok(chunk);
            }
            // Between two responses: whoever is told something is told all of it.
            if self.ends.deadline() <= Instant::now() {
                return Err(self.end.to_status());
            }
            // Marked before looking: a change that comes meanwhile wakes again.
            self.changes.mark_unchanged();
            // Requests before pushes: a client opens with one request for each type, and the order of types counts
            // only among those that it asked for.
            while let Some(request) = self.requests.message().now_or_never() {
                self.receive(request?)?;
            }
            self.readmit()?;
            let push = self.session.next_push().map_err(|e| end(&e))?;
            if let Some(push) = &push {
                self.pushed.insert(push.type_url.clone(), SystemTime::now());
            }
            self.publish_status();
            if let Some(push) = push {
                debug!(
                    node = self.session.node().map(|n| n.id()),
                    type_url = %push.type_url,
                    changed = push.changed(),
                    removed = push.removed.len(),
                    "push"
                );
                self.sending = Some(push.into_chunks());
                continue;
            }
            tokio::select! {
                biased;
                request = self.requests.message() => self.receive(request?)?,
                changed = self.changes.changed() => {
                    changed.map_err(|_| Status::unavailable("the control plane is going away"))?;
                }
                () = changed(&mut self.admission) => self.readmit_now()?,
                () = self.ends.as_mut() => return Err(self.end.to_status()),
            }
        }
    }

    fn receive(&mut self, request: Option<DeltaDiscoveryRequest>) -> Result<(), Status> {
        let request = request.ok_or_else(|| Status::ok("the client closed the stream"))?;
        self.session.receive(request).map_err(|e| end(&e))?;
        if let (false, Some(node)) = (self.admitted, self.session.node()) {
            // Marked before judging: what changes meanwhile is judged again.
            if let Some(changes) = &mut self.admission {
                changes.mark_unchanged();
            }
            let admitted = self.shared.admission.admit(&self.caller, node);
            admitted.map_err(|denied| {
                info!(node = node.id(), "xDS client refused: {denied}");
                denied.to_status()
            })?;
            self.admitted = true;
            info!(node = node.id(), "xDS client connected");
        }
        Ok(())
    }

    /// Judges the client again if admission changed.
    fn readmit(&mut self) -> Result<(), Status> {
        let changes = self.admission.as_mut();
        let changed = changes.filter(|c| c.has_changed().unwrap_or(false));
        match changed {
            Some(changes) => {
                changes.mark_unchanged();
                self.readmit_now()
            }
            None => Ok(()),
        }
    }

    fn readmit_now(&self) -> Result<(), Status> {
        let Some(node) = self.session.node().filter(|_| self.admitted) else {
            return Ok(());
        };
        let admitted = self.shared.admission.admit(&self.caller, node);
        admitted.map_err(|denied| {
            info!(node = node.id(), "xDS client is not let in any more: {denied}");
            denied.to_status()
        })
    }

    fn publish_status(&mut self) {
        let mut status = self.session.status();
        for subscription in &mut status.subscriptions {
            subscription.pushed = self.pushed.get(subscription.type_url.as_str()).copied();
            if let Some(last) = &mut subscription.last_refusal {
                let now = (subscription.refusals, SystemTime::now());
                let known = self.refused.entry(subscription.type_url).or_insert(now);
                if known.0 < now.0 {
                    *known = now;
                }
                last.at = Some(known.1);
            }
        }
        self.shared.subscribers.lock().insert(self.id, status);
        self.shared.stands.send_modify(|stands| *stands += 1);
    }

    fn log_end(&self, status: &Status) {
        let node = self.session.node().map(|n| n.id());
        info!(node, code = ?status.code(), "xDS stream ended: {}", status.message());
    }
}

impl<A: AdmitNode> Drop for SubscriberStream<A> {
    fn drop(&mut self) {
        self.shared.subscribers.lock().remove(&self.id);
        self.shared.stands.send_modify(|stands| *stands += 1);
        debug!(node = self.session.node().map(|n| n.id()), "xDS stream is gone");
    }
}

/// When admission may be another one; never where it stays.
async fn changed(admission: &mut Option<watch::Receiver<u64>>) {
    let changed = match admission {
        Some(changes) => changes.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}

fn end(reason: &Ended) -> Status {
    let code = match reason {
        Ended::Node(_) | Ended::NoType | Ended::TooManyTypes => Code::InvalidArgument,
        Ended::OnDemand(_) => Code::Unimplemented,
        Ended::Behind(_) => Code::Aborted,
    };
    Status::new(code, reason.to_string())
}

fn trailers(status: &Status) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        // Only a message that cannot stand in a header gets here; the code alone can.
        headers.insert("grpc-status", (status.code() as i32).into());
    }
    Frame::trailers(headers)
}
