//! What keeps a request at the endpoint that its client, or its key, had before.

use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use mesh_model::l7::session::Session;
use mesh_model::l7::traffic::HashKey;

use crate::exchange::Exchange;
use crate::route::Rule;
use crate::upstream::session::{self, Asked, Held};
use crate::upstream::{Cluster, Endpoint};

/// What was found in a request, and what its answer tells the client.
#[derive(Default)]
pub(super) struct Sticky {
    /// What is hashed.
    pub(super) hash: Option<u64>,
    /// It is that of a cookie which the client had: it stays where it was as long as that is there.
    pub(super) stays: bool,
    session: Option<(Session, Option<Held>)>,
    /// Which of the rule's destinations it is, where there are several.
    share: Option<u16>,
    told: Vec<(HeaderName, HeaderValue)>,
}

impl Sticky {
    /// Of a request: the rule's session, else that of where it came in, else the destination's.
    pub(super) fn of(exchange: &Exchange, rule: Option<&Rule>, cluster: &Cluster) -> Self {
        let Some(rules) = cluster.rules() else {
            return Self::default();
        };
        let of_rule = rule.and_then(|rule| rule.http()?.session.as_ref());
        let applied = &exchange.applied;
        let of_place = || applied.effective.session.as_ref().map(|given| &given.value);
        let session = of_rule.or_else(of_place).or_else(|| rules.session());
        let mut sticky = Self {
            session: session.map(|session| {
                let held = session::held(session, &exchange.head.headers, session::now());
                (session.clone(), held)
            }),
            share: rule
                .filter(|rule| rule.has_shares())
                .map(|_| session::share(cluster.name())),
            ..Self::default()
        };
        if let Some(key) = rules.hash_key() {
            let asked = Asked {
                headers: &exchange.head.headers,
                uri: &exchange.head.uri,
                source: exchange.accepted.client.peer.addr().ip(),
            };
            let (hash, made) = session::hash(key, &asked, fastrand::u64(..));
            sticky.stays = matches!(key, HashKey::Cookie { .. }) && made.is_none();
            sticky.hash = hash;
            sticky.told.extend(made.map(|made| (header::SET_COOKIE, made)));
        }
        sticky
    }

    /// The endpoint that the client had, as sessions call it.
    pub(super) fn session(&self) -> Option<u64> {
        Some(self.session.as_ref()?.1?.name)
    }

    /// An endpoint answers.
    pub(super) fn answered(&mut self, endpoint: &Rc<Endpoint>) {
        if let Some((session, held)) = &self.session {
            self.told.extend(session::told(
                session,
                *held,
                endpoint.host.key(),
                self.share,
                session::now(),
            ));
        }
    }

    /// What the client is told.
    pub(super) fn tell(&mut self, headers: &mut HeaderMap) {
        for (name, value) in self.told.drain(..) {
            headers.append(name, value);
        }
    }
}
