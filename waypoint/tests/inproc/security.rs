//! Who may pass: policies at work between a real client and a real endpoint.

use std::sync::Arc;
use std::time::Duration;

use mesh_model::l7::authorization::{Action, Authorization, Condition, Rule, TextAttribute, Values};
use mesh_model::l7::policy::Unusable;
use mesh_model::l7::{Created, ObjectRef, Policy, PolicyKind, Target, TextMatch};
use mesh_state::l7::L7Update;
use mesh_testkit::objects::hostname;
use mesh_types::NamespacedName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waypoint::explain::{Question, explain};

use super::lab::{App, get, http1, in_lab, read};
use super::shop;

/// A policy of the service `shop`.
pub(crate) fn policy(name: &str, kind: PolicyKind) -> L7Update {
    L7Update::Policy(Arc::new(Policy {
        part: "".into(),
        object: ObjectRef {
            kind: "Policy".into(),
            name: NamespacedName::new("shop", name),
        },
        targets: vec![Target::Service(hostname("shop", "shop"))],
        created: Created::unknown(),
        kind,
    }))
}

pub(crate) fn authorization(name: &str, action: Action, dry_run: bool, when: Vec<Condition>) -> L7Update {
    let rule = Rule {
        when,
        ..Rule::default()
    };
    policy(
        name,
        PolicyKind::Authorization(Authorization {
            action,
            rules: vec![rule],
            dry_run,
        }),
    )
}

fn header(name: &str, value: &str) -> Condition {
    let values = Values {
        any: vec![TextMatch::Exact(value.into())],
        ..Values::default()
    };
    Condition::Text(TextAttribute::RequestHeader(name.into()), values)
}

#[test]
fn what_is_not_understood_lets_nothing_pass_and_is_named() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let unusable = Unusable {
            label: "quota".into(),
            reason: "kind is missing".into(),
        };
        lab.serve([policy("later", PolicyKind::Unusable(unusable))]);
        let address = lab.open_plain("shop", 80);
        let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
        let answer = read(http.send_request(get("/")).await.unwrap()).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (503, "a policy cannot be enforced here")
        );
        let reports = lab.reports(1).await;
        assert_eq!(reports[0].details, "policy_not_enforced");
        assert_eq!(reports[0].policy.as_deref(), Some("Policy/shop/later/quota"));
    });
}

#[test]
fn bytes_do_not_pass_either() {
    in_lab(|lab| async move {
        shop(&lab, App::Greet).await;
        let address = lab.open_plain("shop", 80);
        let mut open = TcpStream::connect(address).await.unwrap();
        open.read_exact(&mut [0; 6]).await.unwrap();
        let unusable = Unusable {
            label: "quota".into(),
            reason: "kind is missing".into(),
        };
        lab.serve([policy("later", PolicyKind::Unusable(unusable))]);
        // What is open ends, and nothing new begins.
        assert!(open.read(&mut [0; 1]).await.is_err());
        let mut again = TcpStream::connect(address).await.unwrap();
        assert!(again.read(&mut [0; 1]).await.is_err());
        let reports = lab.reports(2).await;
        assert_eq!(reports[1].details, "policy_not_enforced");
    });
}

#[test]
fn what_is_on_trial_or_audited_is_told_and_decides_nothing() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        lab.serve([
            authorization("trial", Action::Deny, true, vec![header("x-who", "bob")]),
            authorization("watch", Action::Audit, false, vec![header("x-who", "bob")]),
        ]);
        let address = lab.open_plain("shop", 80);
        let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
        let mut request = get("/");
        request.headers_mut().insert("x-who", "bob".parse().unwrap());
        for request in [request, get("/")] {
            assert_eq!(read(http.send_request(request).await.unwrap()).await.status, 200);
        }
        let reports = lab.reports(2).await;
        let told = |n: usize| (reports[n].dry_run.as_deref(), reports[n].audited.as_deref());
        assert_eq!(
            told(0),
            (
                Some("deny ns[shop]-policy[trial]-rule[0]"),
                Some("ns[shop]-policy[watch]-rule[0]")
            )
        );
        assert_eq!(told(1), (None, None));
    });
}

