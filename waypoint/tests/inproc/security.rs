//! Who may pass: policies at work between a real client and a real endpoint.

use std::sync::Arc;

use mesh_model::l7::authorization::{Action, Authorization, Condition, Rule, TextAttribute, Values};
use mesh_model::l7::policy::Unusable;
use mesh_model::l7::{Created, ObjectRef, Policy, PolicyKind, Target, TextMatch};
use mesh_state::l7::L7Update;
use mesh_testkit::objects::hostname;
use mesh_types::NamespacedName;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::lab::{App, get, http1, in_lab, read};
use super::shop;

/// A policy of the service `shop`.
pub(crate) fn policy(name: &str, kind: PolicyKind) -> L7Update {
    L7Update::Policy(Arc::new(Policy {
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
            (Some("deny Policy/shop/trial[0]"), Some("Policy/shop/watch[0]"))
        );
        assert_eq!(told(1), (None, None));
    });
}
