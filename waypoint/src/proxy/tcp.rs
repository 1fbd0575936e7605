//! Bytes: to an endpoint and back, until both directions are over.

use std::rc::Rc;
use std::sync::Arc;

use mesh_net::relay::Side;
use mesh_net::{RelayCounters, RelayEnd, relay};

use super::http::story::Story;
use super::http::tail::Counted;
use crate::connection::Accepted;
use crate::filters::authorization::{connection_denied, connection_denied_noting};
use crate::flags::ResponseFlag;
use crate::route::{Forward, Routed};
use crate::stream::Stream;
use crate::telemetry::Report;
use crate::upstream::connect::connect;
use crate::upstream::pick::{Ask, LeastRequest};
use crate::upstream::{Endpoint, Pick};
use crate::worker::Worker;

/// Serves a connection whose bytes nobody here reads.
pub(super) async fn serve(
    worker: Rc<Worker>,
    client: Stream,
    accepted: Accepted,
    server_name: Option<String>,
) {
    let accepted = Arc::new(accepted);
    let mut story = Story::new(worker.telemetry.clone(), Report::new(accepted.clone()));
    let client = client.into_chunks();
    // What HTTP would say is not known here: policies that ask for it are as strict as they can be.
    if let Some(denied) = connection_denied_noting(&worker, &accepted, server_name.as_deref(), &mut story) {
        story.policy = Some(denied.policy);
        story.details = denied.details;
        story.complete();
        return;
    }
    let mut standing = {
        let (accepted, server_name) = (accepted.clone(), server_name.clone());
        let check =
            move |worker: &Worker| connection_denied(worker, &accepted, server_name.as_deref()).is_none();
        worker.standings.track(Box::new(check))
    };
    let Routed::Forward(forward) = worker.tables.straight(&accepted.frontend) else {
        story.flags.add(ResponseFlag::NoRouteFound);
        story.details = "route_not_found";
        story.complete();
        return;
    };
    // Boxed: establishing is over soon, and what it needs is not to be held while bytes flow.
    let Some((endpoint, stream)) = Box::pin(establish(&worker, &forward, &mut story)).await else {
        // Dropped without a relay, the client's stream is reset: nobody took it.
        story.complete();
        return;
    };
    let _busy = Counted::new(&endpoint.active);
    let counters = RelayCounters::default();
    let end = tokio::select! {
        biased;
        () = standing.revoked() => None,
        end = relay(client, stream.into_chunks(), &counters) => Some(end),
    };
    story.received = counters.to_up();
    story.sent = counters.to_down();
    let Some(end) = end else {
        story.flags.add(ResponseFlag::LocalReset);
        story.details = "rbac_access_denied";
        story.complete();
        return;
    };
    if let RelayEnd::Failed { side, error } = end {
        story.flags.add(match side {
            Side::Down => ResponseFlag::DownstreamConnectionTermination,
            Side::Up => ResponseFlag::UpstreamConnectionTermination,
        });
        story.upstream_failure = Some(error.to_string());
    }
    story.complete();
}

/// A stream to an endpoint; another one is tried where there is one.
async fn establish(worker: &Worker, forward: &Forward, story: &mut Story) -> Option<(Rc<Endpoint>, Stream)> {
    let cluster = worker.upstream.cluster(&forward.cluster);
    story.upstream_cluster = Some(cluster.name().clone());
    let endpoints = cluster.endpoints();
    let mut tried = Vec::new();
    loop {
        let ask = Ask {
            tried: &tried,
            hash: None,
        };
        let Some(place) = LeastRequest.pick(&endpoints, &ask) else {
            story.flags.add(ResponseFlag::NoHealthyUpstream);
            story.details = "no_healthy_upstream";
            return None;
        };
        let endpoint = endpoints[place].clone();
        story.attempts += 1;
        story.upstream = Some(endpoint.address);
        story.upstream_workload.clone_from(&endpoint.workload);
        match connect(worker.upstream.shared(), &endpoint).await {
            Ok(stream) => return Some((endpoint, stream)),
            Err(error) => {
                story.upstream_failure = Some(error.to_string());
                tried.push(place);
                if tried.len() >= endpoints.len().min(ATTEMPTS) {
                    story.flags.add(ResponseFlag::UpstreamConnectionFailure);
                    story.details = "upstream_connection_failure";
                    return None;
                }
            }
        }
    }
}

/// At different endpoints.
const ATTEMPTS: usize = 3;
