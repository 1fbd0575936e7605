//! How many requests there may be: counted by the proxy, and by a real rate-limit service of the test's own on Envoy's
//! wire.

#![expect(clippy::unwrap_used, reason = "this is test code outside of test functions")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use mesh_extensions::rate_limit::{Counted, CurrentLimit, DescriptorStatus, Hit, SHOULD_RATE_LIMIT, Unit};
use mesh_model::l7::PolicyKind;
use mesh_model::l7::rate_limit::{
    Descriptor, DescriptorEntry, DescriptorSource, GlobalLimit, LocalLimit, RateLimit,
};
use mesh_state::l7::L7Update;
use mesh_testkit::{pod, service};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use waypoint::flags::ResponseFlag;

use super::lab::wires::{Says, Unary};
use super::lab::{Answer, App, get, http1, in_lab, in_lab_with_threads, read};
use super::security::policy;
use super::{at, shop};

fn entry(key: &str, source: DescriptorSource) -> DescriptorEntry {
    DescriptorEntry {
        key: key.into(),
        source,
        value: None,
    }
}

fn local(requests: u32, descriptor: Vec<DescriptorEntry>) -> LocalLimit {
    LocalLimit {
        descriptor,
        requests,
        interval: Duration::from_secs(3600),
        burst: 0,
        when: None,
    }
}

fn counted_as(entries: Vec<DescriptorEntry>) -> Descriptor {
    Descriptor { entries, when: None }
}

fn limit(limit: RateLimit) -> L7Update {
    policy("limit", PolicyKind::RateLimit(limit))
}

async fn ask(address: SocketAddr, user: Option<&str>) -> Answer {
    let mut http = http1(TcpStream::connect(address).await.unwrap()).await;
    let mut request = get("/");
    if let Some(user) = user {
        request.headers_mut().insert("x-user", user.parse().unwrap());
    }
    read(http.send_request(request).await.unwrap()).await
}

#[test]
fn each_user_has_so_many_requests_and_is_told() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let user = entry("user", DescriptorSource::Header("x-user".into()));
        lab.serve([limit(RateLimit::Local(vec![
            local(2, vec![user]),
            local(100, Vec::new()),
        ]))]);
        let address = lab.open_plain("shop", 80);
        for user in ["bob", "eve"] {
            for left in ["1", "0"] {
                let answer = ask(address, Some(user)).await;
                assert_eq!(answer.status, 200);
                assert_eq!(answer.headers["ratelimit-limit"], "2");
                assert_eq!(answer.headers["ratelimit-remaining"], left);
            }
            let over = ask(address, Some(user)).await;
            assert_eq!((over.status, over.body.as_str()), (429, "local_rate_limited"));
            assert_eq!(over.headers["x-envoy-ratelimited"], "true");
            assert_eq!(over.headers["ratelimit-remaining"], "0");
            assert_eq!(over.headers["retry-after"], "1800");
        }
        // Who is no user is counted with all; what was refused was not.
        assert_eq!(ask(address, None).await.headers["ratelimit-remaining"], "95");
        let reports = lab.reports(3).await;
        assert_eq!(reports[2].details, "local_rate_limited");
        assert_eq!(reports[2].policy.as_deref(), Some("Policy/shop/limit[0]"));
        assert!(reports[2].flags.has(ResponseFlag::RateLimited));
    });
}

#[test]
fn all_workers_count_together() {
    in_lab_with_threads(2, |lab| async move {
        shop(&lab, App::Http).await;
        lab.serve([limit(RateLimit::Local(vec![local(10, Vec::new())]))]);
        let waypoint = lab.open_hbone();
        let client = lab.client("client");
        let mut passed = 0;
        for _ in 0..4 {
            let tunnel = lab
                .tunnel(&client, "client", waypoint, "10.96.0.1:80")
                .await
                .unwrap();
            let mut http = http1(tunnel.into_io()).await;
            for _ in 0..5 {
                let answer = read(http.send_request(get("/")).await.unwrap()).await;
                passed += usize::from(answer.status == 200);
            }
        }
        assert_eq!(passed, 10);
    });
}

