//! What a subscriber refused stays refused until it changes or goes, whatever it accepts meanwhile.

use super::*;
use crate::refusal;

impl Subscriber {
    /// Refuses these resources of a push by name, as clients of ours do.
    fn refuse(&mut self, push: &DeltaDiscoveryResponse, names: &[&str]) {
        let request = DeltaDiscoveryRequest {
            type_url: push.type_url.clone(),
            response_nonce: push.nonce.clone(),
            error_detail: Some(Status {
                code: 3,
                message: format!("{}: bad", names.join(": bad; ")),
                details: refusal::to_details(names.iter().copied()),
            }),
            ..Default::default()
        };
        self.session.receive(request).unwrap();
        assert_eq!(summary(self.push()), "nothing");
    }

    fn take(&mut self) -> DeltaDiscoveryResponse {
        self.push().expect("a push")
    }

    fn accept(&mut self) {
        let push = self.take();
        self.ack(&push);
        assert_eq!(summary(self.push()), "nothing");
    }

    fn policies(&self) -> SubscriptionStatus {
        self.session.status().subscriptions.remove(0)
    }

    fn refused(&self) -> Option<String> {
        self.policies().refused
    }
}

/// Which of what is published now is refused, and which is accepted.
fn verdicts(cache: &ResourceCache, subscriber: &Subscriber) -> Vec<(String, Verdict)> {
    let status = subscriber.policies();
    cache.read(|tables| {
        let published = tables.tables[0].published();
        let mut all: Vec<_> = published
            .map(|(name, published)| (name.to_string(), status.verdict(published.sequence)))
            .collect();
        all.sort();
        all
    })
}

fn said(verdicts: &[(&str, Verdict)]) -> Vec<(String, Verdict)> {
    let said = verdicts
        .iter()
        .map(|(name, verdict)| ((*name).to_owned(), *verdict));
    said.collect()
}

use Verdict::{Accepted, Refused, UnderWay};

#[test]
fn a_refusal_outlives_the_acceptance_of_something_else() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    cache.publish(vec![put(AUTHORIZATION, "a", "bad")]);
    let push = subscriber.take();
    subscriber.answer(&push, Some("a: bad"));
    cache.publish(vec![put(AUTHORIZATION, "b", "good")]);
    subscriber.accept();
    assert_eq!(
        verdicts(&cache, &subscriber),
        said(&[("a", Refused), ("b", Accepted)])
    );
    let status = subscriber.policies();
    assert_eq!(status.refused.as_deref(), Some("a: bad"));
    assert!(status.answered == status.sent && status.acknowledged < status.sent);
    assert!(status.behind() > 0, "{status:?}");
    // Another version of it is another matter.
    cache.publish(vec![put(AUTHORIZATION, "a", "good")]);
    let push = subscriber.take();
    assert_eq!(
        verdicts(&cache, &subscriber),
        said(&[("a", UnderWay), ("b", Accepted)])
    );
    subscriber.ack(&push);
    assert_eq!(
        verdicts(&cache, &subscriber),
        said(&[("a", Accepted), ("b", Accepted)])
    );
    let status = subscriber.policies();
    assert_eq!((status.refused.clone(), status.behind()), (None, 0));
    assert_eq!(
        status.last_refusal.map(|last| last.message).as_deref(),
        Some("a: bad"),
        "that it once did is still known"
    );
}

#[test]
fn of_a_push_only_what_is_named_is_refused() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    cache.publish(vec![
        put(AUTHORIZATION, "a", "bad"),
        put(AUTHORIZATION, "b", "good"),
    ]);
    let push = subscriber.take();
    subscriber.refuse(&push, &["a"]);
    assert_eq!(
        verdicts(&cache, &subscriber),
        said(&[("a", Refused), ("b", Accepted)])
    );
    // Whoever names nothing that is there has told nothing: all of it counts as refused.
    cache.publish(vec![
        put(AUTHORIZATION, "c", "bad"),
        put(AUTHORIZATION, "d", "bad"),
    ]);
    let push = subscriber.take();
    subscriber.refuse(&push, &["never sent"]);
    assert_eq!(
        verdicts(&cache, &subscriber),
        said(&[("a", Refused), ("b", Accepted), ("c", Refused), ("d", Refused)])
    );
}

