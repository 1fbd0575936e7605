//! What it costs to decide whether a request may pass, in this process and without anything around it.

use std::hint::black_box;

use anyhow::{Result, ensure};
use http::{HeaderMap, Method};
use lab::load::cores;
use mesh_model::l7::authorization::{
    Action, Authorization, Authorizer, Operation, PathPattern, Rule, Source, Values,
};
use mesh_model::l7::request::{Claims, Client, Local, Request};
use mesh_model::l7::{ObjectRef, TextMatch};
use mesh_types::{Identity, NamespacedName};
use tokio::time::Instant;

use super::Bench;
use super::sheet::{Kind, Sheet, Variant};

/// One decision by the rules of a hundred policies, half of which refuse: a caller, a method and a beginning of the path
/// each.
pub(super) fn authorization(bench: &Bench, sheet: &mut Sheet) -> Result<()> {
    let policies: Vec<_> = (0..POLICIES).map(policy).collect();
    let authorizer = Authorizer::compile(policies.iter().map(|(object, policy)| (object, policy)));
    let mut random = fastrand::Rng::with_seed(7);
    let headers = HeaderMap::new();
    // Where proxies are measured, away from what else the bench does.
    cores::stay_on(bench.starter.core)?;
    let mut allowed = 0;
    let mut took: Vec<_> = (0..DECISIONS)
        .map(|_| {
            let n = random.usize(..RULES);
            let id: Identity = format!("spiffe://{}", principal(n))
                .parse()
                .expect("it is written so");
            let path = format!("/team-{}/service-{n}/items/7", n % 100);
            let request = request(&path, &headers);
            let began = Instant::now();
            let decision = black_box(&authorizer).request(&request, &client(&id), &Claims::none(), HERE);
            let took = began.elapsed();
            allowed += usize::from(black_box(decision).is_allowed());
            took
        })
        .collect();
    cores::stay_on(bench.load_core)?;
    ensure!(
        allowed > 0 && allowed < DECISIONS,
        "some of both: {allowed} of {DECISIONS} pass"
    );
    took.sort_unstable();
    for (share, name, kind) in [(0.5, "p50", Kind::Told), (0.99, "p99", Kind::Within(ASKED_US))] {
        let at = (DECISIONS as f64 * share) as usize;
        let title = format!("authorization by {RULES} rules: one decision, {name}, us");
        sheet.add(title, kind, Variant::Ours, took[at].as_secs_f64() * 1e6);
    }
    Ok(())
}

fn policy(number: usize) -> (ObjectRef, Authorization) {
    let object = ObjectRef {
        kind: "AuthorizationPolicy".into(),
        name: NamespacedName::new("bench", format!("p{number}")),
    };
    let each = RULES / POLICIES;
    let policy = Authorization {
        action: if number.is_multiple_of(2) {
            Action::Allow
        } else {
            Action::Deny
        },
        rules: (number * each..(number + 1) * each).map(rule).collect(),
        dry_run: false,
    };
    (object, policy)
}

fn rule(n: usize) -> Rule {
    let prefix = format!("/team-{}/", n % 100);
    Rule {
        from: vec![Source {
            principals: one(TextMatch::Exact(principal(n).into())),
            ..Source::default()
        }],
        to: vec![Operation {
            methods: one(TextMatch::Exact("GET".into())),
            paths: one(PathPattern::Text(TextMatch::Prefix(prefix.into()))),
            ..Operation::default()
        }],
        when: Vec::new(),
    }
}

fn one<T>(value: T) -> Values<T> {
    Values {
        any: vec![value],
        ..Values::default()
    }
}

fn principal(n: usize) -> String {
    format!("cluster.local/ns/ns-{}/sa/client-{n}", n % 200)
}

fn client(identity: &Identity) -> Client<'_> {
    Client {
        identity: Some(identity),
        address: [10, 0, 0, 1].into(),
        remote_address: [10, 0, 0, 1].into(),
        server_name: None,
        labels: &[],
    }
}

fn request<'a>(path: &'a str, headers: &'a HeaderMap) -> Request<'a> {
    Request {
        method: &Method::GET,
        scheme: "http",
        authority: "shop",
        path,
        query: None,
        headers,
        metadata: None,
    }
}

pub(super) const RULES: usize = 10_000;
const POLICIES: usize = 100;
const DECISIONS: usize = 200_000;
const HERE: Local = Local {
    address: std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 96, 0, 1)),
    port: 80,
};
/// What is asked.
const ASKED_US: f64 = 5.0;