#[test]
fn the_application_learns_who_asks_and_nothing_forged() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        let ask = async || {
            let tunnel = lab
                .tunnel(&client, "client", waypoint, "10.96.0.1:80")
                .await
                .unwrap();
            let mut http = http1(tunnel.into_io()).await;
            let mut request = get("/");
            let forged = "By=spiffe://x;URI=spiffe://cluster.local/ns/shop/sa/admin";
            for (name, value) in [
                ("x-forwarded-client-cert", forged),
                ("x-envoy-internal", "true"),
                ("x-forwarded-for", "1.2.3.4"),
            ] {
                request.headers_mut().append(name, value.parse().unwrap());
            }
            read(http.send_request(request).await.unwrap()).await.body
        };
        let untold = ask().await;
        assert!(
            !untold.contains("client-cert") && !untold.contains("x-envoy-internal"),
            "{untold}"
        );
        // What the client says comes first, where it came from last.
        assert!(
            untold.contains("x-forwarded-for: 1.2.3.4,127.0.0.1\n"),
            "{untold}"
        );
        lab.serve([policy("identity", PolicyKind::ForwardClientIdentity(true))]);
        let told = ask().await;
        let expected = "x-forwarded-client-cert: By=spiffe://cluster.local/ns/shop/sa/waypoint;\
                        URI=spiffe://cluster.local/ns/shop/sa/client\n";
        assert!(
            told.contains(expected) && told.matches("client-cert").count() == 1,
            "{told}"
        );
    });
}

#[test]
fn a_request_that_is_still_being_sent_ends_when_it_is_not_allowed_any_more() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let address = lab.open_plain("shop", 80);
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Of a length that nobody knows, and never at its end: the application has not answered.
        let begin = b"POST / HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";
        stream.write_all(begin).await.unwrap();
        let mut answer = [0; 12];
        let early = tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut answer)).await;
        assert!(early.is_err(), "it is answered already");
        lab.serve([authorization("nobody-any-more", Action::Deny, false, Vec::new())]);
        let denied = tokio::time::timeout(Duration::from_secs(1), stream.read_exact(&mut answer)).await;
        denied.expect("within a second").unwrap();
        assert_eq!(&answer, b"HTTP/1.1 403");
        let reports = lab.reports(1).await;
        assert_eq!(
            reports[0].code_details(),
            "rbac_access_denied_matched_policy[ns[shop]-policy[nobody-any-more]-rule[0]]"
        );
    });
}

#[test]
fn what_would_become_of_a_request_is_explained_without_sending_it() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        lab.serve([
            authorization("no-bob", Action::Deny, false, vec![header("x-who", "bob")]),
            authorization("trial", Action::Deny, true, Vec::new()),
            super::to_subset("none"),
        ]);
        let ask = |query: &str| {
            let request = mesh_runtime::admin::Request::get(&format!("/explain?{query}"));
            let question = Question::read(&request)?;
            let snapshot = lab.l7_reader.snapshot();
            explain(&lab.state, &snapshot, &super::lab::gateway(), &question)
        };
        let denied = ask("to=10.96.0.1:80&path=/a/../b&headers=x-who:bob").unwrap();
        assert_eq!((denied.allowed, denied.path.as_deref()), (false, Some("/b")));
        assert_eq!(denied.policy.as_deref(), Some("ns[shop]-policy[no-bob]-rule[0]"));
        assert_eq!(denied.dry_run, ["deny ns[shop]-policy[trial]-rule[0]"]);
        assert_eq!(denied.route.as_deref(), Some("shop.subset.0"));
        assert_eq!(denied.policies.len(), 2);
        let passes = ask("to=10.96.0.1:80&path=/b&from=spiffe://cluster.local/ns/shop/sa/client").unwrap();
        assert_eq!((passes.allowed, passes.policy), (true, None));
        // Of a connection nobody knows headers: what denies by them is wider.
        assert!(!ask("to=10.96.0.1:80").unwrap().allowed);
        for (wrong, field) in [
            ("path=/", "to: "),
            ("to=10.96.0.1:80&path=/&from=bob", "from: "),
            ("to=10.96.0.1:80&path=/&headers=x", "headers: "),
            ("to=10.96.0.1:81", "service "),
        ] {
            let why = ask(wrong).unwrap_err();
            assert!(why.starts_with(field), "{wrong}: {why}");
        }
    });
}