#[test]
fn what_changed_before_the_refusal_came_is_under_way() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    cache.publish(vec![
        put(AUTHORIZATION, "a", "bad"),
        put(AUTHORIZATION, "b", "bad"),
    ]);
    let push = subscriber.take();
    cache.publish(vec![put(AUTHORIZATION, "a", "better")]);
    let names = ["a", "b"];
    let request = DeltaDiscoveryRequest {
        type_url: push.type_url.clone(),
        response_nonce: push.nonce.clone(),
        error_detail: Some(Status {
            code: 3,
            message: "bad".to_owned(),
            details: refusal::to_details(names.into_iter()),
        }),
        ..Default::default()
    };
    subscriber.session.receive(request).unwrap();
    assert_eq!(
        verdicts(&cache, &subscriber),
        said(&[("a", UnderWay), ("b", Refused)])
    );
    subscriber.accept();
    assert_eq!(
        verdicts(&cache, &subscriber),
        said(&[("a", Accepted), ("b", Refused)])
    );
}

#[test]
fn what_is_gone_is_refused_no_more() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    cache.publish(vec![put(AUTHORIZATION, "a", "bad")]);
    let push = subscriber.take();
    subscriber.refuse(&push, &["a"]);
    assert_eq!(subscriber.refused().as_deref(), Some("a: bad"));
    cache.publish(vec![Change::remove(AUTHORIZATION, "a")]);
    subscriber.accept();
    assert_eq!(subscriber.refused(), None);
    assert_eq!(subscriber.policies().refusals, 1);
}

#[test]
fn what_is_sent_again_and_accepted_is_refused_no_more() {
    let cache = cache();
    cache.publish(vec![put(AUTHORIZATION, "a", "1"), put(AUTHORIZATION, "b", "1")]);
    let mut subscriber = Subscriber::new(&cache);
    subscriber.subscribe(AUTHORIZATION, &["a", "b"], &[]).unwrap();
    let push = subscriber.take();
    subscriber.refuse(&push, &["a", "b"]);
    subscriber.subscribe(AUTHORIZATION, &["a"], &[]).unwrap();
    let push = subscriber.take();
    assert_eq!(names(&push), ["a"]);
    subscriber.ack(&push);
    assert_eq!(
        verdicts(&cache, &subscriber),
        said(&[("a", Accepted), ("b", Refused)])
    );
}

#[test]
fn who_hangs_falls_behind_what_is_published() {
    let cache = cache();
    let mut subscriber = Subscriber::settled(&cache);
    assert_eq!(subscriber.policies().behind(), 0);
    cache.publish(vec![put(AUTHORIZATION, "a", "1")]);
    let _unanswered = subscriber.take();
    let before = subscriber.policies();
    assert!(before.outstanding && before.behind() > 0);
    cache.publish(vec![put(AUTHORIZATION, "a", "2"), put(AUTHORIZATION, "b", "1")]);
    assert_eq!(summary(subscriber.push()), "nothing");
    let after = subscriber.policies();
    assert_eq!(after.sent, before.sent);
    assert!(after.behind() > before.behind(), "{after:?}");
}

#[test]
fn a_first_push_of_ten_thousand_that_is_refused_whole_costs_little() {
    let cache = cache();
    let all = (0..10_000).map(|n| put(AUTHORIZATION, &format!("p{n}"), "body"));
    cache.publish(all.collect());
    let mut subscriber = Subscriber::new(&cache);
    subscriber.ask(AUTHORIZATION);
    let push = subscriber.take();
    subscriber.answer(&push, Some("no"));
    let refused = |verdict| {
        let all = verdicts(&cache, &subscriber);
        all.into_iter().filter(|(_, of)| *of == verdict).count()
    };
    assert_eq!((refused(Refused), refused(Accepted)), (10_000, 0));
}