#[test]
fn connections_count_as_requests() {
    in_lab(|lab| async move {
        shop(&lab, App::Greet).await;
        let namespace = entry("from", DescriptorSource::RemoteAddress);
        lab.serve([limit(RateLimit::Local(vec![local(1, vec![namespace])]))]);
        let address = lab.open_plain("shop", 80);
        let mut one = TcpStream::connect(address).await.unwrap();
        one.read_exact(&mut [0; 6]).await.unwrap();
        let mut two = TcpStream::connect(address).await.unwrap();
        assert!(two.read(&mut [0; 1]).await.is_err());
        // What is open stays.
        lab.serve([limit(RateLimit::Local(vec![local(1, Vec::new())]))]);
        let reports = lab.reports(1).await;
        assert_eq!(reports[0].details, "local_rate_limited");
    });
}

#[test]
fn a_service_on_envoys_wire_counts() {
    in_lab(|lab| async move {
        shop(&lab, App::Http).await;
        let ip = lab.ip(8);
        lab.apply([
            service("counter").at("10.96.0.8").port(80, 9200).into(),
            pod("counter").at(&ip).serving("counter", 80, 9200).into(),
        ]);
        let global = |fail_closed| {
            limit(RateLimit::Global(GlobalLimit {
                service: at("counter"),
                domain: "shop".into(),
                descriptors: vec![
                    counted_as(vec![
                        entry("user", DescriptorSource::Header("x-user".into())),
                        entry("path", DescriptorSource::Path),
                    ]),
                    counted_as(vec![entry("all", DescriptorSource::Constant("yes".into()))]),
                ],
                timeout: Duration::from_millis(500),
                fail_closed,
            }))
        };
        let address = lab.open_plain("shop", 80);
        // Nobody listens yet.
        lab.serve([global(true)]);
        let failed = ask(address, None).await;
        assert_eq!((failed.status, failed.body.as_str()), (500, ""));
        lab.serve([global(false)]);
        assert_eq!(ask(address, None).await.status, 200);

        let counter = Unary::start(format!("{ip}:9200").parse().unwrap()).await;
        let answer = |over_limit, remaining| Counted {
            over_limit,
            statuses: vec![DescriptorStatus {
                over_limit,
                limit: Some(CurrentLimit {
                    requests: 7,
                    unit: Unit::Minute,
                    name: String::new(),
                }),
                remaining,
                reset: Some(Duration::from_millis(41_200)),
            }],
            response_headers: vec![("x-counted".parse().unwrap(), "yes".parse().unwrap())],
            request_headers: vec![("x-quota".parse().unwrap(), "3".parse().unwrap())],
            body: Bytes::from_static(b"later"),
        };
        counter.says(Says::Message(answer(false, 3).encode()));
        let within = ask(address, Some("bob")).await;
        assert_eq!(
            (within.status, &within.headers["x-counted"] == "yes"),
            (200, true)
        );
        assert_eq!(within.headers["ratelimit-remaining"], "3");
        assert_eq!(within.headers["ratelimit-reset"], "42");
        assert!(within.body.contains("x-quota: 3\n"), "{}", within.body);
        counter.says(Says::Message(answer(true, 0).encode()));
        let over = ask(address, None).await;
        assert_eq!((over.status, over.body.as_str()), (429, "later"));
        assert_eq!(over.headers["retry-after"], "42");
        assert_eq!(over.headers["x-envoy-ratelimited"], "true");

        let asked = counter.asked();
        assert_eq!(asked[0].0, SHOULD_RATE_LIMIT);
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let all = vec![pair("all", "yes")];
        let hit = Hit::decode(&asked[0].1).unwrap();
        assert_eq!(hit.domain, "shop");
        assert_eq!(
            hit.descriptors,
            [vec![pair("user", "bob"), pair("path", "/")], all.clone()]
        );
        assert_eq!(Hit::decode(&asked[1].1).unwrap().descriptors, [all]);
        let reports = lab.reports(4).await;
        assert_eq!(reports[0].details, "rate_limiter_error");
        assert!(reports[0].flags.has(ResponseFlag::RateLimitServiceError));
        assert_eq!(reports[3].details, "request_rate_limited");
        assert!(reports[3].flags.has(ResponseFlag::RateLimited));
    });
}
