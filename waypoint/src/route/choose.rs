//! One request, one rule, one destination.

use http::{HeaderValue, StatusCode, header};
use mesh_model::l7::edit::{Redirected, redirect};
use mesh_model::l7::filter::{BackendFilter, Filter, Redirect};
use mesh_model::l7::request::{Claims, Client, Request};
use mesh_model::l7::route::{HttpAction, HttpBackend};
use mesh_model::l7::select::{Selected, pick_backend};
use mesh_types::Strng;

use super::{Compiled, Forward, Replied, Routed, Rule, Tables};
use crate::frontend::Frontend;
use crate::reply::LocalReply;
use crate::upstream::{ClusterKey, session};

impl Tables {
    /// Where a request goes.
    #[must_use]
    pub fn route(
        &self,
        compiled: &Compiled,
        frontend: &Frontend,
        request: &Request<'_>,
        client: &Client<'_>,
        claims: &Claims,
    ) -> Routed {
        if !compiled.routes.has_http(client) {
            return self.straight(compiled, frontend);
        }
        match compiled.routes.select(request, client, claims) {
            Some(selected) => self.follow(compiled, frontend, request, &selected),
            None => LocalReply::no_route().into(),
        }
    }

    fn follow(
        &self,
        compiled: &Compiled,
        frontend: &Frontend,
        request: &Request<'_>,
        selected: &Selected<'_>,
    ) -> Routed {
        let name = || compiled.memory(selected.route, selected.rule_index).name.clone();
        let sent = |to: &Redirect, backend: Option<usize>| {
            let reply = sent_elsewhere(to, request, selected, frontend.port())?;
            Some(replied(reply, selected, name(), backend))
        };
        let rule = selected.rule;
        if rule
            .filters
            .iter()
            .any(|filter| matches!(filter, Filter::Invalid(_)))
        {
            return LocalReply::invalid_route().into();
        }
        match &rule.action {
            HttpAction::Forward(backends) => self.forward(compiled, request, selected, backends, &sent),
            HttpAction::Respond(respond) => {
                let status =
                    StatusCode::from_u16(respond.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let reply = LocalReply::new(status, "direct_response", respond.body.clone());
                replied(reply, selected, name(), None)
            }
            HttpAction::Redirect(to) => sent(to, None).unwrap_or_else(|| LocalReply::invalid_route().into()),
        }
    }

    fn forward(
        &self,
        compiled: &Compiled,
        request: &Request<'_>,
        selected: &Selected<'_>,
        backends: &[HttpBackend],
        sent: &dyn Fn(&Redirect, Option<usize>) -> Option<Routed>,
    ) -> Routed {
        let memory = compiled.memory(selected.route, selected.rule_index);
        let kept = held_backend(compiled, request, selected, backends);
        let Some(backend) = kept.or_else(|| pick_backend(backends, memory.spread.next())) else {
            return LocalReply::invalid_route().into();
        };
        let place = backends.iter().position(|b| std::ptr::eq(b, backend));
        for filter in &backend.filters {
            match filter {
                BackendFilter::Redirect(to) => {
                    return sent(to, place).unwrap_or_else(|| LocalReply::invalid_route().into());
                }
                BackendFilter::Invalid(_) => return LocalReply::invalid_route().into(),
                _ => {}
            }
        }
        let Some(cluster) = ClusterKey::of(&backend.destination) else {
            return LocalReply::invalid_route().into();
        };
        Routed::Forward(Forward {
            cluster,
            timeouts: selected.rule.timeouts,
            retry: memory.retry.clone(),
            rule: Some(Rule {
                route: selected.route.clone(),
                rule: selected.rule_index,
                name: memory.name.clone(),
                backend: place,
                matched: selected.match_index,
            }),
        })
    }
}

/// Of several destinations that of the client's session, while it has a share at all (Gateway API, GEP-1619: a session
/// counts more than weights).
fn held_backend<'b>(
    compiled: &Compiled,
    request: &Request<'_>,
    selected: &Selected<'_>,
    backends: &'b [HttpBackend],
) -> Option<&'b HttpBackend> {
    if backends.len() < 2 {
        return None;
    }
    let of_place = || {
        compiled
            .applied
            .effective
            .session
            .as_ref()
            .map(|given| &given.value)
    };
    let session = selected.rule.session.as_ref().or_else(of_place)?;
    let share = session::held(session, request.headers, session::now())?.share?;
    backends
        .iter()
        .filter(|backend| backend.weight > 0)
        .find(|backend| {
            let cluster = ClusterKey::of(&backend.destination);
            cluster.is_some_and(|cluster| session::share(&cluster.to_string()) == share)
        })
}

/// An answer from here, with everything else that its rule says.
fn replied(reply: LocalReply, selected: &Selected<'_>, name: Strng, backend: Option<usize>) -> Routed {
    let rule = Rule {
        route: selected.route.clone(),
        rule: selected.rule_index,
        name,
        backend,
        matched: selected.match_index,
    };
    Routed::Reply(Box::new(Replied {
        reply,
        rule: Some(rule),
    }))
}

/// The answer that sends a client elsewhere; nothing where the place cannot be written.
fn sent_elsewhere(
    to: &Redirect,
    request: &Request<'_>,
    selected: &Selected<'_>,
    port: u16,
) -> Option<LocalReply> {
    let Redirected { status, location } = redirect(to, request, selected.matched(), port);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
    let location = HeaderValue::from_str(&location).ok()?;
    Some(LocalReply::new(status, "direct_response", "").with_header(header::LOCATION, location))
}
